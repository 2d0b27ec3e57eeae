"""Export of a process's spans, where it is configured."""

from collections.abc import Callable
from functools import cache
from importlib import import_module

from app.telemetry.trace_context import ExportSpan, Span


def build_span_exporter(url: str | None, process: str) -> ExportSpan | None:
    """Build the exporter of a ``web`` or a ``worker``, or ``None`` where there is no ``url``.

    It starts with the first span: its greenlet, begun before a fork, would run on in each child.
    Its libraries need not be installed, and are not imported without a URL.
    """
    if url is None:
        return None
    export_to: Callable[[str, str], ExportSpan] = import_module("app.telemetry.otlp").export_to

    @cache
    def exporter() -> ExportSpan:
        return export_to(url, process)

    def export_span(span: Span) -> None:
        exporter()(span)

    return export_span
