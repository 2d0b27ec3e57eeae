"""Reports of a worker's work: a canonical log line and a span for each call, and metrics."""

import time
from collections.abc import Callable
from typing import Any

import structlog

from app.chats.grant import SettleEffect, SettleResult, TakeResult, Task
from app.chats.outcome import Created, Done, Resolved
from app.telemetry.call_line import EVENT, call_fields
from app.telemetry.trace_context import ExportSpan, Span
from app.worker.metrics import WorkerMetrics
from app.worker.outage import Outage
from app.worker.spool import CallResult

log = structlog.get_logger("relay.worker")
# Name and last method of each task's span.
SPANS = {
    Task.RESOLVE: ("resolve user", "GET"),
    Task.CREATE: ("open chat", "POST"),
    Task.MESSAGE: ("send message", "POST"),
    Task.OPEN: ("open for agents", "PUT"),
}
# Outcomes of a task that needs no repeat and did not fail.
GOOD = (Created, Resolved, Done)
# Effects of a settle that are logged.
UNUSUAL = {
    SettleEffect.DUPLICATE,
    SettleEffect.IGNORED,
    SettleEffect.UNKNOWN,
    SettleEffect.TASK_FAILED,
}


class CallReporter:
    """Writes the log, counts, and hands on spans.

    ``write_line`` writes the canonical line of a call, from its event's name and fields, and
    returns whether the log took it. ``server_address`` is Channel.io's, for spans. ``redis`` is
    the outage in which Redis does not respond, ``spool`` that in which it refuses spooled results.
    """

    def __init__(
        self,
        metrics: WorkerMetrics,
        write_line: Callable[..., bool],
        *,
        export_span: ExportSpan | None = None,
        server_address: str = "",
    ) -> None:
        self.redis = Outage("redis_unavailable", "redis_available")
        self.spool = Outage("spool_not_settled", "spool_settled")
        self._metrics = metrics
        self._write_line = write_line
        self._export_span = export_span
        self._server_address = server_address

    def report_take(self, taken: TakeResult) -> None:
        """Report what a ``take`` cleaned up, and that Redis responds."""
        self.redis.report_success()
        self._metrics.count_lost_workers(len(taken.lost_event_ids))
        for event_id in taken.lost_event_ids:
            log.warning("worker_lost", event_id=event_id)
        for event_id in taken.expired_event_ids:
            log.warning("event_expired", event_id=event_id)

    def report_call(self, result: CallResult) -> None:
        """Log a call, with the ids, before anything else is done; then count and trace it."""
        self.log_call(result)
        self._metrics.count_call(result.grant, result.outcome, result.seconds)
        if self._export_span is not None:
            self._export_span(self._span(result))

    def log_call(self, result: CallResult) -> None:
        """Write the canonical line of a call; ``result.is_logged`` is set where it was taken."""
        result.is_logged = self._write_line(EVENT, **_call_fields(result))

    def log_settled_call(self, result: CallResult) -> None:
        """Write the line of a call that needs it no more: where there is no room, it is dropped."""
        log.info(EVENT, **_call_fields(result))

    def report_settlement(self, result: CallResult, settled: SettleResult) -> None:
        """Log a settlement that is out of the ordinary, and count it."""
        grant = result.grant
        if settled.breaker:
            # Not as `outcome`: a log is searched for the calls that created a chat.
            log.warning("breaker", state=settled.breaker, after=result.outcome.kind)
        if settled.effect in UNUSUAL:
            log.warning(
                "settled",
                event_id=grant.event_id,
                attempt=grant.attempt,
                task=grant.task,
                result=settled.effect,
            )
        elif settled.effect is SettleEffect.STALE:
            log.warning("stale_answer", **_call_fields(result))
        self._metrics.count_settled(settled)

    def _span(self, result: CallResult) -> Span:
        grant, outcome = result.grant, result.outcome
        status = outcome.upstream_status
        now = time.time()
        name, method = SPANS[grant.task]
        return Span(
            result.trace,
            name,
            "client",
            began_at=now - result.seconds,
            ended_at=now,
            attributes={
                "http.request.method": method,
                "server.address": self._server_address,
                **({} if status is None else {"http.response.status_code": status}),
                "relay.event_id": grant.event_id,
                "relay.attempt": grant.attempt,
                "relay.task": grant.task,
                "relay.outcome": outcome.kind,
            },
            has_failed=not isinstance(outcome, GOOD),
        )


def _call_fields(result: CallResult) -> dict[str, Any]:
    return call_fields(
        result.grant, result.outcome, trace_id=result.trace.trace_id, seconds=result.seconds
    )
