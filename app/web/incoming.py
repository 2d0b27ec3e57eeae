"""How much of a request has come: whether a thread can have it, or its client must send more.

Here is decided *when* gunicorn's parser gets a request. What it means, the parser decides alone: a
guess that differs from the parser's view costs nobody a thread, as that reads from memory only.
"""

import re
from collections.abc import Generator, Iterator
from enum import Enum, auto

from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.unreader import Unreader

from app.web.reading import MAX_BODY_BYTES

MAX_HEAD_BYTES = 32 * 1024
MAX_CHUNKED_BYTES = 2 * MAX_BODY_BYTES  # as sent; chunks of a few bytes are mostly framing

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")  # gunicorn refuses bare line feeds, at once
# Of a head in small letters.
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})")
_CHUNKED = b"\ntransfer-encoding:"
_EXPECTS = re.compile(rb"\nexpect:[ \t]*100-continue")
_CHUNK_SIZE = re.compile(rb"[0-9a-f]+", re.IGNORECASE)


class Stage(Enum):
    """How much of a request has come."""

    HEAD = auto()  # nothing, or less than the head
    CONTINUE = auto()  # the head alone: the client wants to be told that it may send the body
    BODY = auto()  # the head, and less than the body
    WHOLE = auto()
    REFUSED = auto()  # more than is ever accepted, or broken: what may follow changes nothing


class Incoming(Unreader):  # type: ignore[misc]
    """What a client has sent and no request has used yet; gunicorn's parser reads from here."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        """Look at what the parser has left as the start of the next request."""
        self.received = bytearray(self.take_buffered())
        self._stages = _stages(self.received)
        self.stage = next(self._stages)

    def add(self, piece: bytes = b"") -> None:
        """Take in what has come."""
        self.received += piece
        self.stage = next(self._stages)

    def release(self) -> None:
        """Let the parser have it."""
        self.unread(bytes(self.received))
        self.received.clear()

    def chunk(self, _size_hint: int | None = None) -> bytes:
        """The parser wants more than there is, and is told why no more will come."""
        if self.stage is Stage.BODY:
            raise TimeoutError("the body did not come in time")
        if self.stage is Stage.REFUSED:
            raise LimitRequestHeaders("the request is larger than is accepted, or broken")
        return b""


def _stages(received: bytearray) -> Iterator[Stage]:
    """Tell the stage of the request that ``received`` starts with, anew each time it has grown."""
    start = yield from _receive_head(received)
    head = bytes(received[:start]).lower()
    is_chunked = _CHUNKED in head
    length = _LENGTH.search(head)
    body_bytes = int(length[1]) if length else 0
    if body_bytes > MAX_BODY_BYTES:
        yield Stage.REFUSED
    expects = b" http/1.1\r\n" in head and _EXPECTS.search(head)
    if expects and (is_chunked or body_bytes) and len(received) == start:
        yield Stage.CONTINUE
    if is_chunked:
        yield from _receive_chunks(received, start)
    while len(received) < start + body_bytes:
        yield Stage.BODY
    yield Stage.WHOLE


def _receive_head(received: bytearray) -> Generator[Stage, None, int]:
    """Return where the body starts."""
    searched = 0
    while not (found := _BLANK_LINE.search(received, max(0, searched - 3))):
        searched = len(received)
        yield Stage.HEAD if searched <= MAX_HEAD_BYTES else Stage.REFUSED
    return found.end()


def _receive_chunks(received: bytearray, at: int) -> Iterator[Stage]:
    """Walk from chunk to chunk, https://www.rfc-editor.org/rfc/rfc9112#section-7.1"""
    too_many = at + MAX_CHUNKED_BYTES

    def find(end: bytes, start: int) -> Generator[Stage, None, int]:
        while (found := received.find(end, start)) < 0:
            yield Stage.BODY if len(received) <= too_many else Stage.REFUSED
        return found

    size_bytes = None
    while size_bytes != 0:
        line_end = yield from find(b"\r\n", at)
        size = _CHUNK_SIZE.match(received, at)
        if size is None:
            yield Stage.REFUSED
            return
        size_bytes = int(size[0], 16)
        at = line_end + 2 + size_bytes + 2
    yield from find(b"\r\n\r\n", line_end)  # of the last chunk, or of the trailers behind it
