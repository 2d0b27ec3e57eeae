"""The line to Redis, as a proxy that tests cut: data on its way is lost silently."""

import socket
import struct
import time
from contextlib import suppress
from random import Random
from threading import Event, Thread
from types import TracebackType
from typing import Self

GRANT = b"$5\r\ngrant\r\n"  # the word in a take's reply, as Redis sends strings
LINGER_NOT = struct.pack("ii", 1, 0)  # a close is then a reset


class RedisLine:
    """Passes everything between clients and the Redis at ``port``, until it is cut.

    What is said on it takes ``delay_seconds``, each way. ``said`` counts commands and replies, and
    ``losses`` those that ``lose`` has lost.
    """

    def __init__(self, port: int) -> None:
        """Pass nothing yet."""
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
        """The address, as ``REDIS_URL`` takes it."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def cut(self) -> None:
        """Lose all that is said from now on; connections stay, as when packets are dropped."""
        self._is_cut.set()

    def cut_at(self, mark: bytes) -> None:
        """Cut at the first reply in which ``mark`` is: Redis ran it, and the reply is lost."""
        self._mark = mark

    def lose(self, random: Random, share: float, *, resets: bool) -> None:
        """Lose so large a share of what is said from now on, commands and replies alike.

        With ``resets`` the connection is reset there; without, its reader waits in vain.
        """
        self._random, self._lost_share, self._resets = random, share, resets

    def wait_for_cut(self) -> None:
        """Return once it is cut. Raises TimeoutError."""
        if not self._is_cut.wait(30):
            raise TimeoutError("the line was not cut")

    def mend(self) -> None:
        """Serve new connections as before; those that lost something are closed."""
        self._mark = None
        self._lost_share = self.delay_seconds = 0.0
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()
        self._is_cut.clear()

    def __enter__(self) -> Self:
        """Serve."""
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it and everything on it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self.mend()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        """A client that comes while there is no Redis is hung up on, as if it were refused."""
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
        """Raises ConnectionAbortedError where the connection is reset."""
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
