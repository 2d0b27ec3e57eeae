"""How a request travels: one fresh connection, the system's own trust, nothing from elsewhere.

``requests`` without a session, so redirects, cookies, proxies, netrc and retries do not exist.
"""

import logging
import ssl
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from app.channel.call import Answer, Call, TooLate
from app.chats.steps import Step, after, before

# A body that is cut here is no JSON any more, and so unreadable.
MAX_BODY_BYTES = 1024 * 1024

# It would quote the headers that it cannot read.
logging.getLogger("urllib3.connection").addFilter(lambda _: False)


class NoConnection(Exception):
    """There is no connection.

    Not an ``OSError``: urllib3 passes over some of those while it sends, and goes on to read.
    """


class CallConnection(HTTPConnection):
    """A connection that asks its call for leave just before the first byte goes out.

    ``tls`` is for those that encrypt.
    """

    def __init__(self, *args: Any, call: Call, tls: ssl.SSLContext, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._call = call
        self._tls = tls

    def connect(self) -> None:
        """Connect, and let the call cut the connection from then on."""
        super().connect()
        self._call.watch(self.sock)

    def send(self, data: Any) -> None:
        """Send, if the call may still begin; raises ``TooLate`` otherwise."""
        if self.sock is None:
            self.connect()
        self._call.begin()
        before(Step.SENT)
        super().send(data)
        after(Step.SENT)


class TlsCallConnection(CallConnection):
    """The same over TLS, with a context that all calls share.

    A context costs 40 ms to fill with the trusted authorities. urllib3's own TLS connection writes
    to the context that it is given at each connection, which threads must not share.
    """

    default_port = 443  # type: ignore[misc] # as urllib3 has it; without it, Host names the port

    def connect(self) -> None:
        """Connect and shake hands; raises ``NoConnection`` if the other side is not trusted."""
        super().connect()
        try:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
        except OSError as error:
            raise NoConnection from error


CONNECTIONS = {"http": CallConnection, "https": TlsCallConnection}


class CallAdapter(HTTPAdapter):
    """Sends one request over one pool that holds one connection."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        super().__init__()
        self._pool = pool

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """The call's own pool, whatever is asked for."""
        return self._pool

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._pool.close()


def trusted_authorities() -> ssl.SSLContext:
    """A context that verifies certificates and host names against requests' list."""
    tls = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def speak(
    request: PreparedRequest, call: Call, *, tls: ssl.SSLContext, connect_timeout_seconds: float
) -> None:
    """Send ``request`` once, and let ``call`` hear the answer as it becomes known.

    Raises whatever breaks; the status has been heard by then, if there was one.
    """
    adapter = CallAdapter(pool_for(request.url or "", call, tls))
    timeouts = _timeouts(call.remaining_seconds, connect_timeout_seconds)
    with closing(adapter), adapter.send(request, stream=True, timeout=timeouts) as response:
        heard = partial(Answer, response.status_code, response.headers)
        call.hear(heard())
        before(Step.ANSWERED)
        # Without decode_content urllib3 does not look whether all of the body came.
        call.hear(heard(response.raw.read(MAX_BODY_BYTES, decode_content=True)))


def _timeouts(remaining_seconds: float, connect_timeout_seconds: float) -> tuple[float, float]:
    """For connecting, and for each read: the deadline bounds them all, these end the thread."""
    if remaining_seconds <= 0:
        raise TooLate
    return min(connect_timeout_seconds, remaining_seconds), remaining_seconds


def pool_for(url: str, call: Call, tls: ssl.SSLContext) -> HTTPConnectionPool:
    """One connection to the address of ``url``; raises ``KeyError`` unless it is HTTP or HTTPS."""
    address = urlsplit(url)
    connection = CONNECTIONS[address.scheme]
    port = address.port or connection.default_port
    pool = HTTPConnectionPool(address.hostname or "", port, call=call, tls=tls)
    pool.ConnectionCls = connection
    return pool
