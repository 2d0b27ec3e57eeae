"""A server that speaks bytes, for what no HTTP server would do."""

import os
import re
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET, create_connection, create_server, socket
from threading import Event, Thread
from types import TracebackType
from typing import Self

CERTIFICATE = Path(__file__).parent / "tls" / "loopback.pem"
DRIP_SECONDS = 0.02
TLS_HELLO = b"\x16"

Reply = Callable[[socket], None]


class RawServer:
    """Serves one connection after the other on loopback: reads a request, then does ``reply``.

    ``received`` holds what each connection brought, up to the end of its request.
    """

    def __init__(self, reply: Reply, *, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections, but serve none yet."""
        self.received: list[bytes] = []
        self._reply = reply
        self._tls = tls
        self._listener = create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """The base, as the client takes it."""
        return f"{self.origin}/open/v4"

    @property
    def origin(self) -> str:
        """Scheme, host and port, as HTTPS_PROXY has them."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the connection that is being served, and stop."""
        self._listener.shutdown(SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def received_up_to_now(self) -> list[bytes]:
        """Return the requests received so far; a connection of our own marks the end."""
        with create_connection(("127.0.0.1", self.port)) as mark:
            mark.sendall(b"mark\r\n\r\n")
            while mark.recv(4096):
                pass
        return self.received[: self.received.index(b"mark\r\n\r\n")]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError):
                self._converse(connection)

    def _converse(self, connection: socket) -> None:
        with self._encrypted(connection) as line:
            self.received.append(read_request(line))
            if not self.received[-1].startswith(b"mark"):
                self._reply(line)

    def _encrypted(self, connection: socket) -> socket:
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection


def read_request(connection: socket) -> bytes:
    """Read what the client sends: a head and its body, a TLS hello, or up to a close."""
    request = b""
    while not request.startswith(TLS_HELLO) and not _is_whole(request):
        if not (piece := connection.recv(65536)):
            break
        request += piece
    return request


def _is_whole(request: bytes) -> bool:
    head, is_complete, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    return bool(is_complete) and len(body) >= int(length[1] if length else 0)


def say(*pieces: bytes) -> Reply:
    """Send ``pieces``, then close."""
    return lambda connection: connection.sendall(b"".join(pieces))


def say_in_turn(*answers: bytes) -> Reply:
    """Send one of ``answers`` on each connection, in order, then close."""
    rest = iter(answers)
    return lambda connection: connection.sendall(next(rest))


def drip(beginning: bytes, drop: bytes) -> Reply:
    """Send ``beginning``, then ``drop`` after ``drop`` until the client hangs up."""

    def reply(connection: socket) -> None:
        connection.sendall(beginning)
        while not Event().wait(DRIP_SECONDS):
            connection.sendall(drop)

    return reply


def flood(beginning: bytes, piece: bytes) -> Reply:
    """Send ``beginning``, then ``piece`` after ``piece`` without a pause."""

    def reply(connection: socket) -> None:
        connection.sendall(beginning)
        while True:
            connection.sendall(piece * 1000)

    return reply


def say_nothing(connection: socket) -> None:
    """Wait until the client hangs up."""
    while connection.recv(65536):
        pass


def reset(connection: socket) -> None:
    """Close with an RST."""
    connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())


def server_tls() -> ssl.SSLContext:
    """The server's side of TLS, with an untrusted certificate for 127.0.0.1."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    return tls


def trusting_tls() -> ssl.SSLContext:
    """The client's side of TLS, trusting that certificate and no other."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))
