"""Proxy to Redis that loses data without closing connections."""

import socket
import struct
import time
from contextlib import suppress
from random import Random
from threading import Event, Thread
from types import TracebackType
from typing import Self

GRANT = b"$5\r\ngrant\r\n"  # a reply of `take` with a grant contains it
LINGER_NOT = struct.pack("ii", 1, 0)  # a close is then a reset


class RedisLine:
    """Proxy between clients and the Redis at ``port``, which passes everything until it is cut.

    Each command and each reply takes ``delay_seconds``. ``said`` counts commands and replies,
    ``losses`` those that ``lose`` dropped.
    """

    def __init__(self, port: int) -> None:
        """Listen, but accept no client yet."""
        self._is_cut = Event()
        self._mark: bytes | None = None
        self._lost_share = 0.0
        self._resets = False
        self._random = Random()  # noqa: S311 - no secret
        self.delay_seconds = 0.0
        self.losses = 0
        self.said = 0
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Return the value for ``REDIS_URL``."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def cut(self) -> None:
        """Drop all data from now on, and keep the connections, as a firewall does."""
        self._is_cut.set()

    def cut_at(self, mark: bytes) -> None:
        """Cut at the first reply that contains ``mark``: the command ran, and its reply is lost."""
        self._mark = mark

    def lose(self, random: Random, share: float, *, resets: bool) -> None:
        """Drop this share of commands and replies, at random.

        With ``resets`` the connection is reset as well; without, the client waits for its time-out.
        """
        self._random, self._lost_share, self._resets = random, share, resets

    def wait_for_cut(self) -> None:
        """Return once it is cut. Raises TimeoutError."""
        if not self._is_cut.wait(30):
            raise TimeoutError("the line was not cut")

    def mend(self) -> None:
        """Close all connections, and pass everything on new ones."""
        self._mark = None
        self._lost_share = self.delay_seconds = 0.0
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()
        self._is_cut.clear()

    def __enter__(self) -> Self:
        """Accept clients."""
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the listener and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self.mend()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        """Connect a client to Redis; close it if Redis refuses the connection."""
        try:
            server = socket.create_connection(self._upstream)
        except OSError:
            client.close()
            return
        self._ends += [client, server]
        self._pump(client, server, is_reply=False)
        self._pump(server, client, is_reply=True)

    def _pump(self, source: socket.socket, sink: socket.socket, *, is_reply: bool) -> None:
        def pump() -> None:
            with source, suppress(OSError):
                while passing := source.recv(65_536):
                    if is_reply and self._mark and self._mark in passing:
                        self._is_cut.set()
                    self._pass(passing, source, sink)
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)

        Thread(target=pump, daemon=True).start()

    def _pass(self, passing: bytes, source: socket.socket, sink: socket.socket) -> None:
        """Pass or drop data. Raises ConnectionAbortedError after a reset."""
        self.said += 1
        time.sleep(self.delay_seconds)
        is_lost = self._random.random() < self._lost_share
        self.losses += is_lost
        if is_lost and self._resets:
            for end in (source, sink):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            raise ConnectionAbortedError
        if not (is_lost or self._is_cut.is_set()):
            sink.sendall(passing)
