"""Request to the stand-in, with the means to answer it."""

import math
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate

from tools.stack.channel_io.answers import (
    Content,
    Headers,
    Json,
    encode,
    http_bytes,
    media_type,
)
from tools.stack.channel_io.barrier import Barrier, Withheld
from tools.stack.channel_io.rate_limit import Level

LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(kw_only=True, slots=True)
class Exchange:
    """A request, and the means to answer it.

    ``perform`` executes the request, records its effect, and returns the answer, not yet sent; it
    raises RefusedRequest. ``seconds``, ``retry_after`` and ``withheld`` are the test's arguments
    for the behaviour.
    """

    path: str
    connection: socket.socket
    barrier: Barrier
    stopping: threading.Event
    level: Level
    perform: Callable[[], Json] = dict
    seconds: float | None = None
    retry_after: str | None = None
    withheld: Withheld | None = None
    keeps_connection: bool = True

    def answer(self, status: int, content: Content, headers: Headers = ()) -> None:
        """Send a whole answer: bytes unchanged, other content as JSON."""
        self.send(self.compose(status, content, headers))

    def compose(self, status: int, content: Content, headers: Headers = ()) -> bytes:
        """Return the bytes of a whole answer, with Channel.io's usual headers."""
        body = encode(content)
        length = ("Content-Length", str(len(body)))
        kind = ("Content-Type", media_type(content))
        return http_bytes(status, [*self.usual_headers(), kind, length, *headers], body)

    def usual_headers(self) -> Iterator[tuple[str, str]]:
        """Return the headers of date and rate limit."""
        yield "Date", formatdate(usegmt=True)
        yield "x-ratelimit-limit", str(self.level.limit)
        yield "x-ratelimit-remaining", str(self.level.remaining)
        yield "x-ratelimit-reset", str(math.ceil(time.time() + self.level.wait_seconds))

    def send(self, raw: bytes) -> None:
        """Send bytes; the withheld part follows at the next release."""
        if self.withheld is Withheld.BODY:
            head, line_breaks, raw = raw.partition(b"\r\n\r\n")
            self.connection.sendall(head + line_breaks)
        self._wait_for_release()
        self.connection.sendall(raw)

    def send_dripping(self, raw: bytes, pause_seconds: float) -> None:
        """Send one byte at a time, with a pause after each."""
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw:
            self.send(bytes([byte]))
            self.pause(pause_seconds)

    def pause(self, seconds: float) -> None:
        """Wait, at most until the stand-in stops."""
        self.stopping.wait(seconds)

    def hang_up(self) -> None:
        """Close the connection, after the next release if the answer is withheld."""
        self._wait_for_release()
        self.keeps_connection = False

    def hang_up_now(self) -> None:
        """Close the connection before the request ends; nothing can be sent after it."""
        self.keeps_connection = False
        self.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Close the connection with an RST."""
        self.keeps_connection = False
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        os.close(self.connection.detach())

    def wait_for_hang_up(self) -> None:
        """Send nothing until the client closes."""
        self.keeps_connection = False
        while self.connection.recv(1024):
            pass

    def _wait_for_release(self) -> None:
        if self.withheld is not None:
            self.withheld = None
            self.barrier.wait()
