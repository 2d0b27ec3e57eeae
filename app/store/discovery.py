"""The primary's address: from sentinels, or from a cluster's nodes, for each new connection."""

import random
from collections.abc import Sequence
from typing import Any

from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config.redis_url import RedisUrl

Address = tuple[str, int]

# Several are queried in turn, within the time that one command has.
QUERY_SECONDS = 0.3


def sentinel_primary(url: RedisUrl) -> Address:
    """Return the service's primary, https://redis.io/docs/latest/develop/reference/sentinel-clients/

    Raises ``ConnectionError`` of redis-py where no sentinel names one.
    """
    for sentinel in _shuffled(url.hosts):
        # Sentinels are reached without the servers' password and TLS.
        connection = Connection(**_options(sentinel))
        named = _query(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service)
        if named:
            return named[0], int(named[1])
    raise RedisConnectionError("no sentinel says which server is the primary")


def cluster_slot_owner(url: RedisUrl, slot: int) -> Address:
    """Return the node that serves ``slot``, https://redis.io/docs/latest/commands/cluster-slots/

    Raises ``ConnectionError`` of redis-py where no node names one.
    """
    for node in _shuffled(url.hosts):
        options = _options(node) | url.login
        connection = SSLConnection(**options, **url.tls) if url.is_tls else Connection(**options)
        for first, last, (host, port, *_), *_ in _query(connection, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return host or node[0], port
    raise RedisConnectionError("no node of the cluster says which one serves the relay's slot")


def _shuffled(seeds: Sequence[Address]) -> list[Address]:
    # A seed that is silent, or has not learnt of a fail-over, must not be the first each time.
    return random.sample(seeds, len(seeds))


def _options(seed: Address) -> dict[str, Any]:
    return {
        "host": seed[0],
        "port": seed[1],
        "socket_connect_timeout": QUERY_SECONDS,
        "socket_timeout": QUERY_SECONDS,
        "decode_responses": True,
        "driver_info": None,
    }


def _query(connection: Connection, *command: str) -> list[Any]:
    """Return the reply, or nothing where the next seed is to be queried."""
    try:
        connection.send_command(*command)
        return connection.read_response() or []
    except RedisError:
        return []
    finally:
        connection.disconnect()
