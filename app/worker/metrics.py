"""Metrics of a worker: calls by outcome, and their durations."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from app.chats.grant import Grant, SettleEffect, SettleResult, Task
from app.chats.outcome import Created, Outcome, OutcomeKind, Unknown

_ANY = (OutcomeKind.REFUSED, OutcomeKind.DENIED, OutcomeKind.THROTTLED, OutcomeKind.NOT_SENT)
_LATER = (OutcomeKind.DONE, OutcomeKind.UNKNOWN, OutcomeKind.LOOK_FAILED, OutcomeKind.NOT_FOUND)
OUTCOMES = {
    Task.RESOLVE: (*_ANY, OutcomeKind.RESOLVED, OutcomeKind.LOOK_FAILED),
    Task.CREATE: (*_ANY, OutcomeKind.CREATED, OutcomeKind.UNKNOWN),
    Task.MESSAGE: (*_ANY, *_LATER),
    Task.OPEN: (*_ANY, *_LATER),
}
CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
SETTLE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400)


class WorkerMetrics:
    """Counts of calls.

    No id is ever a label. Every label is there from the start, so that a first failure is a step.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "relay_calls",
            "Grants used at Channel.io, by outcome and task.",
            ["outcome", "task"],
            registry=self.registry,
        )
        self._call_seconds = Histogram(
            "relay_call_seconds",
            "How long calls took.",
            buckets=CALL_SECONDS,
            registry=self.registry,
        )
        self._settle_seconds = Histogram(
            "relay_time_to_settle_seconds",
            "From accepting an event to settling it.",
            buckets=SETTLE_SECONDS,
            registry=self.registry,
        )
        for task, outcomes in OUTCOMES.items():
            for outcome in outcomes:
                self._calls.labels(outcome, task)
        self._orphans = self._counter("possible_orphans", "Calls that may have made a second chat.")
        self._duplicates = self._counter("duplicate_chats", "Chats beside the published one.")
        self._stale = self._counter("stale_answers", "Late answers of an earlier life of their id.")
        self._lost = self._counter("workers_lost", "Calls whose worker was lost.")
        self._lost_lines = self._counter("log_lines_lost", "Log lines that stdout did not take.")

    def show_release(self, version: str) -> None:
        """Show which release this is."""
        release = Gauge(
            "relay_build_info", "1, by the release.", ["version"], registry=self.registry
        )
        release.labels(version).set(1)

    def count_lost_workers(self, count: int) -> None:
        """Count calls whose worker was lost."""
        self._lost.inc(count)

    def count_lost_line(self) -> None:
        """Count a log line that was dropped."""
        self._lost_lines.inc()

    def count_call(self, grant: Grant, outcome: Outcome, seconds: float) -> None:
        """Count one call."""
        self._calls.labels(outcome.kind, grant.task).inc()
        self._call_seconds.observe(seconds)
        is_create = grant.task is Task.CREATE
        if is_create and grant.is_possible_orphan and isinstance(outcome, Created | Unknown):
            self._orphans.inc()

    def count_settled(self, settled: SettleResult) -> None:
        """Count the effect of a call's outcome."""
        if settled.effect in {SettleEffect.OPENED, SettleEffect.FAILED}:
            self._settle_seconds.observe(settled.age_seconds)
        elif settled.effect is SettleEffect.DUPLICATE:
            self._duplicates.inc()
        elif settled.effect is SettleEffect.STALE:
            self._stale.inc()

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"relay_{name}", meaning, registry=self.registry)
