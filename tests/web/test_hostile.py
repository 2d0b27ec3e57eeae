"""Tests of raw bytes from hostile clients, on gunicorn's own process."""

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

import pytest

from app.web.problems import PROBLEMS
from tests.web.service import EVENT, READ_TOKEN, SUBMIT_TOKEN
from tools.stack.processes import free_port, start_child, stop_child, wait_until
from tools.stack.redis_client import Client
from tools.stack.relay import PYTHON, ROOT
from tools.stack.valkey import Valkey

COMMAND = [
    *(PYTHON, "-m", "gunicorn", "--config", "config/gunicorn.py"),
    "app.wsgi:application",
]
EVENT_BYTES = json.dumps(EVENT).encode()
LIMIT_BYTES = 65_536
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class RawAnswer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    content: dict[str, Any]

    @property
    def slug(self) -> str:
        """Which problem it is."""
        assert self.headers["content-type"] == "application/problem+json"
        return cast("str", self.content["type"]).removeprefix("/problems/")


@dataclass(frozen=True)
class Relay:
    """A web process on a port."""

    port: int
    log: Path

    def send(self, *parts: bytes) -> RawAnswer:
        """Send ``parts`` and read one answer."""
        with self.connect() as connection:
            connection.sendall(b"".join(parts))
            return read_answer(connection)

    def send_and_end(self, *parts: bytes) -> RawAnswer | None:
        """Send ``parts`` and no more, and read the one answer, if there is any."""
        with self.connect() as connection:
            connection.sendall(b"".join(parts))
            connection.shutdown(socket.SHUT_WR)
            if not connection.recv(1, socket.MSG_PEEK):
                return None
            answer = read_answer(connection)
            assert not connection.recv(1), "nothing follows the answer but the connection's end"
            return answer

    def connect(self) -> socket.socket:
        """A connection of its own."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)

    def is_served(self) -> bool:
        """Return whether the port has a listener yet."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def post(self, *body: bytes, headers: bytes) -> RawAnswer:
        """Post ``body`` unchanged, with the headers of its framing."""
        return self.send(post_head(headers), *body)

    def post_and_end(self, *body: bytes, headers: bytes) -> RawAnswer | None:
        """Post what is less than a request, or no request at all."""
        return self.send_and_end(post_head(headers), *body)


def post_head(headers: bytes) -> bytes:
    """The beginning of a post by a known caller."""
    lines = [
        b"POST /v1/events HTTP/1.1",
        b"Host: relay",
        b"Content-Type: application/json",
        b"Authorization: Bearer " + SUBMIT_TOKEN.encode(),
        headers,
    ]
    return b"\r\n".join([*lines, b"", b""])


def get(path: bytes, token: bytes = READ_TOKEN.encode()) -> bytes:
    """A look-up, as bytes."""
    return b"GET %s HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\n\r\n" % (path, token)


def length(size_bytes: int) -> bytes:
    """The header that announces a body of that size."""
    return b"Content-Length: %d" % size_bytes


CHUNKED = b"Transfer-Encoding: chunked"


def chunk(content: bytes) -> bytes:
    """One chunk; the empty one is the last."""
    return b"%x\r\n%s\r\n" % (len(content), content)


def read_answer(connection: socket.socket) -> RawAnswer:
    """The next answer on ``connection``."""
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    is_json = headers["content-type"].endswith("json")
    return RawAnswer(response.status, headers, json.loads(body) if is_json else {})


@contextmanager
def start_relay(redis_url: str, directory: Path, **settings: str) -> Iterator[Relay]:
    """Run the Procfile's web process."""
    relay = Relay(free_port(), directory / "web.log")
    environ = {
        "REDIS_URL": redis_url,
        "PORT": str(relay.port),
        "SUBMIT_TOKENS": f"orders:{SUBMIT_TOKEN}",
        "READ_TOKENS": f"crm:{READ_TOKEN}",
        "WEB_CONCURRENCY": "1",
        **settings,
    }
    with relay.log.open("wb") as output:
        child = start_child(COMMAND, env={**os.environ, **environ}, cwd=ROOT, output=output)
    try:
        wait_until(
            lambda: child.poll() is not None or relay.is_served(),
            PATIENCE_SECONDS,
            "the web process",
        )
        yield relay
    finally:
        stop_child(child)


@pytest.fixture(scope="module")
def running(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A web process for all tests here."""
    with start_relay(valkey.url, tmp_path_factory.mktemp("web")) as relay:
        yield relay


@pytest.fixture
def relay(running: Relay, redis_url: str) -> Iterator[Relay]:
    """The web process over an empty Redis; afterwards it serves, and nothing failed in it."""
    _ = redis_url
    written = running.log.stat().st_size
    yield running
    assert running.send(get(b"/livez")).status == 200
    logged = running.log.read_text()[written:]
    assert not [word for word in ("Traceback", "internal-error", '"error"') if word in logged]


def test_a_post_with_a_length(relay: Relay) -> None:
    """The everyday case, byte by byte on the wire."""
    answer = relay.post(EVENT_BYTES, headers=length(len(EVENT_BYTES)))

    assert (202, "/v1/events/refund-7731") == (answer.status, answer.headers["location"])
    assert answer.headers["cache-control"] == "no-store"


def test_a_post_in_chunks_without_a_length(relay: Relay) -> None:
    """A body may come in pieces of any size."""
    pieces = [EVENT_BYTES[:1], EVENT_BYTES[1:20], EVENT_BYTES[20:], b""]

    answer = relay.post(*map(chunk, pieces), headers=CHUNKED)

    assert answer.status == 202


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("size_bytes", "status"), [(LIMIT_BYTES, 202), (LIMIT_BYTES + 1, 413)])
def test_the_limit_is_the_same_however_a_body_is_framed(
    relay: Relay, client: Client, framing: str, size_bytes: int, status: int
) -> None:
    """64 KiB are read; of more the beginning is never taken for the whole."""
    body = EVENT_BYTES.ljust(size_bytes)

    if framing == "length":
        answer = relay.post(body, headers=length(size_bytes))
    else:
        answer = relay.post(chunk(body), chunk(b""), headers=CHUNKED)

    assert answer.status == status
    assert bool(client.keys("*")) == (status == 202)


def test_endless_chunks_are_refused_at_the_limit(relay: Relay, client: Client) -> None:
    """An oversized body is refused before it is complete."""
    answer = relay.post(chunk(EVENT_BYTES.ljust(3 * LIMIT_BYTES)), headers=CHUNKED)

    assert answer.slug == "too-large"
    assert not client.keys("*")


def test_a_body_that_is_shorter_than_announced_is_refused(relay: Relay, client: Client) -> None:
    """Even where what came is a whole event: the client meant to say more."""
    answer = relay.post_and_end(EVENT_BYTES, headers=length(len(EVENT_BYTES) + 1))

    assert answer is None or answer.slug == "malformed-json"
    assert not client.keys("*")


@pytest.mark.parametrize("rest", [b"", b"5", b"5\r\n", b"5\r\nabc", b"0", b"0\r\n"])
def test_chunks_that_end_early_are_refused(relay: Relay, client: Client, rest: bytes) -> None:
    """Without the last, empty chunk a body is not whole, whatever it looks like."""
    answer = relay.post_and_end(chunk(EVENT_BYTES), rest, headers=CHUNKED)

    assert answer is None or answer.slug == "malformed-json"
    assert not client.keys("*")


@pytest.mark.parametrize(
    "rest",
    [
        b"zz\r\n\r\n",
        b"-1\r\n\r\n",
        b"0x0\r\n\r\n",
        b"\r\n\r\n",
        b"5\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}",
        b"0;\n\r\n\r\n",
        b"0\r\nBad Trailer\r\n\r\n",
        b"1" * 10_000,
    ],
)
def test_broken_chunks_are_refused(relay: Relay, client: Client, rest: bytes) -> None:
    """A broken body is discarded, and so is the rest of the connection."""
    answer = relay.post_and_end(chunk(EVENT_BYTES), rest, get(b"/livez"), headers=CHUNKED)

    assert answer is None or answer.slug == "malformed-json"
    assert not client.keys("*")


@pytest.mark.parametrize("rest", [b"zz\r\n\r\n", b"-1\r\n\r\n", b"0x0\r\n\r\n", b"\r\n\r\n"])
def test_a_broken_chunk_is_answered_at_once(relay: Relay, rest: bytes) -> None:
    """The rest of a broken request is not awaited."""
    assert relay.post(chunk(EVENT_BYTES), rest, headers=CHUNKED).slug == "malformed-json"


def assert_refused(answer: RawAnswer | None, slug: str) -> None:
    """Check that gunicorn's refusal is a problem of the list, and the connection's last answer."""
    assert answer is not None
    assert (slug, PROBLEMS[slug].status) == (answer.slug, answer.status)
    assert answer.content == {
        "type": f"/problems/{slug}",
        "title": PROBLEMS[slug].title,
        "status": PROBLEMS[slug].status,
        "detail": PROBLEMS[slug].remedy,
        "request_id": answer.headers["request-id"],
    }
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["request-id"])
    assert ("no-store", "close") == (
        answer.headers["cache-control"],
        answer.headers["connection"],
    )


@pytest.mark.parametrize(
    ("headers", "slug"),
    [
        (b"Content-Length: x", "bad-request"),
        (b"Content-Length: -1", "bad-request"),
        (b"Content-Length: +5", "bad-request"),
        (b"Content-Length: 5\r\nContent-Length: 6", "bad-request"),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "bad-request"),
        (b"Content-Length: " + b"9" * 5000, "bad-request"),
        (b"Transfer-Encoding: chunked, chunked", "bad-request"),
        (b"Transfer-Encoding: nonsense", "not-implemented"),
        (b"Transfer-Encoding: gzip, chunked", "not-implemented"),
        (b"Transfer-Encoding: chunked, gzip", "not-implemented"),
        (b"Transfer-Encoding: GZip , Chunked", "not-implemented"),
        (b"Transfer-Encoding:\tdeflate,chunked", "not-implemented"),
        (b"Transfer-Encoding: compress,chunked", "not-implemented"),
        (b"Transfer-Encoding: identity, chunked", "not-implemented"),
        (b"Transfer-Encoding: chunked, identity", "not-implemented"),
        (b"Transfer-Encoding: identity", "not-implemented"),
        (b"Transfer-Encoding: gzip", "not-implemented"),
        (b"Transfer-Encoding: x-gzip, chunked", "not-implemented"),
        (b"Transfer-Encoding: chunked;q=1", "not-implemented"),
        (b"Transfer-Encoding:", "not-implemented"),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "not-implemented"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", "not-implemented"),
        (b"Transfer-Encoding: identity\r\ntransfer-encoding: chunked", "not-implemented"),
        (b"Content-Length: 5\r\nTransfer-Encoding: gzip, chunked", "bad-request"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "bad-request"),
        (b"Expect: nonsense", "expectation-failed"),
        (b"Bad Header: x", "bad-request"),
        (b"Bad-Value: a\x00b", "bad-request"),
        (b": x", "bad-request"),
        (b"Folded: a\r\n b", "bad-request"),
        (b"Long: " + b"x" * 10_000, "headers-too-large"),
        (b"\r\n".join(b"H%d: x" % number for number in range(200)), "headers-too-large"),
        (
            b"\r\n".join(b"H%d: %b" % (number, b"x" * 8000) for number in range(20)),
            "headers-too-large",
        ),
    ],
)
def test_a_broken_head_is_refused(relay: Relay, client: Client, headers: bytes, slug: str) -> None:
    """gunicorn's own refusals are problems as well, and then the connection ends."""
    assert_refused(relay.post_and_end(EVENT_BYTES, headers=headers), slug)
    assert not client.keys("*")


@pytest.mark.parametrize(
    ("line", "slug"),
    [
        (b"", "bad-request"),
        (b"GET", "bad-request"),
        (b"GET /livez", "bad-request"),
        (b"GET /livez HTTP/9.9", "bad-request"),
        (b"GET  /livez HTTP/1.1", "bad-request"),
        (b"GET /\xff\xfe HTTP/1.1 x", "bad-request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "bad-request"),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1", "uri-too-long"),
    ],
)
def test_bytes_that_are_not_http_are_refused(relay: Relay, line: bytes, slug: str) -> None:
    """As a problem, since nothing better is known of the client."""
    assert_refused(relay.send_and_end(line + b"\r\nHost: relay\r\n\r\n"), slug)


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/events/a%2Fb",
        b"/v1/events/%00",
        b"/v1/events/%ff%fe",
        b"/v1/events/%ed%a0%80",
        b"/v1/events/%0d%0aX-Injected:%20yes",
        b"/v1/events/%",
        b"/v1/events/%zz",
        b"/v1/events/..%2f..%2flivez",
        b"/v1/events/../../livez",
        b"/v1/events/" + b"a" * 4000,
        b"/v1/chats/%00",
        b"//v1/events/e",
        b"/%2e%2e/v1/events/e",
    ],
)
def test_odd_addresses_are_not_found(relay: Relay, path: bytes) -> None:
    """However they are written."""
    answer = relay.send(get(path))

    assert (404, "not-found") == (answer.status, answer.slug)
    assert "x-injected" not in answer.headers


BROKEN_BYTES = [b"%ff", b"a%80b", b"%ed%a0%80", b"%c0%af", b"%f0%9f%8e", b"%EF%BF%BD%ff"]


@pytest.mark.parametrize("broken", BROKEN_BYTES)
def test_an_id_that_is_not_utf8_is_refused_or_not_found(relay: Relay, broken: bytes) -> None:
    """422 where ids of the path are checked, and else 404, with a usual line in the log."""
    written = relay.log.stat().st_size

    listed = [
        relay.send(get(b"/v1/%b/chats" % path))
        for path in (b"users/" + broken, b"members/" + broken, b"members/" + broken + b"%2F")
    ]
    found = [relay.send(get(b"/v1/%b/%b" % (kind, broken))) for kind in (b"events", b"chats")]

    detail = "must be percent-encoded UTF-8"
    assert [(422, [detail])] * 3 == [
        (answer.status, [error["detail"] for error in answer.content["errors"]])
        for answer in listed
    ]
    assert ["not-found"] * 2 == [answer.slug for answer in found]
    lines = [json.loads(line) for line in relay.log.read_text()[written:].splitlines()]
    assert [("info", "request")] * 5 == [(line["level"], line["event"]) for line in lines]


def test_a_replacement_character_is_a_member(relay: Relay) -> None:
    """It may be part of an id, unlike the bytes that it is shown for elsewhere."""
    answer = relay.send(get(b"/v1/members/%EF%BF%BD/chats"))

    assert (200, "\ufffd") == (answer.status, answer.content["member_id"])


@pytest.mark.parametrize(
    "host",
    [
        *(b"", b":", b"any.example:80", b"any.example:", b"xn--0", b"a_b.c", b"a%20b", b"a,b"),
        *(b"[::1]", b"[::1]:8000", b"[fe80::1%25eth0]", b"10.0.0.1"),
    ],
)
def test_any_host_is_served(relay: Relay, host: bytes) -> None:
    """The load balancer decides which names lead here."""
    answer = relay.send(b"GET /livez HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    assert 200 == answer.status


@pytest.mark.parametrize("host", [b"a" * 70, b".", b"a..b"])
def test_an_unresolvable_no_proxy_host_is_accepted(relay: Relay, host: bytes) -> None:
    """It is served, or refused as what it is."""
    answer = relay.send(b"GET /livez HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    assert 200 == answer.status or "bad-request" == answer.slug


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    "host",
    [
        *(
            b"a..b:x",
            b"\xc3\xa9",
            b"a b",
            b"a/b",
            b"@",
            b"u@relay",
            b"a:1:2",
            b"a%2",
            b"a#b",
            b"a?b",
        ),
        *(
            b"[::1",
            b"::1",
            b"[]",
            b"[1.2.3.4]",
            b"[::g]",
            b"[fe80::1%eth0]",
            b"http://relay",
            b'"a"',
        ),
    ],
)
def test_an_impossible_host_is_refused(relay: Relay, host: bytes, version: bytes) -> None:
    """https://www.rfc-editor.org/rfc/rfc9112#section-3.2"""
    request = b"GET /livez HTTP/%b\r\nHost: %b\r\n\r\n" % (version, host)

    assert_refused(relay.send_and_end(request), "bad-request")


@pytest.mark.parametrize("hosts", [b"", b"Host: relay\r\nHost: relay\r\n", b"X-Host: relay\r\n"])
@pytest.mark.parametrize("line", [b"GET /livez", b"POST /v1/events", b"GET http://relay/livez"])
def test_a_request_without_one_host_is_refused(relay: Relay, line: bytes, hosts: bytes) -> None:
    """None or two, on every address, and also where the target names one."""
    assert_refused(relay.send_and_end(line + b" HTTP/1.1\r\n" + hosts + b"\r\n"), "bad-request")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_http_1_0_needs_no_host(relay: Relay, version: bytes) -> None:
    """As probes of old send it."""
    answer = relay.send_and_end(b"GET /livez HTTP/%b\r\n\r\n" % version)

    assert answer is not None
    assert (200 if version == b"1.0" else 400) == answer.status


def test_a_refusal_has_the_id_that_the_log_has(relay: Relay) -> None:
    """The trace's, where the request's head could be read."""
    trace_id = b"4bf92f3577b34da6a3ce929d0e0e4736"
    trace = b"traceparent: 00-" + trace_id + b"-00f067aa0ba902b7-01\r\n"
    written = relay.log.stat().st_size

    named = relay.send_and_end(b"GET /livez HTTP/1.1\r\n" + trace + b"\r\n")
    other = relay.send_and_end(b"nonsense\r\n\r\n")

    assert named is not None
    assert other is not None
    ids = [named.headers["request-id"], other.headers["request-id"]]
    assert trace_id.decode() == ids[0]
    lines = [json.loads(line) for line in relay.log.read_text()[written:].splitlines()]
    assert ids == [line["trace_id"] for line in lines if line["event"] == "request_refused"]


@pytest.mark.parametrize("host", [b"", b"Host: relay\r\n"])
@pytest.mark.parametrize("path", [b"/livez", b"/docs", b"/", b"/nowhere", b"/v1/events"])
def test_a_head_has_no_body(relay: Relay, path: bytes, host: bytes) -> None:
    """Nothing follows the head of an answer to HEAD, nor of a refusal by the server."""
    with relay.connect() as connection:
        connection.sendall(b"HEAD %b HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (path, host))
        connection.shutdown(socket.SHUT_WR)
        whole = b"".join(iter(lambda: connection.recv(65_536), b""))

    head, _, body = whole.partition(b"\r\n\r\n")
    assert (b"", True) == (body, b"Content-Length: " in head)
    assert b"Request-Id: " in head


def test_an_upgrade_is_passed_over(relay: Relay) -> None:
    """As it may be, https://www.rfc-editor.org/rfc/rfc9110#section-7.8"""
    upgrade = b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    answer = relay.send(b"GET /livez HTTP/1.1\r\nHost: relay" + upgrade)

    assert 200 == answer.status


def test_a_websocket_is_refused(relay: Relay) -> None:
    """No route serves one."""
    upgrade = b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = relay.send(b"GET /livez HTTP/1.1\r\nHost: relay" + upgrade)

    assert "bad-request" == answer.slug


@pytest.mark.parametrize(
    "target", [b"*", b"http://relay/v1/chats/c", b"relay:443", b"?", b"v1/chats/c", b"/\xff\xfe"]
)
def test_odd_targets_open_nothing(relay: Relay, target: bytes) -> None:
    """Absolute and other forms of address are served or refused, but never without a token."""
    assert relay.send(get(target, token=b"wrong")).status in {400, 401, 404}


@pytest.mark.parametrize(
    "token", [b"\xff\xfe", b"\xc3\xa9", SUBMIT_TOKEN.encode() + b"\xe9", b"x" * 8000, b"", b"a b"]
)
def test_odd_tokens_are_unauthorized(relay: Relay, token: bytes) -> None:
    """Any byte may be in a header."""
    answer = relay.send(get(b"/v1/chats/c", token=token))

    assert (401, "unauthorized") == (answer.status, answer.slug)
    assert answer.headers["www-authenticate"] == 'Bearer realm="chat-relay"'


def test_a_header_that_comes_twice_is_neither(relay: Relay, client: Client) -> None:
    """Two tokens are no token, and two keys no key, even where both are equal."""
    token = b"Authorization: Bearer " + SUBMIT_TOKEN.encode()
    key = b"Idempotency-Key: refund-7731"
    body = b'{"user_id":"u"}'

    two_tokens = relay.post(body, headers=token + b"\r\n" + length(len(body)))
    two_keys = relay.post(body, headers=b"\r\n".join([key, key, length(len(body))]))

    assert two_tokens.slug == "unauthorized"
    assert two_keys.content["errors"][0]["header"] == "Idempotency-Key"
    assert not client.keys("*")


@pytest.mark.parametrize(
    "name",
    [
        b"SCRIPT_NAME",
        b"PATH_INFO",
        b"Script-Name",
        b"X-Script-Name",
    ],
)
def test_a_header_cannot_move_the_address(relay: Relay, name: bytes) -> None:
    """Only the request line names the target."""
    request = b"GET /v1/chats/c HTTP/1.1\r\nHost: relay\r\n%s: /livez\r\n\r\n" % name

    assert relay.send(request).status == 401


def test_expect_continue_is_answered(relay: Relay) -> None:
    """``Expect: 100-continue`` gets its go-ahead, then its answer."""
    headers = b"Expect: 100-continue\r\n" + length(len(EVENT_BYTES))
    with relay.connect() as connection:
        connection.sendall(post_head(headers))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")

        connection.sendall(EVENT_BYTES)

        assert read_answer(connection).status == 202


def test_a_refused_body_is_not_taken_for_the_next_request(relay: Relay) -> None:
    """A request inside of an unread body stays inside of it: the connection ends."""
    inner = get(b"/v1/chats/inner")
    head = post_head(length(len(inner))).replace(b"application/json", b"text/plain")

    answer = relay.send_and_end(head, inner, get(b"/livez"))

    assert answer is not None
    assert (415, "close") == (answer.status, answer.headers["connection"])


def test_the_log_holds_no_token_and_nothing_of_a_body(relay: Relay) -> None:
    """However the request is broken, gunicorn's own messages included."""
    written = relay.log.stat().st_size
    marked = b'{"marked": "marked"}'

    relay.post(marked, headers=length(len(marked)))
    relay.post_and_end(marked[:-1], headers=length(len(marked)))
    relay.post_and_end(b"marked\r\n\r\n", headers=CHUNKED)
    relay.post(marked, headers=b"Idempotency-Key: marked key\r\n" + length(len(marked)))
    relay.send(get(b"/v1/chats/c?token=marked", token=b"marked"))
    relay.send(get(b"/v1/chats/c", token=b"marked\x00"))

    logged = relay.log.read_text()[written:]
    assert logged
    assert not [word for word in ("marked", SUBMIT_TOKEN, READ_TOKEN) if word in logged]


@pytest.mark.parametrize(
    ("headers", "body"),
    [(length(2), b'{}"marked"\r\n\r\n'), (b"Authorization Bearer marked", b"")],
)
def test_the_log_quotes_nothing_that_is_no_request(
    relay: Relay, headers: bytes, body: bytes
) -> None:
    """A length that is too small makes a body a request; a colon forgotten, a token a header."""
    written = relay.log.stat().st_size

    relay.post(body, headers=headers)

    def logged() -> str:
        lines = relay.log.read_text()[written:]
        return lines if "request_refused" in lines else ""

    assert "marked" not in wait_until(logged, PATIENCE_SECONDS, "the line of the refusal")


def test_the_log_of_a_debugger_holds_no_token(valkey: Valkey, tmp_path: Path) -> None:
    """gunicorn quotes a head that was cut off."""
    with start_relay(valkey.url, tmp_path, LOG_LEVEL="DEBUG") as relay:
        assert relay.send_and_end(post_head(b"Marked: marked")[:-3]) is None

        wait_until(
            lambda: "client disconnection" in relay.log.read_text(),
            PATIENCE_SECONDS,
            "the line of a client that has gone",
        )
        logged = relay.log.read_text()

    assert not [word for word in ("marked", SUBMIT_TOKEN) if word in logged]
