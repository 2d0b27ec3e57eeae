"""Threaded HTTP server on loopback that stops with requests in progress."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, ThreadingTCPServer
from weakref import WeakSet

Route = Callable[["Arrival"], None]
Client = tuple[str, int]


class Arrival(BaseHTTPRequestHandler):
    """Connection of a client; ``route`` answers each request after its body was read."""

    protocol_version = "HTTP/1.1"
    body = b""

    def __init__(
        self, route: Route, connection: socket.socket, client: Client, server: BaseServer
    ) -> None:
        """Serve the connection until it is closed."""
        self.route = route
        super().__init__(connection, client, server)

    def handle(self) -> None:
        """Serve requests until the connection ends or breaks."""
        with suppress(OSError):
            super().handle()

    def answer_request(self) -> None:
        """Read the body, and pass the request to ``route``."""
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.route(self)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer_request  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class HttpServer(ThreadingTCPServer):
    """Server from construction until ``stop``, which ends every connection and thread."""

    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port: int, route: Route) -> None:
        """Listen on 127.0.0.1."""
        super().__init__(("127.0.0.1", port), partial(Arrival, route))
        self._open: WeakSet[socket.socket] = WeakSet()
        self._loop = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._loop.start()

    def stop(self, when_cut: Callable[[], None]) -> None:
        """Refuse new connections, cut the open ones, call ``when_cut``, wait for all threads."""
        self.shutdown()
        self._loop.join()
        self._cut()
        when_cut()
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Client]:
        """Accept a connection, and keep a weak reference to it."""
        connection, client = super().get_request()
        self._open.add(connection)
        return connection, client

    def _cut(self) -> None:
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
