"""Calls through a proxy: what it sees, and what its failures come to."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from socket import create_server, socket
from threading import Event
from urllib.parse import urlsplit

import pytest

from app.channel.attempt import CallAttempt, CallContext, TooLateError
from app.channel.transport import AttemptConnection, Route, is_without_proxy
from app.chats.outcome import Created, NotSent, Outcome, Unknown
from app.chats.record import Chat, FailureCode
from config.proxy_url import parse_proxy_url
from tests.channel.calls import (
    ACCESS_KEY,
    AMPLE_SECONDS,
    CHAT_ID,
    MADE,
    SHORT_SECONDS,
    USER_ID,
    client_of,
    http,
)
from tests.channel.patched import Ended, PatchedCall, StoppedCall, make_calls
from tests.channel.proxy import OPENED, ForwardProxy
from tests.channel.raw_server import (
    RawServer,
    Reply,
    drip,
    flood,
    read_request,
    reset,
    say,
    say_nothing,
    server_tls,
    trusting_tls,
)
from tools.stack.processes import wait_until

CREATED = Created(Chat(CHAT_ID))
UNVERIFIED = "its TLS certificate could not be verified"
SOON_SECONDS = AMPLE_SECONDS / 2
PATIENCE_SECONDS = 30
LATE = NotSent("The request was not sent to Channel.io: at the proxy, time ran out.")
# "user:päss@wörd", as RFC 7617 has it
LOGIN = "user:p%C3%A4ss%40w%C3%B6rd"
AUTHORIZATION = "Basic dXNlcjpww6Rzc0B3w7ZyZA=="


def open_chat(url: str, proxy: str) -> Outcome:
    """One create through a proxy; every certificate here is trusted."""
    client = client_of(url, proxy=proxy, tls=trusting_tls())
    return client.open_chat(USER_ID, CallContext(time.monotonic() + AMPLE_SECONDS))


def not_sent(why: str) -> NotSent:
    """The outcome of a request that did not get to Channel.io."""
    return NotSent(f"The request was not sent to Channel.io: {why}.")


# The way


@pytest.mark.parametrize("is_proxy_encrypted", [False, True], ids=["http proxy", "https proxy"])
def test_a_tunnel_is_opened_for_https(*, is_proxy_encrypted: bool) -> None:
    """The proxy sees a host and a port; Channel.io sees the request that it always sees."""
    with RawServer(say(http(200, MADE)), tls=server_tls()) as server:
        direct = client_of(server.url, tls=trusting_tls())
        direct.open_chat(USER_ID, CallContext(time.monotonic() + AMPLE_SECONDS))
        with ForwardProxy(tls=server_tls() if is_proxy_encrypted else None) as proxy:
            outcome = open_chat(server.url, proxy.origin)

    authority = f"127.0.0.1:{server.port}"
    assert CREATED == outcome
    assert [f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()] == proxy.received
    assert server.received[0] == server.received[1]


@pytest.mark.parametrize("is_proxy_encrypted", [False, True], ids=["http proxy", "https proxy"])
def test_a_request_without_tls_is_forwarded(*, is_proxy_encrypted: bool) -> None:
    """It names the whole URL, and Channel.io's host."""
    with (
        RawServer(say(http(200, MADE))) as server,
        ForwardProxy(tls=server_tls() if is_proxy_encrypted else None) as proxy,
    ):
        outcome = open_chat(server.url, proxy.origin)

    [head] = proxy.received
    assert CREATED == outcome
    assert head.startswith(
        f"POST {server.url}/users/{USER_ID}/user-chats HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\n".encode()
    )
    assert [head.replace(f"http://127.0.0.1:{server.port}".encode(), b"")] == server.received


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["http", "https"])
def test_a_proxy_gets_its_user_and_password(*, is_encrypted: bool) -> None:
    """Decoded from the URL; through a tunnel, Channel.io gets nothing of it."""
    with (
        RawServer(say(http(200, MADE)), tls=server_tls() if is_encrypted else None) as server,
        ForwardProxy(authorization=f"\r\nProxy-Authorization: {AUTHORIZATION}\r\n") as proxy,
    ):
        outcome = open_chat(server.url, proxy.origin.replace("//", f"//{LOGIN}@"))

    assert CREATED == outcome
    assert b"Proxy-Authorization" not in server.received[0] or not is_encrypted


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://channel.invalid/open", "channel.invalid:443"),
        ("https://channel.invalid:8443/open", "channel.invalid:8443"),
        ("https://[::1]/open", "[::1]:443"),
        ("https://[::1]:8443/open", "[::1]:8443"),
    ],
)
def test_a_proxy_resolves_the_name(url: str, authority: str) -> None:
    """No look-up of ours comes before, and the port is always written."""
    with RawServer(say(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")) as proxy:
        outcome = open_chat(url, proxy.origin)

    assert not_sent("the proxy answered 502") == outcome
    assert [f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()] == proxy.received


@pytest.mark.parametrize(
    "opened",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\nVia: 1.1 proxy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n" + OPENED,
    ],
)
def test_any_success_opens_a_tunnel(opened: bytes) -> None:
    """RFC 9110, 9.3.6."""
    with (
        RawServer(say(http(200, MADE)), tls=server_tls()) as server,
        ForwardProxy(opened=opened) as proxy,
    ):
        assert CREATED == open_chat(server.url, proxy.origin)


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_without"),
    [
        ("api.channel.io", None, False),
        ("api.channel.io", "", False),
        ("api.channel.io", "*", True),
        ("api.channel.io", "example.com, .channel.io", True),
        ("api.channel.io", "channel.io", True),
        ("api.channel.io", "API.CHANNEL.IO", True),
        ("api.channel.io", "api.channel.io:443", False),
        ("api.channel.io:443", "api.channel.io:443", True),
        ("api.channel.io", "nel.io", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("[fd00::1]:8443", "[fd00::1]", True),
        ("[fd00::1]", "fd00::1", True),
    ],
)
def test_no_proxy_names_hosts_that_are_called_directly(
    monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str | None, *, is_without: bool
) -> None:
    """As requests reads it; the variable itself is the settings' business."""
    monkeypatch.setenv("NO_PROXY", "" if is_without else "*")

    assert is_without == is_without_proxy(f"https://{host}/open/v4", no_proxy)


def open_then_close(connection: socket) -> None:
    """Open the tunnel, read the client's TLS hello, and close: unread bytes would be a reset."""
    connection.sendall(OPENED)
    connection.recv(65536)


# A proxy that fails


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (
            say(b"HTTP/1.1 407 Go\r\nProxy-Authenticate: Basic\r\n\r\nbody"),
            "the proxy answered 407: it demands another user and password",
        ),
        (say(http(403, b"<html>blocked")), "the proxy answered 403"),
        (say(http(502, b"<html>no such host")), "the proxy answered 502"),
        (say(http(503, b"")), "the proxy answered 503"),
        (say(http(302, b"", "Location: http://login")), "the proxy answered 302"),
        (say(http(429, b"", "Retry-After: 9")), "the proxy answered 429"),
        (say(b""), "at the proxy, the connection was closed"),
        (reset, "at the proxy, the connection was reset"),
        (say(b"HTTP/1.1 103 Early\r\n\r\n"), "at the proxy, the connection was closed"),
        (say(b"SSH-2.0-x\r\n\r\n"), "at the proxy, the connection broke (BadStatusLine)"),
        (open_then_close, "the connection was closed"),
    ],
)
def test_nothing_is_sent_where_a_proxy_opens_no_way(reply: Reply, why: str) -> None:
    """The request would follow the tunnel, which never came to be."""
    with RawServer(reply) as proxy:
        outcome = open_chat("https://channel.invalid/open/v4", proxy.origin)

    assert not_sent(why) == outcome
    assert all(head.startswith(b"CONNECT ") for head in proxy.received)
    assert not [head for head in proxy.received if ACCESS_KEY.encode() in head]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_connections_is_not_sent_to(scheme: str) -> None:
    """The outcome names the proxy as the part that failed."""
    with RawServer(say_nothing) as proxy:
        origin = proxy.origin

    outcome = open_chat(f"{scheme}://channel.invalid/open/v4", origin)

    assert not_sent("at the proxy, the connection was refused") == outcome


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_without_a_trusted_certificate_is_not_sent_to(scheme: str) -> None:
    """It would get the user and password of the proxy."""
    with RawServer(say_nothing, tls=server_tls()) as proxy:
        client = client_of(f"{scheme}://channel.invalid/open", proxy=proxy.origin)
        outcome = client.open_chat(USER_ID, CallContext(time.monotonic() + AMPLE_SECONDS))

    assert not_sent(f"at the proxy, {UNVERIFIED}") == outcome
    assert [] == proxy.received


@pytest.mark.parametrize("is_proxy_encrypted", [False, True], ids=["http proxy", "https proxy"])
def test_the_end_of_a_tunnel_is_verified(*, is_proxy_encrypted: bool) -> None:
    """Whom the proxy connects to must be Channel.io all the same."""
    with (
        RawServer(say_nothing, tls=server_tls()) as server,
        ForwardProxy(tls=server_tls() if is_proxy_encrypted else None) as proxy,
    ):
        outcome = open_chat(server.url.replace("127.0.0.1", "localhost"), proxy.origin)

    assert not_sent(UNVERIFIED) == outcome
    assert [] == server.received


def test_a_login_that_a_forwarding_proxy_refuses_is_not_sent() -> None:
    """A 407 is a proxy's own answer, and executes nothing: the event must not fail of it."""
    with (
        RawServer(say_nothing) as server,
        ForwardProxy(authorization="Proxy-Authorization") as proxy,
    ):
        outcome = open_chat(server.url, proxy.origin)

    assert not_sent("the proxy answered 407: it demands another user and password") == outcome
    assert [] == server.received


@pytest.mark.parametrize(
    ("reply", "status"),
    [(say(http(502, b"")), 502), (say(http(504, b"")), 504), (say(b""), None), (reset, None)],
)
def test_a_forwarding_proxy_proves_nothing(reply: Reply, status: int | None) -> None:
    """It may have passed the request on before it failed."""
    with RawServer(reply) as proxy:
        outcome = open_chat("http://channel.invalid/open/v4", proxy.origin)

    assert isinstance(outcome, Unknown)
    assert (FailureCode.NO_ANSWER, status) == (outcome.code, outcome.upstream_status)


@pytest.mark.parametrize("reply", [say(b""), reset])
def test_a_tunnel_that_breaks_after_the_request_proves_nothing(reply: Reply) -> None:
    """The request was sent; what became of it is not known."""
    with RawServer(reply, tls=server_tls()) as server, ForwardProxy() as proxy:
        outcome = open_chat(server.url, proxy.origin)

    assert isinstance(outcome, Unknown)
    assert FailureCode.NO_ANSWER == outcome.code


def test_a_failed_probe_names_the_proxy() -> None:
    """In a sentence for the engineer on call."""
    with RawServer(say(http(407, b""))) as proxy:
        problems = [
            client_of(url, proxy=proxy.origin).probe(deadline=time.monotonic() + AMPLE_SECONDS)
            for url in ("https://channel.invalid", "http://channel.invalid")
        ]

    why = "the proxy answered 407: it demands another user and password."
    assert [
        f"Channel.io did not answer the probe: {why}",
        f"Channel.io answered the probe with 407: {why}",
    ] == problems


# Deadlines, which fire in patched processes alone

SLOW: dict[str, Reply] = {
    "silence": say_nothing,
    "status line": drip(b"HTTP/1.1 ", b"2"),
    "informational answers": drip(b"", b"HTTP/1.1 103 Early\r\n\r\n"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "flood of headers": flood(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "flood of informational answers": flood(b"", b"HTTP/1.1 103 Early\r\n\r\n"),
}


@pytest.fixture(scope="module")
def slow_tunnels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Ended, bytes]]:
    """The end of a call for each proxy that does not come to an end, and all that it was sent."""
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(RawServer(reply)) for name, reply in SLOW.items()}
        calls = [
            PatchedCall(
                url="https://channel.invalid/open", proxy=proxy.origin, seconds=SHORT_SECONDS
            )
            for proxy in proxies.values()
        ]
        hasty = PatchedCall(
            url="https://channel.invalid/open",
            proxy=proxies["silence"].origin,
            connect_timeout_seconds=0.1,
        )
        ended = make_calls(tmp_path_factory.mktemp("tunnels"), *calls, hasty)
    ends = dict(zip([*proxies, "connect timeout"], ended, strict=True))
    return {
        name: (end, b"".join(proxies[name].received) if name in proxies else b"")
        for name, end in ends.items()
    }


@pytest.mark.parametrize("name", SLOW)
def test_the_deadline_bounds_the_opening_of_a_tunnel(
    slow_tunnels: Mapping[str, tuple[Ended, bytes]], name: str
) -> None:
    """However the proxy keeps the client waiting, nothing was sent; others are served meanwhile."""
    ended, sent = slow_tunnels[name]

    assert LATE == ended.outcome
    assert SHORT_SECONDS <= ended.seconds < SOON_SECONDS
    assert b"POST" not in sent


def test_connecting_to_a_proxy_has_the_shorter_limit(
    slow_tunnels: Mapping[str, tuple[Ended, bytes]],
) -> None:
    """As connecting to Channel.io has."""
    ended, _ = slow_tunnels["connect timeout"]

    assert LATE == ended.outcome
    assert ended.seconds < SOON_SECONDS


def test_no_tunnel_is_requested_after_the_deadline() -> None:
    """The clock is read after connecting to the proxy, too."""
    with RawServer(say_nothing) as proxy:
        connection = AttemptConnection(
            "127.0.0.1",
            proxy.port,
            attempt=CallAttempt(time.monotonic()),
            target=urlsplit("https://channel.invalid/open"),
            route=Route(trusting_tls(), parse_proxy_url(proxy.origin), AMPLE_SECONDS),
        )
        with pytest.raises(TooLateError):
            connection.connect()
        connection.close()
        arrived = proxy.received_up_to_now()

    assert [b""] == arrived


def test_a_process_that_stood_still_sends_nothing_through_a_tunnel(tmp_path: Path) -> None:
    """It wakes up with a tunnel that was opened meanwhile, and looks at the clock."""
    with create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        call = PatchedCall(url="https://channel.invalid/open", proxy=proxy, seconds=2)
        calls = StoppedCall(tmp_path / "calls.log", call)
        connection, _ = listener.accept()
        with connection:
            head = read_request(connection)
            calls.stop()
            connection.sendall(OPENED)
            calls.go_on_after_the_deadline()
            (ended,) = calls.ended()
            rest = connection.recv(65536)

    assert LATE == ended.outcome
    assert head.startswith(b"CONNECT channel.invalid:443 ")
    assert b"" == rest


@pytest.mark.parametrize("is_proxy_encrypted", [False, True], ids=["http proxy", "https proxy"])
def test_an_answer_in_a_tunnel_counts_though_the_process_stood_still(
    tmp_path: Path, *, is_proxy_encrypted: bool
) -> None:
    """Bytes that have arrived are read through one layer of TLS or two."""
    is_stopped = Event()

    def hold_then_answer(connection: socket) -> None:
        is_stopped.wait(PATIENCE_SECONDS)
        connection.sendall(b"HTTP/1.1 103 Early\r\n\r\n" + http(200, MADE))

    with (
        RawServer(hold_then_answer, tls=server_tls()) as server,
        ForwardProxy(tls=server_tls() if is_proxy_encrypted else None) as proxy,
    ):
        call = PatchedCall(url=server.url, proxy=proxy.origin, seconds=2, trusts_loopback=True)
        calls = StoppedCall(tmp_path / "calls.log", call)
        wait_until(lambda: server.received, PATIENCE_SECONDS, "the request")
        calls.stop()
        is_stopped.set()
        calls.go_on_after_the_deadline()
        (ended,) = calls.ended()

    assert CREATED == ended.outcome
