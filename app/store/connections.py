"""Connections to Redis that answer in time, and let go of a server that is not the one to ask."""

import math
import socket
import struct
import time
from collections.abc import Callable
from threading import local
from typing import Any

# The parser is where every single read happens: a reply may come byte by byte.
from redis._parsers import _HiredisParser
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR
from redis.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import SENTINEL

Address = tuple[str, int]

MIN_TIMEOUT_SECONDS = 0.001  # none at all would mean "do not block", which is another error

# MovedError is an AskError, MasterDownError a ClusterDownError.
_OF_OTHERS = (ReadOnlyError, AskError, ClusterDownError, TryAgainError)
_BLOCKED_WHEN_DEMOTED = "UNBLOCKED"


class _Limit(local):
    """Until when the thread may take, on ``time.monotonic``."""

    ends_at = math.inf


_limit = _Limit()


class answering_within:  # noqa: N801 - as contextlib has it: a context, and used as one
    """Let all that this thread asks of Redis in here be over, or raise, after ``seconds``.

    Time-outs bound single steps, and finding the primary, connecting, shaking hands and asking
    again are many of them. Only the resolving of host names is bounded by the system alone.
    """

    __slots__ = ("_before", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = _limit.ends_at
        _limit.ends_at = min(self._before, time.monotonic() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _limit.ends_at = self._before


def leads_elsewhere(error: RedisError) -> bool:
    """Whether the server that was asked is not the one to ask (any more), is silent, or is gone."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return True
    return _is_of_another(error)


def _is_of_another(error: RedisError) -> bool:
    return isinstance(error, _OF_OTHERS) or str(error).startswith(_BLOCKED_WHEN_DEMOTED)


def _bounded(timeout_seconds: float | None) -> float | None:
    if _limit.ends_at == math.inf or timeout_seconds == 0:
        return timeout_seconds
    left = max(MIN_TIMEOUT_SECONDS, _limit.ends_at - time.monotonic())
    return left if timeout_seconds is None else min(timeout_seconds, left)


def _let_system_time(connected: socket.socket, seconds: float) -> None:
    """Let each send and each receive fail that takes longer."""
    limit = struct.pack("ll", int(seconds), round(seconds % 1 * 1e6))
    for which in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connected.setsockopt(socket.SOL_SOCKET, which, limit)
    connected.settimeout(None)


class _TimelyParser(_HiredisParser):
    """Reads until the thread's time is over."""

    def on_connect(self, connection: Any, **kwargs: Any) -> None:
        super().on_connect(connection, **kwargs)  # type: ignore[no-untyped-call] # see pyproject
        self._seconds = connection.timeout_seconds
        self._is_timed_by_system = connection.is_timed_by_system
        self._socket_timeout = None if self._is_timed_by_system else self._seconds

    def read_from_socket(self, timeout: Any = SENTINEL, raise_on_timeout: Any = True) -> Any:  # noqa: FBT002 - the library's
        bounded = _bounded(self._seconds if timeout is SENTINEL else timeout)
        if self._is_timed_by_system and timeout is SENTINEL and bounded == self._seconds:
            return self._read()
        return super().read_from_socket(bounded, raise_on_timeout)  # type: ignore[no-untyped-call] # see pyproject

    def _read(self) -> bool:
        """Read once, with no more calls of the system than that."""
        try:
            received = self._sock.recv_into(self._buffer)
        except BlockingIOError as error:
            raise RedisTimeoutError("Timeout reading from socket") from error
        if not received:
            raise RedisConnectionError(SERVER_CLOSED_CONNECTION_ERROR)
        self._reader.feed(self._buffer, 0, received)  # type: ignore[arg-type] # any buffer will do
        return True


class _Timely(AbstractConnection):
    """Keeps to ``answering_within``, and closes where the reply says: not this server.

    ``is_timed_by_system``: the socket's time-outs are the system's. Python's own cost a call more
    before each that may wait (docs/decisions/0013), and are what TLS understands.
    """

    is_timed_by_system = True

    def __init__(self, **options: Any) -> None:
        super().__init__(parser_class=_TimelyParser, **options)

    def _connect(self) -> Any:
        connected = super()._connect()  # type: ignore[no-untyped-call, safe-super] # see pyproject
        if self.is_timed_by_system and self._socket_timeout is not None:
            _let_system_time(connected, self._socket_timeout)
        return connected

    @property
    def timeout_seconds(self) -> float | None:
        """How long a reply may take where nothing else bounds it."""
        return self._socket_timeout

    @property
    def socket_timeout(self) -> float | None:
        return _bounded(self._socket_timeout)

    @socket_timeout.setter
    def socket_timeout(self, seconds: float | None) -> None:
        self._socket_timeout = seconds

    @property
    def socket_connect_timeout(self) -> float | None:
        return _bounded(self._socket_connect_timeout)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, seconds: float | None) -> None:
        self._socket_connect_timeout = seconds

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            if _is_of_another(error):
                self.disconnect()  # type: ignore[no-untyped-call] # see pyproject
            raise


class Tcp(_Timely, Connection):
    """A connection over TCP."""


class Tls(_Timely, SSLConnection):
    """A connection over TLS."""

    is_timed_by_system = False


class Unix(_Timely, UnixDomainSocketConnection):
    """A connection over a socket of this host."""


class _Sought(_Timely):
    """A connection to whichever server ``find`` names when it connects."""

    def __init__(self, *, find: Callable[[], Address], **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    def _connect(self) -> Any:
        self.host, self.port = self._find()
        return super()._connect()

    def on_connect_check_health(self, *args: Any, **options: Any) -> None:
        super().on_connect_check_health(*args, **options)
        greeting: Any = self.handshake_metadata
        # Whoever named it may not have heard yet, and a replica would answer reads from the past.
        if greeting["role"] == "replica":
            raise RedisConnectionError("the server that was named as the primary is a replica")


class SoughtTcp(_Sought, Tcp):
    """The same over TCP."""


class SoughtTls(_Sought, Tls):
    """The same over TLS."""
