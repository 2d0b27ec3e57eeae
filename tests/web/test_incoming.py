"""When a request counts as whole: never before gunicorn's parser can read it all, and not later."""

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from app.web.incoming import MAX_CHUNKED_BYTES, MAX_HEAD_BYTES, Incoming, Stage

POST = b"POST /v1/events HTTP/1.1\r\nHost: relay\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

WHOLE = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: relay\r\n\r\n",
    b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
    POST + b"Content-Length: 0\r\n\r\n",
    POST + b"content-length:5\r\n\r\n\r\n\r\n!",
    POST + b"Content-Length: \t5\r\nX: y\r\n\r\nhello",
    CHUNKED + b"0\r\n\r\n",
    CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    CHUNKED + b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n000\r\nT: 1\r\nU: 2\r\n\r\n",
]
REFUSED = [
    b"G" * (MAX_HEAD_BYTES + 1),
    POST + b"Content-Length: 65537\r\n\r\n",
    POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    CHUNKED + b"zz\r\n",
    CHUNKED + b"-5\r\n",
    CHUNKED + b"fffffffffffffffffffff\r\n" + b"x" * MAX_CHUNKED_BYTES,
    CHUNKED + b"1\r\nx\r\n" * 30_000,
    CHUNKED + b"0" * (MAX_CHUNKED_BYTES + 1),
    CHUNKED + b"0\r\n" + b"T: 1\r\n" * 30_000,
]
NOT_YET = [
    (b"", Stage.HEAD),
    (b"GET / HTTP/1.1\r\nHost: relay\r\n", Stage.HEAD),
    (POST + b"Content-Length: 65536\r\n\r\n", Stage.BODY),
    (POST + b"Content-Length: 5\r\n\r\nhell", Stage.BODY),
    (POST + b"Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n", Stage.CONTINUE),
    (POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhe", Stage.BODY),
    (POST + b"Transfer-Encoding: chunked\r\nExpect:100-continue\r\n\r\n", Stage.CONTINUE),
    (b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", Stage.BODY),
    (CHUNKED + b"5\r\nhello", Stage.BODY),
    (CHUNKED + b"5\r\nhello\r\n0\r\n", Stage.BODY),
    (CHUNKED + b"0\r\nT: 1\r\n", Stage.BODY),
]


def arrived(*pieces: bytes) -> Incoming:
    """What there is after those pieces."""
    incoming = Incoming()
    for piece in pieces:
        incoming.add(piece)
    return incoming


def is_awaited(incoming: Incoming) -> bool:
    """Whether more has to come."""
    return incoming.stage not in {Stage.WHOLE, Stage.REFUSED}


@given(request=st.sampled_from(WHOLE), follows=st.binary(max_size=9), cuts=st.data())
def test_whole_is_what_the_parser_can_read(
    request: bytes, follows: bytes, cuts: st.DataObject
) -> None:
    """However it is cut: not one byte earlier, and what follows is left for the next request."""
    cut = cuts.draw(st.integers(0, len(request) - 1))
    incoming = arrived(request[:cut])
    assert is_awaited(incoming)

    incoming.add(request[cut:] + follows)
    assert incoming.stage is Stage.WHOLE

    parser = RequestParser(Config(), (), ("127.0.0.1", 1))
    parser.unreader = incoming
    incoming.release()
    assert isinstance(next(parser).body.read(), bytes)
    incoming.begin()
    assert follows == incoming.received


@pytest.mark.parametrize("request_", WHOLE)
def test_byte_by_byte(request_: bytes) -> None:
    """It is whole with its last byte."""
    *before, last = (bytes([byte]) for byte in request_)

    incoming = arrived(*before)
    assert is_awaited(incoming)

    incoming.add(last)
    assert incoming.stage is Stage.WHOLE


@pytest.mark.parametrize("start", REFUSED)
def test_hopeless_requests_are_not_waited_for(start: bytes) -> None:
    """What is too large, or breaks the format, goes to the parser, or the view, to be refused."""
    assert arrived(start).stage is Stage.REFUSED


def test_bare_line_feeds_are_not_waited_out() -> None:
    """gunicorn refuses them, and need not wait for a blank line of the right kind."""
    assert arrived(b"GET / HTTP/1.1\n\n").stage is Stage.WHOLE


@pytest.mark.parametrize(("start", "stage"), NOT_YET)
def test_incomplete_requests_are_waited_for(start: bytes, stage: Stage) -> None:
    """The stage tells what is missing; a client is allowed to go on where it has sent no body."""
    assert stage is arrived(start).stage
