"""The primary's address: from sentinels, or from a cluster's nodes, for each new connection."""

import random
from collections.abc import Sequence
from typing import Any

from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.store.replies import error_reply
from config.redis_url import RedisUrl

Address = tuple[str, int]

# Several are queried in turn, within the time that one command has.
QUERY_SECONDS = 0.3


class PrimaryUnknown(RedisConnectionError):
    """No server names the primary; the message has no address, and what one of them replied."""

    def __init__(self, sentence: str, reply: str | None) -> None:
        super().__init__(f"{sentence}: {reply}" if reply else sentence)


def sentinel_primary(url: RedisUrl) -> Address:
    """Return the service's primary, https://redis.io/docs/latest/develop/reference/sentinel-clients/

    Raises ``PrimaryUnknown`` where no sentinel names one.
    """
    reply = None
    for sentinel in _shuffled(url.hosts):
        # Sentinels are reached without the servers' password and TLS.
        connection = Connection(**_options(sentinel))
        try:
            named = _query(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service)
        except RedisError as error:
            reply = error_reply(error) or reply
            continue
        if named:
            return named[0], int(named[1])
    raise PrimaryUnknown("no sentinel names the primary", reply)


def cluster_slot_owner(url: RedisUrl, slot: int) -> Address:
    """Return the node that serves ``slot``, https://redis.io/docs/latest/commands/cluster-slots/

    Raises ``PrimaryUnknown`` where no node names one.
    """
    reply = None
    for node in _shuffled(url.hosts):
        options = _options(node) | url.login
        connection = SSLConnection(**options, **url.tls) if url.is_tls else Connection(**options)
        try:
            shares = _query(connection, "CLUSTER", "SLOTS")
        except RedisError as error:
            reply = error_reply(error) or reply
            continue
        for first, last, owner, *_ in shares:
            if first <= slot <= last:
                return _named_host(owner) or node[0], owner[1] or node[1]
    raise PrimaryUnknown("no node of the cluster names the owner of the relay's slot", reply)


def _named_host(owner: Sequence[Any]) -> str | None:
    """Return the host of a node in a reply to CLUSTER SLOTS.

    None where it names none, by NULL or an empty text: the host that was queried. ``?`` stands for
    a host name that is not set; the node's IP address is then among its other names.
    """
    host, _, *rest = owner
    if host != "?":
        return host or None
    names = rest[1] if len(rest) > 1 else []
    if not isinstance(names, dict):  # RESP2
        names = dict(zip(names[::2], names[1::2], strict=True))
    return names.get("ip") or None


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
    """Return the reply, empty where the server does not know. Raises ``RedisError``."""
    try:
        connection.send_command(*command)
        return connection.read_response() or []
    finally:
        connection.disconnect()
