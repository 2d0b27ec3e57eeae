"""What is known of one request, and told of it: in the log, to traces, in metrics."""

import time
from dataclasses import dataclass, field
from typing import Any

from flask import Request, Response, request

from app.chats.trace import Span, Trace
from app.web.callers import Caller

# Any other word that a client sends is not told: https://opentelemetry.io/docs/specs/semconv/http/
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
SERVER_ERRORS = range(500, 600)


@dataclass(slots=True)
class Visit:
    """One request, from its arrival on. What is not known (yet) is None.

    ``result``: what became of a posted event; ``problem``: the slug of what was answered instead.
    """

    trace: Trace
    caller: Caller | None = None
    event_id: str | None = None
    result: str | None = None
    problem: str | None = None
    _began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """For how long it has lasted."""
        return time.perf_counter() - self._began

    def told(self, request: Request, response: Response) -> dict[str, Any]:
        """Return the canonical log line, without what is not known."""
        told = {
            "method": request.method,
            "route": request.url_rule.rule if request.url_rule else None,
            "status": response.status_code,
            "trace_id": self.trace.trace_id,
            "duration_ms": round(self.seconds * 1000, 1),
        }
        if self.event_id:
            told["event_id"] = self.event_id
        if self.result:
            told["result"] = self.result
        if self.problem:
            told["problem"] = self.problem
        if self.caller:
            told["caller"] = self.caller.name
        return told

    def span(self, request: Request, response: Response) -> Span:
        """Return the span. The address is left out: users are named in it."""
        method = request.method if request.method in METHODS else "_OTHER"
        route = request.url_rule.rule if request.url_rule else None
        outcome = self.result or self.problem
        now = time.time()
        return Span(
            self.trace,
            f"{method} {route}" if route else "HTTP",
            "server",
            began_at=now - self.seconds,
            ended_at=now,
            attributes={
                "http.request.method": method,
                **({"http.route": route} if route else {}),
                "http.response.status_code": response.status_code,
                **({"relay.event_id": self.event_id} if self.event_id else {}),
                **({"relay.outcome": outcome} if outcome else {}),
            },
            has_failed=response.status_code in SERVER_ERRORS,
        )


class VisitingRequest(Request):
    """A request, and what is known of it so far."""

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any) -> None:
        super().__init__(environ, *args, **options)
        self.visit = Visit(Trace.after(environ.get("HTTP_TRACEPARENT")))


def current_request() -> VisitingRequest:
    """Return the request itself: each look at it through its proxy would be a search."""
    asked: VisitingRequest = request._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - documented
    return asked
