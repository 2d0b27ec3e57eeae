"""Tests of the reporter: a log line, a span and metrics for each call."""

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from app.chats.grant import Grant, NoWork, SettleEffect, SettleResult, TakeResult
from app.chats.outcome import Outcome
from app.telemetry.trace_context import Span
from app.worker.metrics import OUTCOMES as OUTCOMES_OF_TASKS
from app.worker.metrics import WorkerMetrics
from app.worker.reporter import CallReporter
from app.worker.spool import CallResult
from tests.scraped import samples
from tests.worker.results import TRACE, result_of, take_line
from tools.model.outcomes import CREATED, NOT_SENT, OUTCOMES, REFUSED, THROTTLED, UNKNOWN

OPENED = SettleResult(SettleEffect.OPENED, None, age_seconds=3)


@pytest.fixture
def metrics() -> WorkerMetrics:
    """A worker's metrics before its first call."""
    return WorkerMetrics()


@pytest.fixture
def reporter(metrics: WorkerMetrics) -> CallReporter:
    """Reporter that counts in these metrics."""
    return CallReporter(metrics, take_line)


def text(metrics: WorkerMetrics) -> str:
    """Return the exposed text."""
    return generate_latest(metrics.registry).decode()


def by_consent(outcome: Outcome) -> CallResult:
    """Result of a call for an event that may already have a chat."""
    grant = Grant("e1", "u1", 2, "token", {"attempts": 2, "possible_orphan": True})
    return CallResult(grant, outcome, TRACE, 0.1)


def test_every_outcome_is_there_before_the_first_call(metrics: WorkerMetrics) -> None:
    """So that an alert on a rate sees the first one."""
    values = samples(text(metrics))

    names = {
        f'relay_calls_total{{outcome="{outcome}",task="{task}"}}'
        for task, outcomes in OUTCOMES_OF_TASKS.items()
        for outcome in outcomes
    }
    assert names == {name for name in values if name.startswith("relay_calls_total")}
    assert {0} == {values[name] for name in names}


def test_calls_are_counted_by_outcome_and_timed(
    metrics: WorkerMetrics, reporter: CallReporter
) -> None:
    """A denied call is none that was refused: the key is wrong, not the event."""
    for outcome in OUTCOMES.values():
        reporter.report_call(result_of("e1", outcome, seconds=0.2))

    values = samples(text(metrics))
    for kind in OUTCOMES:
        assert 1 == values[f'relay_calls_total{{outcome="{kind}",task="create"}}']
    assert 6 == values["relay_call_seconds_count"]
    assert pytest.approx(1.2) == values["relay_call_seconds_sum"]


@pytest.mark.parametrize("result", ["opened", "failed", "duplicate", "ignored", "unknown", "stale"])
def test_the_time_to_settle_is_that_of_settled_events(
    metrics: WorkerMetrics, reporter: CallReporter, result: str
) -> None:
    """From accepting it; one that is held, or was settled before, is none."""
    reporter.report_settlement(
        result_of("e1"), SettleResult(SettleEffect(result), None, age_seconds=3)
    )

    values = samples(text(metrics))
    assert (result in {"opened", "failed"}) == values["relay_time_to_settle_seconds_count"]
    assert (result == "duplicate") == values["relay_duplicate_chats_total"]
    assert (result == "stale") == values["relay_stale_answers_total"]


def test_a_stale_answer_is_logged_with_its_life_and_ids(reporter: CallReporter) -> None:
    """It is the only place that still has the chat: the event of that name is another one."""
    result = result_of("e1", accepted_ms=1_700_000_000_000)

    with capture_logs() as lines:
        reporter.report_settlement(result, SettleResult(SettleEffect.STALE, None))

    (line,) = lines
    assert ("stale_answer", "warning") == (line["event"], line["log_level"])
    assert ("e1", "token-of-e1", 1_700_000_000_000, "chat-of-e1") == tuple(
        line[name] for name in ("event_id", "token", "life", "chat_id")
    )


def test_the_line_of_a_call_has_its_life_and_token(metrics: WorkerMetrics) -> None:
    """They distinguish it from another life of the same id, and from a forged one."""
    lines: list[dict[str, object]] = []

    def write(_event: str, **fields: object) -> bool:
        lines.append(fields)
        return True

    CallReporter(metrics, write).log_call(result_of("e1", accepted_ms=1_700_000_000_000))

    assert [(1_700_000_000_000, "token-of-e1")] == [(line["life"], line["token"]) for line in lines]


@pytest.mark.parametrize(
    ("outcome", "count"),
    [(CREATED, 1), (UNKNOWN, 1), (REFUSED, 0), (THROTTLED, 0), (NOT_SENT, 0)],
)
def test_an_orphan_is_possible_where_a_second_call_may_have_created(
    metrics: WorkerMetrics, reporter: CallReporter, outcome: Outcome, count: int
) -> None:
    """Not after proof that nothing was made: the next try would count it again."""
    reporter.report_call(result_of("e1", outcome))
    reporter.report_call(by_consent(outcome))

    assert count == samples(text(metrics))["relay_possible_orphans_total"]


def test_lost_workers_are_counted(metrics: WorkerMetrics, reporter: CallReporter) -> None:
    """Counted by their calls, not by the worker that finds them."""
    reporter.report_take(TakeResult(NoWork(0, is_idle=True), ["e1", "e2"], ["e3"]))

    assert 2 == samples(text(metrics))["relay_workers_lost_total"]


def test_no_id_is_shown(metrics: WorkerMetrics, reporter: CallReporter) -> None:
    """Each would be a series of its own, for ever."""
    reporter.report_call(result_of("secret-event"))
    reporter.report_settlement(result_of("secret-event"), OPENED)

    assert "secret" not in text(metrics)


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


def test_a_span_follows_the_log_line() -> None:
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
