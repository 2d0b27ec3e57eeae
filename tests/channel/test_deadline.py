"""One deadline bounds the whole of a call, and nothing is sent after it."""

import time
from socket import create_connection

import pytest

from app.channel.call import Answer, Call, Ending, TooLate
from app.channel.transport import CallConnection
from app.chats.outcome import NotSent, Refused, Unknown
from app.chats.record import FailureCode
from tests.channel.calls import (
    ACCESS_KEY,
    AMPLE_SECONDS,
    SHORT_SECONDS,
    USER_ID,
    client_of,
    http,
    open_chat,
    probe,
)
from tests.channel.raw_server import (
    RawServer,
    Reply,
    drip,
    reset,
    say_nothing,
    server_tls,
    trusting_tls,
)

pytestmark = pytest.mark.usefixtures("no_call_is_left")

LATE = "Nothing was sent to Channel.io: time ran out."
DRIPPED = {
    "status line": drip(b"HTTP/1.1 ", b"2"),
    "interim answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "one header": drip(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
}
HUGE = 10_000_000


@pytest.mark.parametrize("reply", DRIPPED.values(), ids=DRIPPED)
def test_an_answer_that_drips_is_no_answer(reply: Reply) -> None:
    """Each byte comes in time, so only the deadline of the whole call ends it."""
    with RawServer(reply) as server:
        began = time.monotonic()
        outcome = open_chat(server.url, seconds=SHORT_SECONDS)
        took_seconds = time.monotonic() - began

    assert isinstance(outcome, Unknown)
    assert (FailureCode.NO_ANSWER, None) == (outcome.code, outcome.upstream_status)
    assert SHORT_SECONDS <= took_seconds < AMPLE_SECONDS / 2


def test_a_status_counts_while_its_body_drips() -> None:
    """A 404 decides by itself, whether the rest of it comes or not."""
    with RawServer(drip(http(404, b"{", length=HUGE), b" ")) as server:
        outcome = open_chat(server.url, seconds=SHORT_SECONDS)

    assert isinstance(outcome, Refused)
    assert FailureCode.USER_NOT_FOUND == outcome.code


def test_a_success_whose_body_drips_is_unknown() -> None:
    """A chat was probably made, and its id did not come in time."""
    with RawServer(drip(http(200, b"{", length=HUGE), b" ")) as server:
        outcome = open_chat(server.url, seconds=SHORT_SECONDS)

    assert isinstance(outcome, Unknown)
    assert (FailureCode.UNREADABLE_ANSWER, 200) == (outcome.code, outcome.upstream_status)


def test_a_dripping_answer_over_tls_is_cut_as_well() -> None:
    """The thread is woken under the encryption, too."""
    with RawServer(drip(http(200, b"{", length=HUGE), b" "), tls=server_tls()) as server:
        client = client_of(server.url, tls=trusting_tls())
        outcome = client.open_chat(USER_ID, deadline=time.monotonic() + SHORT_SECONDS)

    assert isinstance(outcome, Unknown)


def test_a_handshake_that_hangs_is_not_sent() -> None:
    """requests calls this a read timeout, although no byte of the request went out."""
    with RawServer(say_nothing) as server:
        outcome = open_chat(server.url.replace("http:", "https:"), seconds=SHORT_SECONDS)
        handshake = server.received_up_to_now()[0]

    assert NotSent(LATE) == outcome
    assert b"POST" not in handshake
    assert ACCESS_KEY.encode() not in handshake


def test_connecting_has_a_shorter_limit_of_its_own() -> None:
    """A host that cannot be reached does not hold the worker for the whole deadline."""
    with RawServer(say_nothing) as server:
        client = client_of(server.url.replace("http:", "https:"), connect_timeout_seconds=0.1)
        began = time.monotonic()
        outcome = client.open_chat(USER_ID, deadline=began + AMPLE_SECONDS)
        took_seconds = time.monotonic() - began

    assert NotSent(LATE) == outcome
    assert took_seconds < AMPLE_SECONDS / 2


def test_a_probe_is_bounded_like_a_create() -> None:
    """A probe that hangs says so in time."""
    with RawServer(say_nothing) as server:
        problem = probe(server.url, seconds=SHORT_SECONDS)

    assert "Channel.io did not answer the probe: time ran out." == problem


def test_nothing_is_sent_once_the_deadline_has_passed() -> None:
    """Not even a connection is opened."""
    with RawServer(say_nothing) as server:
        outcome = open_chat(server.url, seconds=-0.001)
        arrived = server.received_up_to_now()

    assert NotSent(LATE) == outcome
    assert [] == arrived


def test_nothing_is_sent_if_the_deadline_passes_after_connecting() -> None:
    """The check is made once more, just before the first byte."""
    call = Call(time.monotonic())

    assert [b""] == what_arrives_over_a_connection_of(call)
    assert Ending(sent=False) == call.wait()


def test_nothing_is_sent_once_the_caller_has_given_up() -> None:
    """Whoever waited has said what the call came to, and that must stay true."""
    call = Call(time.monotonic() + AMPLE_SECONDS)
    call.run(lambda _: None)
    call.wait()

    assert [b""] == what_arrives_over_a_connection_of(call)


def what_arrives_over_a_connection_of(call: Call) -> list[bytes]:
    """What the server sees if a request is made over a connection that is there already."""
    with RawServer(say_nothing) as server:
        connection = CallConnection("127.0.0.1", server.port, call=call, tls=trusting_tls())
        connection.connect()
        with pytest.raises(TooLate):
            connection.request("POST", "/")
        connection.close()
        call.run(lambda _: None)
        return server.received_up_to_now()


def test_a_connection_that_is_gone_can_be_given_up() -> None:
    """There is nothing left to cut, and that is no error."""
    call = Call(time.monotonic())

    with RawServer(reset) as server, create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
        call.watch(line)
        ending = call.wait()
        call.run(lambda _: None)

    assert Ending(sent=False) == ending


def test_a_call_ends_with_what_was_known_by_then() -> None:
    """Sent, answered and broken are told apart, each as it became known."""
    call = Call(time.monotonic() + AMPLE_SECONDS)

    def speak(call: Call) -> None:
        call.begin()
        call.hear(Answer(200, {}))
        raise ConnectionResetError

    call.run(speak)

    assert Ending(sent=True, answer=Answer(200, {}), fault="ConnectionResetError") == call.wait()
