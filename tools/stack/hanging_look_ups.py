"""Host name whose look-up hangs, for a process that gevent has patched."""

import _socket
from typing import Any

from gevent.monkey import get_original

HANGING_HOST = "channel.hangs"
# Longer than any test lasts.
HANG_SECONDS = 600

_look_up = _socket.getaddrinfo
_sleep = get_original("time", "sleep")


def install() -> None:
    """Make look-ups of the host hang, in the function that gevent's resolver calls."""
    _socket.getaddrinfo = _look_up_or_hang  # type: ignore[assignment]


def _look_up_or_hang(host: str, *arguments: Any) -> Any:
    """Resolve a name, or hang. Runs in a native thread."""
    if host == HANGING_HOST:
        _sleep(HANG_SECONDS)
    return _look_up(host, *arguments)
