"""One request over one fresh connection, through a proxy where there is one.

``requests`` without a session, so redirects, cookies, netrc and retries do not exist, and the
environment changes nothing.
"""

import logging
import re
import ssl
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, HTTPResponse, LineTooLong, RemoteDisconnected
from io import BufferedIOBase, BufferedReader, RawIOBase
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import SplitResult, urlsplit

import gevent
from gevent import Timeout
from requests import PreparedRequest
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from requests.utils import should_bypass_proxies
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.util.ssltransport import SSLTransport

from app.channel.attempt import CallAttempt, UpstreamResponse
from config.proxy_url import ProxyUrl

# A body that is cut here is no JSON any more, and so unreadable.
MAX_BODY_BYTES = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
# Of an answer, so much is read before other greenlets have their turn.
YIELD_BYTES = 64 * 1024
# After the deadline, so much is read of what has come.
MAX_LATE_BYTES = 2 * MAX_BODY_BYTES
PORTS = {"http": 80, "https": 443}

_STATUS_LINE = re.compile(rb"HTTP/\S*\s+([0-9]{3})(?![0-9])")

# It would quote the headers that it cannot read.
logging.getLogger("urllib3.connection").addFilter(lambda _: False)


class ConnectionFailedError(Exception):
    """A connection could not be opened.

    Not an ``OSError``: urllib3 passes over some of those while it sends, and goes on to read.
    """


class ProxyRefusedError(Exception):
    """The proxy refused to open a tunnel."""


@dataclass(frozen=True, slots=True)
class Route:
    """Route of all requests: trusted authorities, proxy, and the time-out of connecting."""

    tls: ssl.SSLContext
    proxy: ProxyUrl | None
    connect_timeout_seconds: float


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
        if self._fired and self._bytes_in_a_row >= MAX_LATE_BYTES:
            raise self._fired
        if not self._fired and self._bytes_in_a_row >= YIELD_BYTES:
            self._bytes_in_a_row = 0
            try:
                gevent.sleep(0)
            except Timeout as fired:
                self._stop_waiting(fired)
        return size

    def close(self) -> None:
        """Let the socket close."""
        self._raw.close()
        super().close()

    def _read(self, buffer: Any) -> int:
        fired = self._fired
        if fired is None:
            try:
                return self._raw.readinto(buffer) or 0
            except Timeout as due:
                fired = due
                self._stop_waiting(due)
        try:
            size: int | None = self._raw.readinto(buffer)
        except ssl.SSLWantReadError:
            size = None
        if size is None:
            raise fired
        return size

    def _stop_waiting(self, fired: Timeout) -> None:
        self._fired = fired
        self._sock.settimeout(0)


class FinalAnswerReader(RawIOBase):
    """Reads the final answer, and passes over informational ones before it.

    http.client passes over 100 alone, and some of its releases over a hundred of them at most.
    https://www.rfc-editor.org/rfc/rfc9110#section-15.2
    """

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._status_line: bytes | None = None

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the status line, then what follows it; return the number of bytes."""
        if self._status_line is None:
            self._status_line = read_status_line(self._stream)
        if self._status_line:
            size = min(len(buffer), len(self._status_line))
            buffer[:size] = self._status_line[:size]
            self._status_line = self._status_line[size:]
            return size
        return self._stream.readinto1(buffer)

    def close(self) -> None:
        """Let the socket close."""
        self._stream.close()
        super().close()


class AttemptResponse(HTTPResponse):
    """An answer that is read by a ``ResponseReader``, without its informational answers."""

    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        stream = BufferedReader(ResponseReader(sock, self.fp.detach()))
        self.fp = BufferedReader(FinalAnswerReader(stream))


class AttemptConnection(HTTPConnection):
    """A connection that marks its attempt as sent just before the first byte goes out.

    It goes to the proxy, if there is one, and else to the host of ``target``. urllib3's own TLS
    connection fills the context that it is given at each connection, which costs 40 ms.
    """

    response_class = AttemptResponse

    def __init__(
        self, *args: Any, attempt: CallAttempt, target: SplitResult, route: Route, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._attempt = attempt
        self._target = target
        self._route = route

    def connect(self) -> None:
        """Connect, have the proxy open a tunnel, shake hands. Raises ``ConnectionFailedError``."""
        proxy = self._route.proxy
        self._attempt.is_at_proxy = proxy is not None
        super().connect()
        try:
            if proxy and proxy.scheme == "https":
                self._encrypt(proxy.host)
            if proxy and self._target.scheme == "https":
                self._open_tunnel(proxy)
            self._attempt.is_at_proxy = False
            if self._target.scheme == "https":
                self._encrypt(self._target.hostname or "")
        except (OSError, HTTPException) as error:
            raise ConnectionFailedError from error

    def send(self, data: Any) -> None:
        """Connect and send. Raises ``TooLateError`` where nothing may be sent any more."""
        if self.sock is None:
            self.connect()
        self._attempt.mark_sent()
        super().send(data)

    def _encrypt(self, host: str) -> None:
        if isinstance(self.sock, ssl.SSLSocket):  # which cannot hold another one
            self.sock = SSLTransport(self.sock, self._route.tls, server_hostname=host)
        else:
            self.sock = self._route.tls.wrap_socket(self.sock, server_hostname=host)

    def _open_tunnel(self, proxy: ProxyUrl) -> None:
        """Have the proxy connect to the target's host. Nothing of the request is sent for it.

        https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
        """
        host = self._target.netloc
        authority = host if self._target.port else f"{host}:{PORTS['https']}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        self._attempt.check_deadline()
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        # What is read beyond the answer is lost; there is nothing, since in TLS the client begins.
        raw = self.sock.makefile("rb", buffering=0)
        with closing(BufferedReader(ResponseReader(self.sock, raw))) as stream:
            line = read_status_line(stream)
            skip_headers(stream)
        self._attempt.check_deadline()  # the reader may have gone on after it
        status = _STATUS_LINE.match(line)
        if not status:
            raise BadStatusLine("of a proxy") if line else RemoteDisconnected
        if not status[1].startswith(b"2"):
            self._attempt.proxy_status = int(status[1])
            raise ProxyRefusedError


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


def trusted_authorities(files: Iterable[Path] = ()) -> ssl.SSLContext:
    """Build a context that verifies certificates and host names.

    Those in ``files`` are trusted, and no others; without any, those of requests' list.
    """
    own = list(files)
    tls = ssl.create_default_context(cafile=own[0] if own else DEFAULT_CA_BUNDLE_PATH)
    for file in own[1:]:
        tls.load_verify_locations(cafile=file)
    if own:
        # Python 3.13 would refuse companies' authorities that lack what the public ones must have.
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def is_without_proxy(url: str, no_proxy: str | None) -> bool:
    """Return whether ``NO_PROXY`` names the host of ``url``, by the rules of requests."""
    return should_bypass_proxies(url, (no_proxy or "").replace("[", "").replace("]", ""))


def send_request(request: PreparedRequest, attempt: CallAttempt, route: Route) -> None:
    """Send ``request`` once, and keep the answer on ``attempt`` as it comes.

    Raises any error that breaks it; the status has been kept by then, if there was one.
    """
    target = urlsplit(request.url or "")
    proxies: dict[str, str] = {}
    if route.proxy:
        # With these requests writes the whole URL into a request that is not encrypted.
        proxies[target.scheme] = str(route.proxy)
        if route.proxy.authorization and target.scheme == "http":
            request.headers["Proxy-Authorization"] = route.proxy.authorization
    adapter = AttemptAdapter(_pool_for(target, attempt, route))
    timeouts = (route.connect_timeout_seconds, None)  # the attempt's deadline bounds the whole
    with (
        closing(adapter),
        adapter.send(request, stream=True, timeout=timeouts, proxies=proxies) as response,
    ):
        status, headers, charset = response.status_code, response.headers, response.encoding
        attempt.response = UpstreamResponse(status, headers, charset=charset)
        # Without decode_content urllib3 does not check that all of the body came.
        body = response.raw.read(MAX_BODY_BYTES, decode_content=True)
        attempt.response = UpstreamResponse(status, headers, body, charset)


def read_status_line(stream: BufferedIOBase) -> bytes:
    """Read the status line of the final answer, or nothing; pass over informational answers.

    A 101 among them: no protocol was offered to switch to. Raises ``LineTooLong``.
    """
    line = _read_line(stream)
    while (status := _STATUS_LINE.match(line)) and status[1].startswith(b"1"):
        skip_headers(stream)
        line = _read_line(stream)
    return line


def skip_headers(stream: BufferedIOBase) -> None:
    """Read the rest of an answer's head. Raises ``LineTooLong``."""
    while _read_line(stream) not in {b"\r\n", b"\n", b""}:
        pass


def _read_line(stream: BufferedIOBase) -> bytes:
    line = stream.readline(MAX_LINE_BYTES)
    if len(line) == MAX_LINE_BYTES:
        raise LineTooLong("line of an answer's head")
    return line


def _pool_for(target: SplitResult, attempt: CallAttempt, route: Route) -> HTTPConnectionPool:
    """Build a pool of one connection. Raises ``KeyError`` unless ``target`` is HTTP or HTTPS."""
    default_port = PORTS[target.scheme]
    host, port = target.hostname or "", target.port or default_port
    if route.proxy:
        host, port = route.proxy.host, route.proxy.port
    pool = HTTPConnectionPool(host, port, attempt=attempt, target=target, route=route)
    pool.ConnectionCls = AttemptConnection
    return pool
