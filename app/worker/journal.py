"""What the worker tells of its work: a canonical log line and a span for each call, and metrics."""

import time

import structlog

from app.chats.grant import Reply, Settled
from app.chats.outcome import Created, Outcome, Throttled
from app.chats.record import Session
from app.chats.trace import Span, TakeSpan, Trace
from app.worker.metrics import Metrics
from app.worker.spool import Answer

log = structlog.get_logger("relay.worker")


class Journal:
    """Writes the log, counts, and hands on spans; ``server_address`` is Channel.io's, for these."""

    def __init__(
        self, metrics: Metrics, *, take_span: TakeSpan | None = None, server_address: str = ""
    ) -> None:
        self._metrics = metrics
        self._take_span = take_span
        self._server_address = server_address

    def took(self, reply: Reply) -> None:
        """Tell what a ``take`` cleaned up on its way."""
        self._metrics.count_taken(reply)
        for event_id in reply.lost:
            log.warning("worker_lost", event_id=event_id)
        for event_id in reply.expired:
            log.warning("event_expired", event_id=event_id)

    def called(self, answer: Answer, trace: Trace, seconds: float) -> None:
        """Write the canonical line of a call, with the ids: before anything else is done."""
        grant, outcome = answer.grant, answer.outcome
        log.info(
            "call",
            event_id=grant.event_id,
            user_id=grant.user_id,
            attempt=grant.attempt,
            outcome=outcome.kind,
            upstream_status=outcome.upstream_status,
            trace_id=trace.trace_id,
            duration_ms=round(seconds * 1000, 1),
            **_particulars(outcome),
        )
        self._metrics.count_call(grant, outcome, seconds)
        if self._take_span is not None:
            # After the line, which must not wait for anything.
            self._take_span(self._span(answer, trace, seconds))

    def settled(self, answer: Answer, settled: Settled) -> None:
        """Tell what is out of the ordinary, and count."""
        grant = answer.grant
        if settled.breaker:
            # Not as `outcome`: a log is searched for the calls that created a chat.
            log.warning("breaker", state=settled.breaker, after=answer.outcome.kind)
        if settled.result in {"duplicate", "ignored", "unknown"}:
            log.warning(
                "settled", event_id=grant.event_id, attempt=grant.attempt, result=settled.result
            )
        self._metrics.count_settled(settled)

    def _span(self, answer: Answer, trace: Trace, seconds: float) -> Span:
        grant, outcome = answer.grant, answer.outcome
        status = outcome.upstream_status
        now = time.time()
        return Span(
            trace,
            "open chat",
            "client",
            began_at=now - seconds,
            ended_at=now,
            attributes={
                "http.request.method": "POST",
                "server.address": self._server_address,
                **({} if status is None else {"http.response.status_code": status}),
                "relay.event_id": grant.event_id,
                "relay.attempt": grant.attempt,
                "relay.outcome": outcome.kind,
            },
            has_failed=not isinstance(outcome, Created),
        )


def _particulars(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Created):
        chat = outcome.chat
        return {
            "chat_id": chat.id,
            "channel_id": chat.channel_id,
            "chat_state": chat.state,
            "session_id": _id(chat.session),
            "user_session_id": _id(chat.user_session),
        }
    if isinstance(outcome, Throttled):
        return {"retry_after_ms": outcome.retry_after_ms}
    return {"detail": outcome.detail}


def _id(session: Session | None) -> str | None:
    return session.id if session else None
