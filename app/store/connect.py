"""The one place that builds Redis clients, for a single server, for sentinels and for a cluster.

All three are plain clients whose connections look for the right server when they connect. So a
fail-over is met in one way: connections that lead to a server that is not the primary any more are
dropped, and the next ones look again.
"""

from typing import Any

from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.crc import key_slot
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from app.store.client import Client
from app.store.connections import SoughtTcp, SoughtTls, Tcp, Tls, Unix
from app.store.finders import owner_of, primary_of
from app.store.url import RedisUrl, parse

CONNECT_TIMEOUT_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 1.0
MAX_BLOCK_SECONDS = 1.0
# Of the pool, for what is not asked by a thread's own connection. Never what stops anybody: the
# threads are fewer. The library's own limit is 100.
MAX_CONNECTIONS = 10_000

# Left out: `protocol` changes the shapes of replies.
_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    # The library may repeat commands ten times, and a repeat after a lost reply runs a write twice.
    # What is safe to repeat is repeated by us, where it is called.
    "retry": Retry(NoBackoff(), 0),
    "max_connections": MAX_CONNECTIONS,
    # A managed server may announce maintenance, and the library then waits longer than it was told.
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
    # Else each connection reads the library's metadata from disk, and tells Redis its version.
    "driver_info": None,
}


def connect(url: str, *, slot_key: str = "") -> Client:
    """Return a client for commands that answer at once; it connects when it is first used.

    ``slot_key`` is any key of ours: in a cluster all of them are in its slot.
    """
    return _connect(parse(url), slot_key, READ_TIMEOUT_SECONDS)


def connect_blocking(url: str, *, slot_key: str = "") -> Client:
    """Return a client whose reads may block for ``MAX_BLOCK_SECONDS``."""
    # A block that is not well below the time-out of the socket fails instead of ending.
    return _connect(parse(url), slot_key, 3 * MAX_BLOCK_SECONDS)


def _connect(url: RedisUrl, slot_key: str, read_timeout_seconds: float) -> Client:
    pool = ConnectionPool(
        socket_timeout=read_timeout_seconds,
        db=url.db,
        **_OPTIONS,
        **url.login,
        **url.tls,
        **_way(url, slot_key),
    )
    client = Client(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def _way(url: RedisUrl, slot_key: str) -> dict[str, Any]:
    """The kind of connection, and what leads it to its server."""
    sought = SoughtTls if url.is_tls else SoughtTcp
    match url.scheme:
        case "unix":
            return {"connection_class": Unix, "path": url.path}
        case "redis+sentinel":
            return {"connection_class": sought, "find": primary_of(url.service, url.hosts)}
        case "redis+cluster":
            slot = key_slot(slot_key.encode())
            find = owner_of(slot, url.hosts, url.login | url.tls, is_tls=url.is_tls)
            return {"connection_class": sought, "find": find}
        case _:
            ((host, port),) = url.hosts
            kind = Tls if url.is_tls else Tcp
            return {"connection_class": kind, "host": host, "port": port}
