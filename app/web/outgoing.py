"""What a client is sent: gathered while gunicorn writes it, and sent in one piece.

Every call that waits lets go of the interpreter, for which all threads then queue:
so there is one for a whole answer, and the system keeps its time (docs/decisions/0013).
"""

import socket
import struct
import time
from typing import Any


class Outgoing:
    """Stands where gunicorn wants the client's socket; all but writing is the socket's own."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        """Let each answer take at most so many ``seconds`` to be sent."""
        # The socket's own time-outs would cost a system call more before each call that may wait.
        sock.settimeout(None)
        limit = struct.pack("ll", int(seconds), round(seconds % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._sock = sock
        self.recv = sock.recv
        self._seconds = seconds
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the socket's
        """Stay as it is: whoever must not wait says so with each call."""

    def sendall(self, piece: bytes) -> None:
        """Keep it for ``flush``."""
        self._pieces.append(piece)

    def flush(self) -> None:
        """Send what was kept. Raises ``OSError``; ``TimeoutError``: it is not taken in time."""
        answer = memoryview(b"".join(self._pieces))
        self._pieces.clear()
        until = time.monotonic() + self._seconds
        while answer:
            try:
                answer = answer[self._sock.send(answer) :]
            except BlockingIOError as error:
                raise TimeoutError("the client does not take its answer") from error
            if answer and time.monotonic() >= until:
                raise TimeoutError("the client does not take its answer")
