"""The context of one request: its trace, caller and result, for the log, spans and metrics."""

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from flask import Request, Response, request

from app.telemetry.trace_context import Span, Trace
from app.web.authentication import Caller

# Any other method is shown as _OTHER: https://opentelemetry.io/docs/specs/semconv/http/
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
SERVER_ERRORS = range(500, 600)
# For all commands to Redis of one request, from the moment it is complete; waits aside.
REQUEST_SECONDS = 2.6


class PostResult(StrEnum):
    """The result of a posted event, in log lines and metrics."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REUSED = "reused"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    FULL = "full"
    UNAVAILABLE = "unavailable"


@dataclass(slots=True)
class RequestContext:
    """One request, from its arrival on. A field that is not known (yet) is ``None``.

    ``result``: the result of a posted event; ``problem``: the slug of the problem sent instead.
    ``deadline``: of its commands to Redis, on ``time.monotonic``.
    """

    trace: Trace
    caller: Caller | None = None
    event_id: str | None = None
    result: PostResult | None = None
    problem: str | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + REQUEST_SECONDS)
    _began: float = field(default_factory=time.perf_counter)

    def restart_deadline(self) -> None:
        """Count the deadline from now: the request's body has come."""
        self.deadline = time.monotonic() + REQUEST_SECONDS

    @property
    def request_id(self) -> str:
        """The id that the answer and the log have: the trace's."""
        return self.trace.trace_id

    @property
    def seconds(self) -> float:
        """The time since the request's arrival."""
        return time.perf_counter() - self._began

    def log_fields(self, request: Request, response: Response) -> dict[str, Any]:
        """Return the canonical log line, without what is not known."""
        fields = {
            "method": request.method,
            "route": request.url_rule.rule if request.url_rule else None,
            "status": response.status_code,
            "trace_id": self.trace.trace_id,
            "duration_ms": round(self.seconds * 1000, 1),
        }
        optional = {
            "event_id": self.event_id,
            "result": self.result,
            "problem": self.problem,
            "caller": self.caller and self.caller.name,
        }
        return fields | {name: value for name, value in optional.items() if value}

    def span(self, request: Request, response: Response) -> Span:
        """Return the span. The address is left out: users are named in it."""
        method = request.method if request.method in METHODS else "_OTHER"
        route = request.url_rule.rule if request.url_rule else None
        outcome = self.result or self.problem
        seconds, now = self.seconds, time.time()  # in this order: no span begins before its request
        return Span(
            self.trace,
            f"{method} {route}" if route else "HTTP",
            "server",
            began_at=now - seconds,
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


class RelayRequest(Request):
    """A request with its context."""

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any) -> None:
        super().__init__(environ, *args, **options)
        self.context = RequestContext(Trace.from_traceparent(environ.get("HTTP_TRACEPARENT")))


def current_context() -> RequestContext:
    """Return the context of the current request."""
    return cast("RelayRequest", request).context
