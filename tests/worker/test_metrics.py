"""The worker's metrics: calls by their outcome, and the port that shows them."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from app.chats.grant import Grant, NoWork, Settled, TakeResult
from app.chats.outcome import Outcome
from app.worker.metrics import Metrics, listen
from app.worker.reporter import CallReporter
from app.worker.spool import CallResult
from tests.scraped import labels, samples
from tests.stack.processes import free_port
from tests.store.outcomes import CREATED, NOT_SENT, OUTCOMES, REFUSED, THROTTLED, UNKNOWN
from tests.worker.results import TRACE, result_of
from tests.worker.test_spans import take_line

OPENED = Settled("opened", None, age_seconds=3)


@pytest.fixture
def metrics() -> Metrics:
    """A worker's metrics before its first call."""
    return Metrics()


@pytest.fixture
def reporter(metrics: Metrics) -> CallReporter:
    """What counts a worker's work in these metrics."""
    return CallReporter(metrics, take_line)


def text(metrics: Metrics) -> str:
    """What is shown."""
    return generate_latest(metrics.registry).decode()


def by_consent(outcome: Outcome) -> CallResult:
    """What came of a call for an event of which it is not known whether it has a chat."""
    grant = Grant("e1", "u1", 2, "token", {"attempts": 2, "possible_orphan": True})
    return CallResult(grant, outcome, TRACE, 0.1)


def test_every_outcome_is_there_before_the_first_call(metrics: Metrics) -> None:
    """So that an alert on a rate sees the first one."""
    calls = labels(text(metrics), "relay_calls_total")

    assert {"created": 0, "refused": 0, "throttled": 0, "not_sent": 0, "unknown": 0} == calls


def test_calls_are_counted_by_outcome_and_timed(metrics: Metrics, reporter: CallReporter) -> None:
    """One that was denied was refused, in the words of the contract."""
    for outcome in OUTCOMES.values():
        reporter.report_call(result_of("e1", outcome, seconds=0.2))

    calls = labels(text(metrics), "relay_calls_total")
    assert {"created": 1, "refused": 2, "throttled": 1, "not_sent": 1, "unknown": 1} == calls
    told = samples(text(metrics))
    assert 6 == told["relay_call_seconds_count"]
    assert pytest.approx(1.2) == told["relay_call_seconds_sum"]


@pytest.mark.parametrize("result", ["opened", "failed", "duplicate", "ignored", "unknown"])
def test_the_time_to_settle_is_that_of_settled_events(
    metrics: Metrics, reporter: CallReporter, result: str
) -> None:
    """From accepting it; one that is held, or was settled before, is none."""
    reporter.report_settlement(result_of("e1"), Settled(result, None, age_seconds=3))

    told = samples(text(metrics))
    assert (result in {"opened", "failed"}) == told["relay_time_to_settle_seconds_count"]
    assert (result == "duplicate") == told["relay_duplicate_chats_total"]


@pytest.mark.parametrize(
    ("outcome", "count"),
    [(CREATED, 1), (UNKNOWN, 1), (REFUSED, 0), (THROTTLED, 0), (NOT_SENT, 0)],
)
def test_an_orphan_is_possible_where_a_second_call_may_have_created(
    metrics: Metrics, reporter: CallReporter, outcome: Outcome, count: int
) -> None:
    """And not where it surely did nothing: the next try would count it again."""
    reporter.report_call(result_of("e1", outcome))
    reporter.report_call(by_consent(outcome))

    assert count == samples(text(metrics))["relay_possible_orphans_total"]


def test_lost_workers_are_counted(metrics: Metrics, reporter: CallReporter) -> None:
    """By their calls, whoever finds them."""
    reporter.report_take(TakeResult(NoWork(0, is_idle=True), ["e1", "e2"], ["e3"]))

    assert 2 == samples(text(metrics))["relay_workers_lost_total"]


def test_no_id_is_shown(metrics: Metrics, reporter: CallReporter) -> None:
    """Each would be a series of its own, for ever."""
    reporter.report_call(result_of("secret-event"))
    reporter.report_settlement(result_of("secret-event"), OPENED)

    assert "secret" not in text(metrics)


@pytest.fixture
def port(metrics: Metrics) -> Iterator[int]:
    """Where the metrics are shown."""
    port = free_port()
    serve_forever: Any = listen(metrics, port)
    thread = Thread(target=serve_forever, daemon=True)
    thread.start()
    yield port
    serve_forever.__self__.shutdown()
    serve_forever.__self__.server_close()
    thread.join()


def get(port: int, path: str) -> str:
    """What is answered there. Raises ``HTTPError``."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        assert "no-store" == answer.headers["Cache-Control"]
        return str(answer.read().decode())


def test_the_port_shows_metrics_and_life(reporter: CallReporter, port: int) -> None:
    """As they are when they are asked for, and nothing else."""
    reporter.report_call(result_of("e1"))

    assert 1 == labels(get(port, "/metrics"), "relay_calls_total")["created"]
    assert '{"status": "ok"}' == get(port, "/livez")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(port, "/")


def test_a_client_that_says_nothing_keeps_nobody_waiting(port: int) -> None:
    """It has a thread of its own, for two seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as silent:
        assert get(port, "/livez")
        assert b"" == silent.recv(1)


def test_a_port_in_use_ends_the_process(metrics: Metrics, port: int) -> None:
    """With a line that names it, and the code of settings that cannot be used."""
    with capture_logs() as lines, pytest.raises(SystemExit) as ended:
        listen(metrics, port)

    assert 2 == ended.value.code
    assert [("metrics_port_unusable", port, "Address already in use")] == [
        (line["event"], line["port"], line["reason"]) for line in lines
    ]
