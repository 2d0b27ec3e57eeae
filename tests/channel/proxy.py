"""A proxy on loopback, small and real: tunnels by CONNECT, and requests with a whole URL."""

import ssl
from select import select
from socket import create_connection, socket
from urllib.parse import urlsplit

from tests.channel.raw_server import RawServer

OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"
REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


class ForwardProxy(RawServer):
    """Passes on what has ``authorization`` in it, and answers 407 to the rest.

    ``opened`` is its answer to CONNECT. ``received`` holds the heads that it read itself.
    """

    def __init__(
        self,
        *,
        opened: bytes = OPENED,
        authorization: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Accept connections, but serve none yet."""
        super().__init__(self._pass_on, tls=tls)
        self._opened = opened
        self._authorization = authorization.encode()

    def _pass_on(self, connection: socket) -> None:
        head = self.received[-1]
        method, address, _ = head.split(b" ", 2)
        if self._authorization not in head:
            connection.sendall(REFUSED)
        elif method == b"CONNECT":
            host, _, port = address.decode().rpartition(":")
            with create_connection((host, int(port))) as target:
                connection.sendall(self._opened)
                pump(connection, target)
        else:
            url = urlsplit(address.decode())
            with create_connection((url.hostname, url.port)) as target:
                target.sendall(head.replace(address, url.path.encode(), 1))
                pump(connection, target)


def pump(one: socket, other: socket) -> None:
    """Pass on what comes from either side, until one of them ends."""
    while True:
        held: list[socket] = [end for end in (one, other) if pending_bytes(end)]
        for end in held or select([one, other], [], [])[0]:
            if not (piece := end.recv(65536)):
                return
            (other if end is one else one).sendall(piece)


def pending_bytes(end: socket) -> int:
    """Bytes that TLS has read from the socket, and the client not from TLS."""
    return end.pending() if isinstance(end, ssl.SSLSocket) else 0
