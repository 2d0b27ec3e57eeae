"""A span for each call, once its line is written."""

import pytest

from app.chats.outcome import Outcome
from app.telemetry.trace_context import Span
from app.worker.metrics import WorkerMetrics
from app.worker.reporter import CallReporter
from tests.worker.results import TRACE, result_of
from tools.model.outcomes import OUTCOMES


def take_line(_event: str, **_fields: object) -> bool:
    """Take every line."""
    return True


def span_of(outcome: Outcome) -> Span:
    """Return the span of a call that took two seconds."""
    spans: list[Span] = []
    reporter = CallReporter(
        WorkerMetrics(), take_line, export_span=spans.append, server_address="api.channel.io"
    )
    reporter.report_call(result_of("e1", outcome, seconds=2))
    (span,) = spans
    return span


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_call_fails_unless_it_made_a_chat(kind: str) -> None:
    """Its status is there if Channel.io gave one; its times are those of the call."""
    outcome = OUTCOMES[kind]

    span = span_of(outcome)

    assert (TRACE, "client", kind != "created") == (span.trace, span.kind, span.has_failed)
    assert (kind, outcome.upstream_status) == (
        span.attributes["relay.outcome"],
        span.attributes.get("http.response.status_code"),
    )
    assert None not in span.attributes.values()
    assert pytest.approx(2) == span.ended_at - span.began_at


def test_a_span_comes_after_the_line() -> None:
    """The line holds the ids of a chat, and is written before anything else is done."""
    done: list[str] = []

    def write_line(event: str, **_fields: object) -> bool:
        done.append(event)
        return True

    reporter = CallReporter(
        WorkerMetrics(), write_line, export_span=lambda span: done.append(span.name)
    )
    reporter.report_call(result_of("e1"))

    assert ["call", "open chat"] == done
