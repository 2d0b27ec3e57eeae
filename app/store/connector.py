"""Opens connections to Redis: to a fixed server, or to the one that is the primary now.

Sentinels and cluster nodes are queried for each new connection, so a fail-over is met in one way:
connections to a server that is not the primary any more are dropped, and new ones find the new one.
"""

import re
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from app.store.discovery import Address, cluster_slot_owner, sentinel_primary
from config.redis_url import RedisUrl

OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "encoding_errors": "replace",  # what another program wrote is an odd reply, not a broken line
    # Bounded by `deadline`, as a whole.
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "socket_keepalive": True,
    # The library may repeat commands ten times, and a repeat after a lost reply runs a write twice.
    # What is safe to repeat is repeated in `Scripts.run`.
    "retry": Retry(NoBackoff(), 0),
    # A managed server may announce maintenance, and the library then waits longer than it may.
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    "driver_info": None,  # two round trips less a connection
}

_DATABASE_REFUSED = re.compile("DB index is out of range|SELECT is not allowed")


class NoSuchDatabase(ResponseError):
    """Redis does not have the database that ``REDIS_URL`` names."""


class Connector:
    """Opens connections to the server or primary of ``url``.

    ``slot_key`` is any key of the relay, for a cluster.
    """

    def __init__(self, url: RedisUrl, *, slot_key: str) -> None:
        self._url = url
        self._slot = key_slot(slot_key.encode())

    @property
    def is_tls(self) -> bool:
        """True where connections are encrypted."""
        return self._url.is_tls

    def open(self, **options: Any) -> AbstractConnection:
        """Connect and shake hands; ``options`` are redis-py's.

        Raises ``RedisError``; ``NoSuchDatabase`` where ``REDIS_URL`` itself is wrong.
        """
        connection = self._build({**OPTIONS, **self._url.login, "db": self._url.db, **options})
        try:
            connection.connect()
            self._check_role(connection)
        except BaseException as error:
            connection.disconnect()
            if isinstance(error, ResponseError) and _DATABASE_REFUSED.match(str(error)):
                sentence = f"REDIS_URL names database {self._url.db}; Redis replies: {error}"
                raise NoSuchDatabase(sentence) from error
            raise
        return connection

    def _build(self, options: dict[str, Any]) -> AbstractConnection:
        url = self._url
        if url.scheme == "unix":
            del options["socket_keepalive"]
            # Its type lacks what only TCP has.
            return UnixDomainSocketConnection(path=url.path, **options)  # type: ignore[abstract]
        host, port = self._find_server()
        if url.is_tls:
            return SSLConnection(host=host, port=port, **options, **url.tls)
        return Connection(host=host, port=port, **options)

    def _find_server(self) -> Address:
        match self._url.scheme:
            case "redis+sentinel":
                return sentinel_primary(self._url)
            case "redis+cluster":
                return cluster_slot_owner(self._url, self._slot)
            case _:
                return self._url.hosts[0]

    def _check_role(self, connection: AbstractConnection) -> None:
        """Refuse a replica: named by a sentinel that lags, it would answer reads from the past."""
        greeting: Any = connection.handshake_metadata or {}  # RESP3's HELLO; none in RESP2
        is_found = self._url.scheme in {"redis+sentinel", "redis+cluster"}
        if is_found and greeting.get("role") == "replica":
            raise RedisConnectionError("the server that was named as the primary is a replica")
