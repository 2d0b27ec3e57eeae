"""A host whose look-up hangs in the system, for a process that gevent has patched."""

import _socket
from typing import Any

from gevent.monkey import get_original

HANGING_HOST = "channel.hangs"
# Longer than any test lasts.
HANG_SECONDS = 600

_look_up = _socket.getaddrinfo
_sleep = get_original("time", "sleep")


def install() -> None:
    """Let look-ups of that host hang: gevent's resolver looks this name up for each."""
    _socket.getaddrinfo = _look_up_or_hang  # type: ignore[assignment]


def _look_up_or_hang(host: str, *arguments: Any) -> Any:
    """Resolve a name as the system does, in a native thread."""
    if host == HANGING_HOST:
        _sleep(HANG_SECONDS)
    return _look_up(host, *arguments)
