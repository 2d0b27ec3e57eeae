"""Who takes the spans of a process."""

from collections.abc import Callable
from importlib import import_module

from app.chats.trace import TakeSpan, forget


def span_taker(endpoint: str | None, process: str) -> TakeSpan:
    """Build it for a ``web`` or a ``worker``.

    Its libraries need not be installed, and are not imported where ``endpoint`` is not set.
    """
    if endpoint is None:
        return forget
    export_to: Callable[[str, str], TakeSpan] = import_module("app.tracing").export_to
    return export_to(endpoint, process)
