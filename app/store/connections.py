"""Connections to Redis that answer in time, and let go of a server that is not the one to ask."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import local
from typing import Any

# The parser is where every single read happens: a reply may come byte by byte.
from redis._parsers import _HiredisParser
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


@contextmanager
def answering_within(seconds: float) -> Iterator[None]:
    """Let all that this thread asks of Redis in here be over, or raise, after ``seconds``.

    Time-outs bound single steps, and finding the primary, connecting, shaking hands and asking
    again are many of them. Only the resolving of host names is bounded by the system alone.
    """
    before = _limit.ends_at
    _limit.ends_at = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _limit.ends_at = before


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


class _TimelyParser(_HiredisParser):
    """Reads until the thread's time is over."""

    def on_connect(self, connection: Any, **kwargs: Any) -> None:
        super().on_connect(connection, **kwargs)  # type: ignore[no-untyped-call] # see pyproject
        self._socket_timeout = connection.timeout_seconds

    def read_from_socket(self, timeout: Any = SENTINEL, raise_on_timeout: Any = True) -> Any:  # noqa: FBT002 - the library's
        bounded = _bounded(self._socket_timeout if timeout is SENTINEL else timeout)
        return super().read_from_socket(bounded, raise_on_timeout)  # type: ignore[no-untyped-call] # see pyproject


class _Timely(AbstractConnection):
    """Keeps to ``answering_within``, and closes where the reply says: not this server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(parser_class=_TimelyParser, **options)

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


class Unix(_Timely, UnixDomainSocketConnection):
    """A connection over a socket of this host."""


class _Sought(_Timely):
    """A connection to whichever server ``find`` names when it connects."""

    def __init__(self, *, find: Callable[[], Address], **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    def _connect(self) -> Any:
        self.host, self.port = self._find()
        return super()._connect()  # type: ignore[no-untyped-call, safe-super] # see pyproject

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
