"""Who takes the spans of a process."""

from collections.abc import Callable
from importlib import import_module

from app.chats.trace import TakeSpan


def span_taker(endpoint: str | None, process: str) -> TakeSpan | None:
    """Build it for a ``web`` or a ``worker``; nobody where ``endpoint`` is not set.

    Its libraries need not be installed, and are not imported then.
    """
    if endpoint is None:
        return None
    export_to: Callable[[str, str], TakeSpan] = import_module("app.tracing").export_to
    return export_to(endpoint, process)
