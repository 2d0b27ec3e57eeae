"""One request over one fresh connection: the system's own trust, nothing from elsewhere.

``requests`` without a session, so redirects, cookies, proxies, netrc and retries do not exist.
"""

import logging
import ssl
from contextlib import closing
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from socket import socket
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import Timeout
from requests import PreparedRequest
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from app.channel.attempt import CallAttempt, UpstreamResponse

# A body that is cut here is no JSON any more, and so unreadable.
MAX_BODY_BYTES = 1024 * 1024
# Of an answer, so much is read before other greenlets have their turn.
YIELD_BYTES = 64 * 1024

# It would quote the headers that it cannot read.
logging.getLogger("urllib3.connection").addFilter(lambda _: False)


class ConnectionFailedError(Exception):
    """There is no connection.

    Not an ``OSError``: urllib3 passes over some of those while it sends, and goes on to read.
    """


class ResponseReader(RawIOBase):
    """Reads an answer from its socket, within the deadline that a ``Timeout`` around it sets.

    A read that finds data does not yield, so a peer that sends without a pause would hold up the
    whole process, past every deadline: the reader yields now and then. And a process that was
    stopped, or whose host was, finds its timers due before it looks at its sockets: what had come
    by then would be lost, so it is still read, and only a read that would wait raises the Timeout.
    """

    def __init__(self, sock: socket, raw: RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._fired: Timeout | None = None
        self._bytes_in_a_row = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, or wait for it; return the number of bytes."""
        size = self._read(buffer)
        self._bytes_in_a_row += size
        if self._bytes_in_a_row >= YIELD_BYTES:
            if self._fired:
                raise self._fired
            self._bytes_in_a_row = 0
            gevent.sleep(0)
        return size

    def close(self) -> None:
        """Let the socket close."""
        self._raw.close()
        super().close()

    def _read(self, buffer: Any) -> int:
        if self._fired is None:
            try:
                return self._raw.readinto(buffer) or 0
            except Timeout as fired:
                self._fired = fired
                self._sock.settimeout(0)
        try:
            size: int | None = self._raw.readinto(buffer)
        except ssl.SSLWantReadError:
            size = None
        if size is None:
            raise self._fired
        return size


class AttemptResponse(HTTPResponse):
    """An answer that is read by a ``ResponseReader``."""

    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = BufferedReader(ResponseReader(sock, self.fp.detach()))


class AttemptConnection(HTTPConnection):
    """A connection that marks its attempt as sent just before the first byte goes out.

    ``tls`` is for connections that encrypt.
    """

    response_class = AttemptResponse

    def __init__(
        self, *args: Any, attempt: CallAttempt, tls: ssl.SSLContext, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._attempt = attempt
        self._tls = tls

    def send(self, data: Any) -> None:
        """Connect and send. Raises ``TooLateError`` where nothing may be sent any more."""
        if self.sock is None:
            self.connect()
        self._attempt.mark_sent()
        super().send(data)


class TlsAttemptConnection(AttemptConnection):
    """The same over TLS, with a context that all calls share.

    A context costs 40 ms to fill with the trusted authorities, and urllib3's own TLS connection
    fills the context that it is given at each connection.
    """

    default_port = 443  # type: ignore[misc] # as urllib3 has it; without it, Host names the port

    def connect(self) -> None:
        """Connect and shake hands. Raises ``ConnectionFailedError`` for an untrusted server."""
        super().connect()
        try:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
        except OSError as error:
            raise ConnectionFailedError from error


CONNECTIONS = {"http": AttemptConnection, "https": TlsAttemptConnection}


class AttemptAdapter(HTTPAdapter):
    """Sends one request over a pool that holds one connection."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        super().__init__()
        self._pool = pool

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """Return the attempt's own pool, for any request."""
        return self._pool

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._pool.close()


def trusted_authorities() -> ssl.SSLContext:
    """Build a context that verifies certificates and host names against requests' list."""
    tls = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def send_request(
    request: PreparedRequest,
    attempt: CallAttempt,
    *,
    tls: ssl.SSLContext,
    connect_timeout_seconds: float,
) -> None:
    """Send ``request`` once, and keep the answer on ``attempt`` as it comes.

    Raises any error that breaks it; the status has been kept by then, if there was one.
    """
    adapter = AttemptAdapter(_pool_for(request.url or "", attempt, tls))
    timeouts = (connect_timeout_seconds, None)  # the attempt's deadline bounds the whole
    with closing(adapter), adapter.send(request, stream=True, timeout=timeouts) as response:
        attempt.response = UpstreamResponse(response.status_code, response.headers)
        # Without decode_content urllib3 does not check that all of the body came.
        body = response.raw.read(MAX_BODY_BYTES, decode_content=True)
        attempt.response = UpstreamResponse(response.status_code, response.headers, body)


def _pool_for(url: str, attempt: CallAttempt, tls: ssl.SSLContext) -> HTTPConnectionPool:
    """Build a pool of one connection. Raises ``KeyError`` unless ``url`` is HTTP or HTTPS."""
    address = urlsplit(url)
    connection = CONNECTIONS[address.scheme]
    port = address.port or connection.default_port
    pool = HTTPConnectionPool(address.hostname or "", port, attempt=attempt, tls=tls)
    pool.ConnectionCls = connection
    return pool
