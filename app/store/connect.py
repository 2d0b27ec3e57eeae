"""The one place that builds Redis clients, for a single server, for sentinels and for a cluster.

All three are plain clients whose connections look for the right server when they connect. So a
fail-over is met in one way: connections that lead to a server that is not the primary any more are
dropped, and the next ones look again.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

CONNECT_TIMEOUT_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 1.0
MAX_BLOCK_SECONDS = 1.0
# Several are asked one after the other, and web must answer within three seconds whatever happens.
FINDER_TIMEOUT_SECONDS = 0.3

SENTINEL_PORT = 26379
CLUSTER_PORT = 6379

# Left out: `protocol` changes the shapes of replies.
_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    # The library may repeat commands ten times, and a repeat after a lost reply runs a write twice.
    # What is safe to repeat is repeated by us, where it is called.
    "retry": Retry(NoBackoff(), 0),
}
_FINDING: dict[str, Any] = {
    **_OPTIONS,
    "socket_connect_timeout": FINDER_TIMEOUT_SECONDS,
    "socket_timeout": FINDER_TIMEOUT_SECONDS,
}
_MOVED = ("MOVED", "CLUSTERDOWN", "ASK")


def connect(url: str, *, slot_key: str = "") -> Redis:
    """Return a client for commands that answer at once; it connects when it is first used.

    ``slot_key`` is any key of ours: in a cluster all of them are in its slot.
    """
    return _connect(url, slot_key, READ_TIMEOUT_SECONDS)


def connect_blocking(url: str, *, slot_key: str = "") -> Redis:
    """Return a client whose reads may block for ``MAX_BLOCK_SECONDS``."""
    # A block that is not well below the time-out of the socket fails instead of ending.
    return _connect(url, slot_key, 3 * MAX_BLOCK_SECONDS)


def leads_elsewhere(error: RedisError) -> bool:
    """Whether the server that answered is not the one to ask (any more), or is gone."""
    if isinstance(error, RedisConnectionError | ReadOnlyError):
        return True
    return isinstance(error, ResponseError) and str(error).startswith(_MOVED)


def look_again(client: Redis) -> None:
    """Drop the idle connections, so that the next command finds the primary anew."""
    client.connection_pool.disconnect(inuse_connections=False)


def _connect(url: str, slot_key: str, read_timeout_seconds: float) -> Redis:
    options = {
        **_OPTIONS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": read_timeout_seconds,
    }
    scheme = urlsplit(url).scheme
    if scheme == "redis+sentinel":
        return _connect_by_sentinels(url, options)
    if scheme == "redis+cluster":
        return _connect_to_slot(url, slot_key, options)
    return Redis.from_url(url, **options)


def _connect_by_sentinels(url: str, options: dict[str, Any]) -> Redis:
    """``redis+sentinel://[user:password@]host[:port],…/service[/db][?ssl=true]``"""
    service, _, db = urlsplit(url).path.strip("/").partition("/")
    finder = Sentinel(_hosts(url, SENTINEL_PORT), sentinel_kwargs=_FINDING)
    client: Redis = finder.master_for(
        service, db=int(db or 0), ssl=_is_tls(url), **_login(url), **options
    )
    return client


def _connect_to_slot(url: str, slot_key: str, options: dict[str, Any]) -> Redis:
    """``redis+cluster://[user:password@]host[:port],…[?ssl=true]``"""
    pool = ConnectionPool(
        connection_class=_TlsSlotConnection if _is_tls(url) else _SlotConnection,
        seeds=_hosts(url, CLUSTER_PORT),
        slot=key_slot(slot_key.encode()),
        **_login(url),
        **options,
    )
    return Redis(connection_pool=pool)


class _SlotConnection(Connection):
    """A connection to whichever node of the cluster serves ``slot`` when it connects."""

    def __init__(self, *, seeds: list[tuple[str, int]], slot: int, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call] # see pyproject
        self._seeds = seeds
        self._slot = slot

    def _connect(self) -> Any:
        self.host, self.port = self._find_owner()
        return super()._connect()  # type: ignore[no-untyped-call]

    def _find_owner(self) -> tuple[str, int]:
        for host, port in self._seeds:
            try:
                shards = self._ask(host, port)
            except RedisError:
                continue
            for first, last, (owner, owner_port, *_), *_ in shards:
                if first <= self._slot <= last:
                    return owner or host, owner_port
        raise RedisConnectionError("no node of the cluster says who serves the relay's slot")

    def _ask(self, host: str, port: int) -> list[Any]:
        """The reply of https://redis.io/docs/latest/commands/cluster-slots/"""
        login = {"username": self.username, "password": self.password}
        is_tls = isinstance(self, SSLConnection)
        with Redis(host, port, ssl=is_tls, **(_FINDING | login)) as seed:
            execute: Callable[..., list[Any]] = seed.execute_command
            return execute("CLUSTER", "SLOTS")


class _TlsSlotConnection(_SlotConnection, SSLConnection):
    """The same over TLS."""


def _hosts(url: str, default_port: int) -> list[tuple[str, int]]:
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    pairs = (host.rpartition(":") if ":" in host else (host, "", "") for host in hosts)
    return [(host, int(port or default_port)) for host, _, port in pairs]


def _login(url: str) -> dict[str, Any]:
    user, _, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    login = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in login.items() if value}


def _is_tls(url: str) -> bool:
    return parse_qs(urlsplit(url).query).get("ssl") == ["true"]
