"""Sends spans to an OpenTelemetry collector: OTLP over HTTP, in the background.

The only module that imports OpenTelemetry; it is imported only if spans are exported. Spans are
built after their step: their ids are older, since they were sent in ``traceparent``.
"""

import atexit

import gevent
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from app.telemetry.trace_context import ExportSpan, Span, Trace

SERVICE_NAME = "chat-relay"
# At the end: for the spans of the last seconds. A worker's stop has two seconds in all, and the end
# of the interpreter needs most of one on a busy host.
FLUSH_SECONDS = 0.5

_SCOPE = InstrumentationScope("relay")
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}


def export_to(url: str, process: str) -> ExportSpan:
    """Build the exporter of a ``web`` or a ``worker``, which posts its spans to ``url``.

    They wait in a queue that drops the oldest when it is full, and whatever is wrong with the
    collector ends in the log. What waits when the process ends has ``FLUSH_SECONDS`` to leave.
    """
    resource = _resource(process)
    processor = BatchSpanProcessor(OTLPSpanExporter(url))
    atexit.register(_flush, processor)
    return lambda span: processor.on_end(_readable(span, resource))


def _resource(process: str) -> Resource:
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
    named = OTELResourceDetector().detect().attributes
    return Resource.create({"service.name": SERVICE_NAME, "relay.process": process, **named})


def _flush(processor: BatchSpanProcessor) -> None:
    # Its own shutdown takes no limit, and waits for 30 s where the collector does not answer.
    gevent.spawn(processor.shutdown).join(FLUSH_SECONDS)


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    trace = span.trace
    return ReadableSpan(
        span.name,
        context=_context(trace, trace.span_id, is_remote=False),
        parent=_context(trace, trace.parent_id, is_remote=True) if trace.parent_id else None,
        resource=resource,
        attributes=span.attributes,
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR if span.has_failed else StatusCode.UNSET),
        start_time=round(span.began_at * 1e9),
        end_time=round(span.ended_at * 1e9),
        instrumentation_scope=_SCOPE,
    )


def _context(trace: Trace, span_id: str, *, is_remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), is_remote, flags)
