"""Informational answers before the final one: https://www.rfc-editor.org/rfc/rfc9110#section-15.2."""

from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from itertools import chain, repeat
from typing import Any

import pytest

from app.channel.transport import FinalAnswerReader
from app.chats.outcome import Created, Refused, Throttled, Unknown
from app.chats.record import Chat, FailureCode
from tests.channel.calls import CHAT_ID, MADE, http, open_chat, probe
from tests.channel.raw_server import RawServer, say

CREATED = Created(Chat(CHAT_ID))
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize(
    "interim",
    [
        HINTS,
        CONTINUE,
        SWITCHING,
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 104 Upload Resumption Supported\r\nLocation: /x\r\n\r\n",
        b"HTTP/1.1 199\r\n\r\n",
        b"HTTP/1.0 103 Early Hints\n\n",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nA folded: value\r\n of two lines\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n" + 500 * b"Link: <a>\r\n" + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: " + 60_000 * b"a" + b"\r\n\r\n",
        CONTINUE + HINTS + SWITCHING + HINTS,
        500 * CONTINUE,
        500 * HINTS,
    ],
)
def test_the_ids_behind_informational_answers_are_read(interim: bytes) -> None:
    """However many there are, whichever, and whatever headers they have."""
    with RawServer(say(interim, http(200, MADE))) as server:
        assert CREATED == open_chat(server.url)


@pytest.mark.parametrize(
    ("final", "kind"),
    [
        (http(404, b""), Refused),
        (http(429, b"", "Retry-After: 3"), Throttled),
        (http(200, b"{}"), Unknown),
    ],
)
def test_the_final_answer_decides(final: bytes, kind: type) -> None:
    """Its status and its headers, and not those before it."""
    hints = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 99\r\n\r\n"
    with RawServer(say(hints, final)) as server:
        outcome = open_chat(server.url)

    assert kind is type(outcome)
    assert 3000 == getattr(outcome, "retry_after_ms", 3000)


@pytest.mark.parametrize(
    "interim",
    [
        HINTS,
        CONTINUE,
        SWITCHING,
        3 * HINTS,
        b"HTTP/1.1 103 Early Hints\r\nLink: <a>",
        b"HTTP/1.1 103 Early Hints\r\nLink: " + 70_000 * b"a" + b"\r\n\r\n" + http(200, MADE),
        SWITCHING + b"PRI * HTTP/2.0\r\n\r\n",
    ],
)
def test_without_a_final_answer_the_outcome_is_unknown(interim: bytes) -> None:
    """An informational answer does not show the result of the request."""
    with RawServer(say(interim)) as server:
        outcome = open_chat(server.url)

    assert isinstance(outcome, Unknown)
    assert (FailureCode.NO_ANSWER, None) == (outcome.code, outcome.upstream_status)


def test_a_probe_passes_over_them_too() -> None:
    """Its answer takes the same way."""
    with RawServer(say(HINTS, http(200, b'{"channel": {}}'))) as server:
        assert probe(server.url) is None


class Pieces(RawIOBase):
    """A stream that arrives in pieces of these sizes, again and again."""

    def __init__(self, content: bytes, sizes: Iterator[int]) -> None:
        self._content = content
        self._sizes = sizes

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next piece."""
        size = min(next(self._sizes), len(buffer), len(self._content))
        buffer[:size], self._content = self._content[:size], self._content[size:]
        return size


@pytest.mark.parametrize("rest", [1, 2, 8192])
def test_packets_may_end_anywhere(rest: int) -> None:
    """In a status line, between two line feeds, in the final answer."""
    final = http(200, MADE)
    for first in range(1, len(HINTS + CONTINUE) + 20):
        sizes = chain([first], repeat(rest))
        stream = BufferedReader(Pieces(HINTS + CONTINUE + final, sizes))
        assert final == BufferedReader(FinalAnswerReader(stream)).read()
