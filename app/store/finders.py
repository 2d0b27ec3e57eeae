"""Who serves now: asked of sentinels, or of a cluster's nodes, at each new connection."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.store.connections import Address, Tcp, Tls

# Several are asked one after the other, within the time that a single answer may take.
TIMEOUT_SECONDS = 0.3


def primary_of(service: str, sentinels: Sequence[Address]) -> Callable[[], Address]:
    """Make what asks the sentinels, https://redis.io/docs/latest/develop/reference/sentinel-clients/"""

    def find() -> Address:
        for sentinel in _shuffled(sentinels):
            named = _ask(Tcp, sentinel, {}, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            if named:
                return named[0], int(named[1])
        raise RedisConnectionError("no sentinel says which server is the primary")

    return find


def owner_of(
    slot: int, nodes: Sequence[Address], login: dict[str, Any], *, is_tls: bool
) -> Callable[[], Address]:
    """Make what asks the nodes, https://redis.io/docs/latest/commands/cluster-slots/"""
    kind = Tls if is_tls else Tcp

    def find() -> Address:
        for node in _shuffled(nodes):
            for first, last, (host, port, *_), *_ in _ask(kind, node, login, "CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return host or node[0], port
        raise RedisConnectionError("no node of the cluster says who serves the relay's slot")

    return find


def _shuffled(seeds: Sequence[Address]) -> list[Address]:
    # One that is silent, or has not heard of a fail-over, is not the first each time.
    return random.sample(seeds, len(seeds))


def _ask(kind: type[Tcp | Tls], seed: Address, login: dict[str, Any], *command: str) -> list[Any]:
    """The reply; none where there was no good one, and others are to be asked."""
    connection = kind(
        host=seed[0],
        port=seed[1],
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        decode_responses=True,
        driver_info=None,  # two round trips less
        **login,
    )
    try:
        connection.send_command(*command)  # type: ignore[no-untyped-call] # see pyproject
        return connection.read_response() or []
    except RedisError:
        return []
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call] # see pyproject
