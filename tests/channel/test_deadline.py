"""One deadline bounds the whole of a call, and nothing is sent after it.

Deadlines fire in patched processes alone, so these calls are made in some.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from io import BufferedReader, RawIOBase
from itertools import count
from pathlib import Path
from socket import MSG_PEEK, create_server
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest
from gevent import Timeout

from app.channel.attempt import CallAttempt, TooLateError
from app.channel.transport import MAX_BODY_BYTES, AttemptConnection, ResponseReader, Route
from app.chats.outcome import Created, LookFailed, NotSent, Refused, Unknown
from app.chats.record import Chat, FailureCode
from tests.channel.calls import (
    ACCESS_KEY,
    AMPLE_SECONDS,
    CHAT_ID,
    MADE,
    SHORT_SECONDS,
    http,
)
from tests.channel.patched import Ended, PatchedCall, StoppedCall, make_calls
from tests.channel.raw_server import (
    RawServer,
    Reply,
    drip,
    flood,
    read_request,
    say,
    say_nothing,
    server_tls,
    trusting_tls,
)
from tools.stack.hanging_look_ups import HANGING_HOST
from tools.stack.processes import wait_until

HINTS = 100 * b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
LATE = "The request was not sent to Channel.io: time ran out."
HUGE = 10_000_000
SOON_SECONDS = AMPLE_SECONDS / 2
PATIENCE_SECONDS = 30

DRIPPED: dict[str, Reply] = {
    "status line": drip(b"HTTP/1.1 ", b"2"),
    "interim answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"),
    "headers of early hints": drip(b"HTTP/1.1 103 Early Hints\r\n", b"x: y\r\n"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "one header": drip(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
}
DRIPPED_BODIES: dict[str, Reply] = {
    "body of a 404": drip(http(404, b"{", length=HUGE), b" "),
    "body of a 200": drip(http(200, b"{", length=HUGE), b" "),
}
OVER_TLS = ("status line", "body of a 200")
LAST_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
FLOODS: dict[str, Reply] = {
    "interim answers": flood(
        b"", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    ),
    "trailers": flood(LAST_CHUNK, b"x: y\r\n"),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[ExitStack]:
    """Holds the servers of this file, which serve to the end of its tests."""
    with ExitStack() as servers:
        yield servers


# Answers that do not come


@pytest.fixture(scope="module")
def dripped(servers: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """Result of a call for each dripping answer; all calls run at once."""
    replies = DRIPPED | DRIPPED_BODIES
    serving = {name: RawServer(reply) for name, reply in replies.items()}
    for name in OVER_TLS:
        serving[f"{name}, TLS"] = RawServer(replies[name], tls=server_tls())
    calls = [
        PatchedCall(
            url=servers.enter_context(server).url, seconds=SHORT_SECONDS, trusts_loopback=True
        )
        for server in serving.values()
    ]
    ended = make_calls(tmp_path_factory.mktemp("dripped"), *calls)
    return dict(zip(serving, ended, strict=True))


@pytest.mark.parametrize("name", [*DRIPPED, "status line, TLS"])
def test_an_answer_that_drips_is_no_answer(dripped: Mapping[str, Ended], name: str) -> None:
    """Each byte comes in time, so only the deadline of the whole call ends it."""
    ended = dripped[name]

    assert isinstance(ended.outcome, Unknown)
    assert (FailureCode.NO_ANSWER, None) == (ended.outcome.code, ended.outcome.upstream_status)
    assert ended.outcome.detail.endswith("no whole answer came: time ran out.")
    assert SHORT_SECONDS <= ended.seconds < SOON_SECONDS


def test_a_status_counts_while_its_body_drips(dripped: Mapping[str, Ended]) -> None:
    """A 404 decides by itself, whether the rest of it comes or not."""
    outcome = dripped["body of a 404"].outcome

    assert isinstance(outcome, Refused)
    assert FailureCode.USER_NOT_FOUND == outcome.code


@pytest.mark.parametrize("name", ["body of a 200", "body of a 200, TLS"])
def test_a_success_whose_body_drips_is_unknown(dripped: Mapping[str, Ended], name: str) -> None:
    """A chat was probably made, and its id did not come in time."""
    outcome = dripped[name].outcome

    assert isinstance(outcome, Unknown)
    assert (FailureCode.UNREADABLE_ANSWER, 200) == (outcome.code, outcome.upstream_status)


@pytest.mark.parametrize("name", FLOODS)
def test_an_answer_that_never_pauses_holds_up_no_other_call(tmp_path: Path, name: str) -> None:
    """It ends at its deadline, and a call beside it is answered meanwhile."""
    with RawServer(FLOODS[name]) as flooding, RawServer(say(http(200, MADE))) as server:
        flooded, other = make_calls(
            tmp_path,
            PatchedCall(url=flooding.url, seconds=3),
            PatchedCall(url=server.url),
        )

    assert isinstance(flooded.outcome, Unknown)
    assert flooded.seconds < SOON_SECONDS
    assert Created(Chat(CHAT_ID)) == other.outcome
    assert other.seconds < flooded.seconds


def test_a_probe_is_bounded_like_a_create(tmp_path: Path) -> None:
    """A probe that hangs reports it in time."""
    with RawServer(say_nothing) as server:
        (ended,) = make_calls(
            tmp_path, PatchedCall(url=server.url, seconds=SHORT_SECONDS, is_probe=True)
        )

    assert "Channel.io did not answer the probe: time ran out." == ended.problem
    assert ended.seconds < SOON_SECONDS


# Connections that do not come to be


def test_a_handshake_that_hangs_is_not_sent(tmp_path: Path) -> None:
    """requests calls this a read timeout, although no byte of the request went out."""
    with RawServer(say_nothing) as server:
        url = server.url.replace("http:", "https:")
        (ended,) = make_calls(tmp_path, PatchedCall(url=url, seconds=SHORT_SECONDS))
        handshake = server.received_up_to_now()[0]

    assert NotSent(LATE) == ended.outcome
    assert SHORT_SECONDS <= ended.seconds < SOON_SECONDS
    assert b"POST" not in handshake
    assert ACCESS_KEY.encode() not in handshake


def test_connecting_has_a_shorter_limit_of_its_own(tmp_path: Path) -> None:
    """A host that cannot be reached does not hold a slot for the whole deadline."""
    with RawServer(say_nothing) as server:
        url = server.url.replace("http:", "https:")
        (ended,) = make_calls(tmp_path, PatchedCall(url=url, connect_timeout_seconds=0.1))

    assert NotSent(LATE) == ended.outcome
    assert ended.seconds < SOON_SECONDS


def test_a_connect_that_hangs_is_not_sent(tmp_path: Path) -> None:
    """Its packets are dropped, as those to a host that is gone."""
    with create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        fill_backlog(listener, stack)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/open/v4"
        (ended,) = make_calls(tmp_path, PatchedCall(url=url, seconds=SHORT_SECONDS))

    assert NotSent(LATE) == ended.outcome
    assert SHORT_SECONDS <= ended.seconds < SOON_SECONDS


def fill_backlog(listener: socket.socket, stack: ExitStack) -> None:
    """Connect until the system answers no more connection."""
    while True:
        client = stack.enter_context(socket.socket())
        client.settimeout(SHORT_SECONDS)
        try:
            client.connect(listener.getsockname())
        except TimeoutError:
            return


def test_a_look_up_that_hangs_keeps_neither_call_nor_process(tmp_path: Path) -> None:
    """The system cannot be made to give it up: its thread is left behind."""
    url = f"http://{HANGING_HOST}/open/v4"
    began = time.monotonic()
    (ended,) = make_calls(tmp_path, PatchedCall(url=url, seconds=SHORT_SECONDS))

    assert NotSent(LATE) == ended.outcome
    assert ended.seconds < SOON_SECONDS
    assert time.monotonic() - began < AMPLE_SECONDS


# A deadline that has passed


def test_nothing_is_sent_once_the_deadline_has_passed(tmp_path: Path) -> None:
    """Not even a connection is opened."""
    with RawServer(say_nothing) as server:
        (ended,) = make_calls(tmp_path, PatchedCall(url=server.url, seconds=-0.001))
        arrived = server.received_up_to_now()

    assert NotSent(LATE) == ended.outcome
    assert [] == arrived


def test_nothing_is_sent_if_the_deadline_passes_after_connecting() -> None:
    """The check is made once more, just before the first byte."""
    attempt = CallAttempt(time.monotonic())
    with RawServer(say_nothing) as server:
        connection = AttemptConnection(
            "127.0.0.1",
            server.port,
            attempt=attempt,
            target=urlsplit(server.url),
            route=Route(trusting_tls(), None, AMPLE_SECONDS),
        )
        connection.connect()
        with pytest.raises(TooLateError):
            connection.request("POST", "/")
        connection.close()
        arrived = server.received_up_to_now()

    assert [b""] == arrived
    assert not attempt.is_sent


def test_no_body_is_sent_if_the_deadline_passes_after_the_head() -> None:
    """Half a request is executed by none."""
    attempt = CallAttempt(time.monotonic() + AMPLE_SECONDS)

    def body() -> Iterator[bytes]:
        attempt.deadline = time.monotonic()
        yield b"late"

    with RawServer(say_nothing) as server:
        connection = AttemptConnection(
            "127.0.0.1",
            server.port,
            attempt=attempt,
            target=urlsplit(server.url),
            route=Route(trusting_tls(), None, AMPLE_SECONDS),
        )
        with pytest.raises(TooLateError):
            connection.request("POST", "/", body=body(), headers={"Content-Length": "4"})
        connection.close()
        (arrived,) = server.received_up_to_now()

    assert arrived.startswith(b"POST / HTTP/1.1\r\n")
    assert arrived.endswith(b"\r\n\r\n")
    assert attempt.is_sent


def test_one_deadline_bounds_all_requests_of_a_task(tmp_path: Path) -> None:
    """Each page comes in good time, and the deadline ends the look at them."""
    pages = count()

    def say_a_page(connection: socket.socket) -> None:
        time.sleep(SHORT_SECONDS / 2)
        connection.sendall(http(200, b'{"messages": [], "next": "page-%d"}' % next(pages)))

    with RawServer(say_a_page) as server:
        (ended,) = make_calls(
            tmp_path, PatchedCall(url=server.url, seconds=3 * SHORT_SECONDS, chat_id=CHAT_ID)
        )
        methods = {request.partition(b" ")[0] for request in server.received_up_to_now()}

    assert isinstance(ended.outcome, LookFailed | NotSent)
    assert 3 * SHORT_SECONDS <= ended.seconds < SOON_SECONDS
    assert 2 <= ended.requests <= 6
    assert {b"GET"} == methods


# A process that stood still at its deadline


LOOKS: dict[str, tuple[dict[str, Any], bytes]] = {
    "message": ({"chat_id": CHAT_ID}, b'{"messages": []}'),
    "page": ({"chat_id": CHAT_ID}, b'{"messages": [], "next": "more"}'),
    "open": ({"chat_id": CHAT_ID, "is_open": True}, b'{"userChat": {"state": "initial"}}'),
    "hop": ({"member_id": "m1"}, b'{"user": {"id": "u0", "type": "unified", "unifiedId": "u1"}}'),
}


@pytest.mark.parametrize(("task", "look"), LOOKS.values(), ids=LOOKS.keys())
def test_a_look_is_followed_by_no_request_past_the_deadline(
    tmp_path: Path, task: dict[str, Any], look: bytes
) -> None:
    """Its answer had come, and would lead to a write or to another look: none is begun."""
    with create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/open/v4"
        calls = StoppedCall(tmp_path / "calls.log", PatchedCall(url=url, seconds=2, **task))
        connection, _ = listener.accept()
        with connection:
            read_request(connection)
            calls.stop()
            connection.sendall(http(200, look))
        calls.go_on_after_the_deadline()
        (ended,) = calls.ended()
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()

    assert (NotSent(LATE), 1) == (ended.outcome, ended.requests)


def test_nothing_is_sent_by_a_process_that_stood_still_past_the_deadline(tmp_path: Path) -> None:
    """It wakes up with a connection on which it might send, and looks at the clock."""
    with create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/open/v4"
        calls = StoppedCall(
            tmp_path / "calls.log", PatchedCall(url=url, seconds=2, trusts_loopback=True)
        )
        connection, _ = listener.accept()
        connection.recv(1, MSG_PEEK)  # it is in the midst of the handshake
        calls.stop()
        request = pool.submit(handshake_and_read, connection)
        calls.go_on_after_the_deadline()
        (ended,) = calls.ended()

    assert NotSent(LATE) == ended.outcome
    assert b"" == request.result()


def handshake_and_read(connection: socket.socket) -> bytes:
    """Shake hands as the server; return what comes after that, or nothing if it is hung up."""
    with suppress(ConnectionError), encrypted(connection) as line:
        return read_request(line)
    return b""


@pytest.mark.parametrize(("hints", "size_bytes"), [(b"", 0), (HINTS, 32_000)])
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "TLS"])
def test_an_answer_that_has_come_counts_though_the_process_stood_still(
    tmp_path: Path, hints: bytes, size_bytes: int, *, is_encrypted: bool
) -> None:
    """Bytes that have arrived are read after the deadline, in one piece or many."""
    answer = hints + http(200, MADE[:-1] + b', "user": "' + b"x" * size_bytes + b'"}')
    scheme = "https" if is_encrypted else "http"
    with create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/open/v4"
        calls = StoppedCall(
            tmp_path / "calls.log", PatchedCall(url=url, seconds=2, trusts_loopback=True)
        )
        accepted, _ = listener.accept()
        with encrypted(accepted) if is_encrypted else accepted as connection:
            read_request(connection)
            calls.stop()
            connection.sendall(answer)
            calls.go_on_after_the_deadline()
            (ended,) = calls.ended()

    assert Created(Chat(CHAT_ID)) == ended.outcome


def encrypted(connection: socket.socket) -> socket.socket:
    """Shake hands as the server."""
    return server_tls().wrap_socket(connection, server_side=True)


class LongAnswer(RawIOBase):
    """An answer that has come, and goes on for 1 MiB after ``timeout`` has fired."""

    def __init__(self, timeout: Timeout) -> None:
        self.size = 0
        self._timeout = timeout
        self._rest = MAX_BODY_BYTES

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read a piece."""
        size = len(buffer) if self._timeout.pending else min(len(buffer), self._rest)
        self._rest -= 0 if self._timeout.pending else size
        self.size += size
        return size


def test_a_deadline_while_other_greenlets_have_their_turn_loses_nothing() -> None:
    """The reader yields in a long answer, and reads the rest of what has come all the same."""
    answer = LongAnswer(Timeout.start_new(0))
    size = 0
    with socket.socket() as line, closing(BufferedReader(ResponseReader(line, answer))) as stream:
        while piece := stream.read1():
            size += len(piece)

    assert answer.size == size > MAX_BODY_BYTES


def test_an_answer_that_never_pauses_ends_though_the_process_stood_still(tmp_path: Path) -> None:
    """After the deadline something is read always; so much of it counts, and no more."""
    is_stopped = Event()

    def hold_then_flood(connection: socket.socket) -> None:
        is_stopped.wait(PATIENCE_SECONDS)
        FLOODS["interim answers"](connection)

    with RawServer(hold_then_flood) as server:
        calls = StoppedCall(tmp_path / "calls.log", PatchedCall(url=server.url, seconds=2))
        wait_until(lambda: server.received, PATIENCE_SECONDS, "the request")
        calls.stop()
        is_stopped.set()
        calls.go_on_after_the_deadline()
        (ended,) = calls.ended()

    assert isinstance(ended.outcome, Unknown)
    assert ended.seconds < SOON_SECONDS
