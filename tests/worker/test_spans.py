"""A span for each call, once its line is written."""

import pytest
from structlog.testing import capture_logs

from app.chats.outcome import Outcome
from app.chats.trace import Span, Trace
from app.worker.journal import Journal
from app.worker.metrics import Metrics
from tests.store.outcomes import OUTCOMES
from tests.worker.answers import answer_of

TRACE = Trace.after(None)


def span_of(outcome: Outcome) -> Span:
    """What is handed on of a call that took two seconds."""
    spans: list[Span] = []
    journal = Journal(Metrics(), take_span=spans.append, server_address="api.channel.io")
    journal.called(answer_of("e1", outcome), TRACE, 2)
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
    with capture_logs() as lines:
        logged: list[int] = []
        journal = Journal(Metrics(), take_span=lambda _: logged.append(len(lines)))

        journal.called(answer_of("e1"), TRACE, 2)

    assert [1] == logged
