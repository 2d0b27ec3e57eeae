"""Tests of the client: its requests, and the secrets that it never leaks."""

import logging
import re
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from requests.adapters import DEFAULT_CA_BUNDLE_PATH

from app.channel.attempt import CallAttempt, CallContext
from app.channel.client import ChannelClient, compute_way
from app.channel.transport import Route, _pool_for, trusted_authorities
from app.chats.outcome import Created, NotSent
from app.chats.record import Chat, Session
from tests.channel.calls import (
    ACCESS_KEY,
    ACCESS_SECRET,
    AMPLE_SECONDS,
    CHAT_ID,
    MADE,
    USER_ID,
    client_of,
    http,
    open_chat,
    probe,
)
from tests.channel.raw_server import (
    CERTIFICATE,
    RawServer,
    reset,
    say,
    say_nothing,
    server_tls,
    trusting_tls,
)
from tools.stack.channel_io import CHANNEL_ID, PERSONAL, Behaviour, ChannelIo

CREATED = Created(Chat(CHAT_ID))
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
UNVERIFIED = "The request was not sent to Channel.io: its TLS certificate could not be verified."


def soon() -> float:
    """A deadline that no test reaches."""
    return time.monotonic() + AMPLE_SECONDS


def test_the_ids_of_the_new_chat_come_back(stand_in: ChannelIo) -> None:
    """The chat's, its sessions', and nothing else."""
    user_id = "ids-1"

    outcome = client_of(stand_in.url).open_chat(user_id, CallContext(soon()))

    [made] = stand_in.creates_of(user_id)
    assert isinstance(outcome, Created)
    chat = outcome.chat
    assert (made.chat_id, CHANNEL_ID, "initial") == (chat.id, chat.channel_id, chat.state)
    assert isinstance(chat.session, Session)
    assert isinstance(chat.user_session, Session)
    assert f"bot-61225-userChat-{made.chat_id}" == chat.session.key
    assert f"user-{user_id}-userChat-{made.chat_id}" == chat.user_session.key


def test_the_request_is_complete_and_nothing_is_added() -> None:
    """Keys, a fresh connection, no encoding, no body; and nothing that a library thinks up."""
    with RawServer(say(http(200, MADE))) as server:
        outcome = open_chat(server.url + "/")
        [request] = server.received_up_to_now()

    assert CREATED == outcome
    assert request.decode().split("\r\n") == [
        f"POST /open/v4/users/{USER_ID}/user-chats HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"x-access-key: {ACCESS_KEY}",
        f"x-access-secret: {ACCESS_SECRET}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Connection: close",
        "User-Agent: chat-relay",
        "Content-Length: 0",
        "",
        "",
    ]


def test_the_version_is_sent_where_one_is_set() -> None:
    """The dated API wants a header; the others get none."""
    with RawServer(say(http(200, MADE))) as server:
        client_of(server.url, api_version="2026-06-01").open_chat(USER_ID, CallContext(soon()))
        [request] = server.received_up_to_now()

    assert b"\r\nChannel-Version: 2026-06-01\r\n" in request


def test_a_user_id_stays_one_part_of_the_path() -> None:
    """Whatever it holds is percent-encoded."""
    with RawServer(say(http(200, MADE))) as server:
        client_of(server.url).open_chat("a/b?c#d", CallContext(soon()))
        [request] = server.received_up_to_now()

    assert request.startswith(b"POST /open/v4/users/a%2Fb%3Fc%23d/user-chats HTTP/1.1\r\n")


def test_a_call_has_nothing_of_the_one_before() -> None:
    """Neither its user nor its trace, although both are made from one request."""
    trace = f"00-{'1' * 32}-{'2' * 16}-01"
    with RawServer(say(http(200, MADE))) as server:
        client = client_of(server.url)
        client.open_chat("first", CallContext(soon(), trace))
        client.open_chat("second", CallContext(soon()))
        first, second = server.received_up_to_now()

    assert f"\r\ntraceparent: {trace}\r\n".encode() in first
    assert b"traceparent" not in second
    assert second.startswith(b"POST /open/v4/users/second/user-chats HTTP/1.1\r\n")


def test_each_create_has_a_connection_of_its_own(stand_in: ChannelIo) -> None:
    """A kept-alive one that closes while we send is the classic false "unknown"."""
    client = client_of(stand_in.url)

    for _ in range(2):
        client.open_chat("fresh-1", CallContext(soon()))

    ports = [said.client_port for said in stand_in.requests if "/fresh-1/" in said.path]
    assert len(set(ports)) == len(ports) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """The keys go to no other host, and the POST is neither repeated nor made a GET."""
    with RawServer(say(http(200, MADE))) as elsewhere:
        with RawServer(say(http(status, b"", f"Location: {elsewhere.url}"))) as server:
            open_chat(server.url)
            sent = server.received_up_to_now()
        followed = elsewhere.received_up_to_now()

    assert 1 == len(sent)
    assert [] == followed


def test_a_cookie_is_not_kept() -> None:
    """Calls share nothing."""
    with RawServer(say(http(200, MADE, "Set-Cookie: a=b"))) as server:
        client = client_of(server.url)
        for _ in range(2):
            client.open_chat(USER_ID, CallContext(soon()))
        sent = server.received_up_to_now()

    assert 2 == len(sent)
    assert all(b"cookie" not in request.lower() for request in sent)


def test_the_environment_brings_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings read it, once; no library does so by itself."""
    with RawServer(say(http(502, b""))) as proxy, RawServer(say(http(200, MADE))) as server:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url)
        outcome = open_chat(server.url)
        seen_by_proxy = proxy.received_up_to_now()

    assert CREATED == outcome
    assert [] == seen_by_proxy


@pytest.mark.parametrize("name", [".netrc", "_netrc", "named"])
def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """No password of the machine's owner is sent along, neither directly nor to a proxy."""
    netrc = tmp_path / name
    netrc.write_text("default login owner password private\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    if name == "named":
        monkeypatch.setenv("NETRC", str(netrc))

    with RawServer(say(http(200, MADE))) as server:
        open_chat(server.url)
        client_of("http://channel.invalid", proxy=server.origin).open_chat(
            USER_ID, CallContext(soon())
        )
        requests = server.received_up_to_now()

    assert 2 == len(requests)
    assert not [request for request in requests if b"authorization" in request.lower()]


def test_a_chat_is_opened_over_tls() -> None:
    """The whole way, with a certificate that the client trusts."""
    with RawServer(say(http(200, MADE)), tls=server_tls()) as server:
        outcome = client_of(server.url, tls=trusting_tls()).open_chat(USER_ID, CallContext(soon()))

    assert CREATED == outcome


@pytest.mark.parametrize("files", [[CERTIFICATE], [Path(DEFAULT_CA_BUNDLE_PATH), CERTIFICATE]])
def test_a_companys_own_authority_is_trusted(files: list[Path]) -> None:
    """In one file or among several; public ones only where a file has them."""
    tls = trusted_authorities(files)
    with RawServer(say(http(200, MADE)), tls=server_tls()) as server:
        outcome = client_of(server.url, tls=tls).open_chat(USER_ID, CallContext(soon()))

    assert CREATED == outcome
    assert (len(files) == 1) == (len(tls.get_ca_certs()) == 1)
    assert not tls.verify_flags & ssl.VERIFY_X509_STRICT


def test_an_untrusted_certificate_is_not_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is the settings' business; no library reads it by itself."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(CERTIFICATE))
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    with RawServer(say_nothing, tls=server_tls()) as server:
        client = ChannelClient(
            base_url=server.url,
            access_key=ACCESS_KEY,
            access_secret=ACCESS_SECRET,
            api_version=None,
            connect_timeout_seconds=AMPLE_SECONDS,
        )
        outcome = client.open_chat(USER_ID, CallContext(soon()))

    assert NotSent(UNVERIFIED) == outcome
    assert [] == server.received


def test_a_certificate_for_another_host_is_not_sent_to() -> None:
    """A trusted certificate is not enough: it must be for the host that is called."""
    with RawServer(say_nothing, tls=server_tls()) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        outcome = client_of(url, tls=trusting_tls()).open_chat(USER_ID, CallContext(soon()))

    assert NotSent(UNVERIFIED) == outcome


def test_a_reset_while_shaking_hands_is_not_sent() -> None:
    """urllib3 passes over a reset while it sends; here nothing had been sent."""
    with RawServer(reset) as server:
        outcome = open_chat(server.url.replace("http:", "https:"))

    assert NotSent("The request was not sent to Channel.io: the connection was reset.") == outcome


def test_a_refused_connection_is_not_sent() -> None:
    """No byte was handed to a socket."""
    with RawServer(say_nothing) as server:
        url = server.url

    outcome = open_chat(url)

    assert NotSent("The request was not sent to Channel.io: the connection was refused.") == outcome


def test_an_unknown_host_is_not_sent() -> None:
    """A name that cannot exist, RFC 6761; where look-ups hang, the deadline ends the wait."""
    assert isinstance(open_chat("http://channel.invalid/open/v4", seconds=2), NotSent)


@pytest.mark.parametrize("base_url", ["", "nonsense", "http://[", "http://a b", "http://a:b"])
def test_an_invalid_base_url_sends_nothing(base_url: str) -> None:
    """Settings are verified elsewhere; here it is an outcome all the same."""
    assert isinstance(open_chat(base_url), NotSent)


def test_only_http_is_spoken() -> None:
    """Another scheme is not taken for HTTP without encryption."""
    with RawServer(say_nothing) as server:
        outcome = open_chat(server.url.replace("http:", "httpx:"))

    assert isinstance(outcome, NotSent)
    assert [] == server.received


def test_a_key_that_no_header_can_hold_is_not_sent() -> None:
    """The library's message quotes the key; the relay's does not."""
    key = "sesame\nx-injected: 1"

    with RawServer(say_nothing) as server:
        outcome = client_of(server.url, access_key=key).open_chat(USER_ID, CallContext(soon()))

    assert isinstance(outcome, NotSent)
    assert "sesame" not in repr(outcome)
    assert [] == server.received


def test_no_secret_is_in_the_clients_repr() -> None:
    """The client's ``repr`` holds no key."""
    client = client_of("http://127.0.0.1", access_key="sesame", access_secret="open")

    assert "sesame" not in repr(client) + str(client)
    assert "open" not in repr(client) + str(client)


@pytest.mark.parametrize("behaviour", [Behaviour.CREATE, Behaviour.UNAUTHORIZED])
def test_nothing_personal_or_secret_is_kept_or_logged(
    stand_in: ChannelIo, caplog: pytest.LogCaptureFixture, behaviour: Behaviour
) -> None:
    """The answer to a create is full of it; the outcome and the logs of all libraries are not."""
    caplog.set_level(logging.DEBUG)
    stand_in.plan(behaviour, user_id="private-1")

    outcome = client_of(stand_in.url).open_chat("private-1", CallContext(soon()))

    output = repr(outcome) + caplog.text
    assert not [text for text in (*PERSONAL, ACCESS_SECRET) if text in output]


def test_headers_that_cannot_be_read_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 would quote them in a warning."""
    answer = b"HTTP/1.1 200 OK\r\nx: y\r\n" + PERSONAL[0].encode() + b"\r\nz: y\r\n\r\n" + MADE

    with RawServer(say(answer)) as server:
        open_chat(server.url)

    assert PERSONAL[0] not in caplog.text


@pytest.mark.parametrize(
    "other",
    [
        ("https://api.channel.io/open/v5", None, "key", "secret"),
        ("https://api.channel.io/open/v4", "2026-06-01", "key", "secret"),
        ("https://api.channel.io/open/v4", "", "key", "secret"),
        ("https://api.channel.io/open/v4", None, "keys", "ecret"),
        ("https://api.channel.io/open/v4", None, "key", "secret2"),
    ],
)
def test_a_way_has_a_name_of_its_own(other: tuple[str, str | None, str, str]) -> None:
    """Base URL, version, key and secret make a way; its name shows none of them."""
    way = compute_way("https://api.channel.io/open/v4", None, "key", "secret")

    assert re.fullmatch(r"[0-9a-f]{16}", way)
    assert way == compute_way("https://api.channel.io/open/v4/", None, "key", "secret")
    assert way != compute_way(*other)


def test_a_good_probe_has_no_problem(stand_in: ChannelIo) -> None:
    """One GET of the channel, with the keys; it creates nothing."""
    before = len(stand_in.creates), len(stand_in.requests)

    assert probe(stand_in.url) is None

    [request] = stand_in.requests[before[1] :]
    assert ("GET", "/open/v4/channel", b"") == (request.method, request.path, request.body)
    assert ACCESS_SECRET == request.headers["x-access-secret"]
    assert before[0] == len(stand_in.creates)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b"<html>", "with 200, but without a channel: CHANNEL_API_URL does not lead to"),
        (200, b'{"channel": []}', "with 200, but without a channel: CHANNEL_API_URL does not"),
        (401, b"{}", "with 401: the access key or secret is wrong"),
        (404, b"{}", "with 404: CHANNEL_API_URL does not lead to"),
        (302, b"", "with 302: CHANNEL_API_URL does not lead to"),
        (429, b"", "with 429."),
        (503, b'{"channel": {}}', "with 503."),
    ],
)
def test_a_failed_probe_returns_its_problem(status: int, body: bytes, problem: str) -> None:
    """The problem is a sentence for an operator on call."""
    with RawServer(say(http(status, body))) as server:
        text = probe(server.url)

    assert text is not None
    assert text.startswith(f"Channel.io answered the probe {problem}")


def test_an_unanswered_probe_returns_its_problem() -> None:
    """A refused connection is a problem, too."""
    with RawServer(say_nothing) as server:
        url = server.url

    problem = probe(url)

    assert "Channel.io did not answer the probe: the connection was refused." == problem


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_a_base_url_without_a_port_means_the_schemes_own(scheme: str, port: int) -> None:
    """As ``https://api.channel.io`` does."""
    url = f"{scheme}://api.channel.io/open/v4/channel"

    route = Route(trusting_tls(), None, AMPLE_SECONDS)
    assert port == _pool_for(urlsplit(url), CallAttempt(soon()), route).port
