"""The Flask application: its routes, who may use them, and what every request has in common."""

import time
from collections.abc import Callable, Mapping

import structlog
from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.chats.errors import RelayError, StoreUnavailable
from app.chats.trace import Span, TakeSpan, Trace, forget
from app.web.callers import Callers, Right
from app.web.events import Events, EventViews
from app.web.health import Auditor, Readiness, livez
from app.web.metrics import Metrics
from app.web.openapi.document import openapi_json
from app.web.pages import api_page, problem_page
from app.web.problems import OF_STATUS, Refusal, answer, refusal_of
from app.web.waiting import WaitingRoom

log = structlog.get_logger("relay.web")

# Asked every few seconds by load balancers and probes: not worth a line each at the usual level,
# nor a span.
QUIET = {"/livez", "/readyz", "/metrics"}

# Any other word that a client sends is not told: https://opentelemetry.io/docs/specs/semconv/http/
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
SERVER_ERRORS = range(500, 600)

# Method, rule, what the caller must have (nothing: open to all), view.
Route = tuple[str, str, Right | None, Callable[..., Response]]


def create_app(
    events: Events,
    callers: Callers,
    auditor: Auditor,
    waiting_room: WaitingRoom,
    metrics: Metrics,
    *,
    allow_unsafe: bool = False,
    take_span: TakeSpan = forget,
) -> Flask:
    """Build the application over its collaborators."""
    app = Flask("relay", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False

    views = EventViews(events, callers, waiting_room)
    readiness = Readiness(auditor, allow_unsafe=allow_unsafe)
    routes: list[Route] = [
        ("POST", "/v1/events", Right.SUBMIT, views.post_event),
        ("GET", "/v1/events/<event_id>", Right.READ, views.get_event),
        ("GET", "/v1/users/<user_id>/chats", Right.READ, views.get_chats_of_user),
        ("GET", "/v1/chats/<chat_id>", Right.READ, views.get_chat),
        ("GET", "/livez", None, livez),
        ("GET", "/readyz", None, readiness.readyz),
        ("GET", "/metrics", None, metrics.metrics),
        ("GET", "/openapi.json", None, openapi_json),
        ("GET", "/docs", None, api_page),
        ("GET", "/problems/<slug>", None, problem_page),
    ]
    for method, rule, _, view in routes:
        app.add_url_rule(rule, view.__name__, view, methods=[method])

    _authorize_requests(app, callers, {view.__name__: right for _, _, right, view in routes})
    _count_requests(app, metrics)
    _tell_of_requests(app, take_span)
    _answer_problems(app)
    return app


def _authorize_requests(app: Flask, callers: Callers, rights: Mapping[str, Right | None]) -> None:
    """Below ``/v1`` nothing is told to strangers, not even what is there."""

    def authorize() -> None:
        if not request.path.startswith("/v1/"):
            return
        right = rights.get(request.endpoint or "")
        g.caller = callers.authenticate(request, right)
        if right is not None and right not in g.caller.rights:
            raise Refusal("forbidden")

    app.before_request(authorize)


def _count_requests(app: Flask, metrics: Metrics) -> None:
    """Every request is counted, and every posted event by what became of it."""
    metrics.expect(rule.rule for rule in app.url_map.iter_rules())

    def count(response: Response) -> Response:
        metrics.count_request(request, time.perf_counter() - g.began)
        if request.endpoint == "post_event":
            metrics.count_event(g.get("result"), g.get("problem"))
        return response

    app.after_request(count)


def _tell_of_requests(app: Flask, take_span: TakeSpan) -> None:
    """One canonical line for each request, and a span."""

    def begin() -> None:
        g.began = time.perf_counter()
        g.trace = Trace.after(request.headers.get("traceparent"))

    def finish(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        seconds = time.perf_counter() - g.began
        is_quiet = request.path in QUIET
        write = log.debug if is_quiet else log.info
        write(
            "request",
            method=request.method,
            route=request.url_rule.rule if request.url_rule else None,
            status=response.status_code,
            trace_id=g.trace.trace_id,
            duration_ms=round(seconds * 1000, 1),
            **{name: g.get(name) for name in ("event_id", "result", "problem") if name in g},
            **({"caller": g.caller.name} if "caller" in g else {}),
        )
        if not is_quiet:
            take_span(_span(response, seconds))
        return response

    app.before_request_funcs.setdefault(None, []).insert(0, begin)
    app.after_request(finish)


def _span(response: Response, seconds: float) -> Span:
    """The request that is being answered. Its address is left out: users are named in it."""
    method = request.method if request.method in METHODS else "_OTHER"
    route = request.url_rule.rule if request.url_rule else None
    outcome = g.get("result") or g.get("problem")
    now = time.time()
    return Span(
        g.trace,
        f"{method} {route}" if route else "HTTP",
        "server",
        began_at=now - seconds,
        ended_at=now,
        attributes={
            "http.request.method": method,
            **({"http.route": route} if route else {}),
            "http.response.status_code": response.status_code,
            **({"relay.event_id": g.event_id} if "event_id" in g else {}),
            **({"relay.outcome": outcome} if outcome else {}),
        },
        has_failed=response.status_code in SERVER_ERRORS,
    )


def _answer_problems(app: Flask) -> None:
    """Whatever ends a request early is answered as a problem."""

    def refuse(refusal: Refusal) -> ResponseReturnValue:
        g.problem = refusal.problem.slug
        return answer(refusal)

    def refuse_error(error: RelayError) -> ResponseReturnValue:
        if isinstance(error, StoreUnavailable):
            log.warning("redis_unavailable", reason=str(error))
        return refuse(refusal_of(error))

    def refuse_http(error: HTTPException) -> ResponseReturnValue:
        headers = {}
        if isinstance(error, MethodNotAllowed):
            headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return refuse(Refusal(OF_STATUS.get(error.code or 0, "bad-request"), headers=headers))

    def fail(_error: Exception) -> ResponseReturnValue:
        log.exception("request_failed")  # noqa: LOG004 - Flask handles one
        return refuse(Refusal("internal-error"))

    app.register_error_handler(Refusal, refuse)
    app.register_error_handler(RelayError, refuse_error)
    app.register_error_handler(HTTPException, refuse_http)
    app.register_error_handler(Exception, fail)
