"""Export of a process's spans, where it is configured."""

from collections.abc import Callable
from functools import cache
from importlib import import_module

from app.chats.trace import Span, TakeSpan


def span_taker(url: str | None, process: str) -> TakeSpan | None:
    """Build the exporter of a ``web`` or a ``worker``, or ``None`` where there is no ``url``.

    It starts with the first span: its greenlet, begun before a fork, would run on in each child.
    Its libraries need not be installed, and are not imported without a URL.
    """
    if url is None:
        return None
    export_to: Callable[[str, str], TakeSpan] = import_module("app.tracing").export_to

    @cache
    def exporter() -> TakeSpan:
        return export_to(url, process)

    def take_span(span: Span) -> None:
        exporter()(span)

    return take_span
