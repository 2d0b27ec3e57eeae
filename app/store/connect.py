"""The one place that builds Redis clients."""

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 1.0
MAX_BLOCK_SECONDS = 1.0

# Left out: `protocol` changes the shapes of replies.
_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
    # The library may repeat commands ten times, and a repeat after a lost reply runs a write twice.
    # What is safe to repeat is repeated by us, where it is called.
    "retry": Retry(NoBackoff(), 0),
}


def connect(url: str) -> Redis:
    """Return a client for commands that answer at once; it connects when it is first used."""
    return Redis.from_url(url, socket_timeout=READ_TIMEOUT_SECONDS, **_OPTIONS)


def connect_blocking(url: str) -> Redis:
    """Return a client whose reads may block for ``MAX_BLOCK_SECONDS``."""
    # A block that is not well below the time-out of the socket fails instead of ending.
    return Redis.from_url(url, socket_timeout=3 * MAX_BLOCK_SECONDS, **_OPTIONS)
