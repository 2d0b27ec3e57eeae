"""The Flask application: routes, scopes, hooks and error handlers."""

import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import structlog
from flask import Flask, Response, got_request_exception, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Response as BaseResponse

from app.chats.errors import RelayError, StoreUnavailable
from app.store.audit import Readiness
from app.store.events import EventStore
from app.store.notices import Notices
from app.telemetry.trace_context import ExportSpan
from app.web.authentication import Authenticator, Scope
from app.web.health import Liveness, ReadinessView
from app.web.metrics import WebMetrics
from app.web.openapi import OpenapiView
from app.web.pages import api_page, problem_page
from app.web.parameters import AnyPathConverter
from app.web.problems import PROBLEM_OF_STATUS, ProblemError, problem_for, problem_response
from app.web.reading import MAX_BODY_BYTES
from app.web.request_context import RelayRequest, current_context
from app.web.views import EventViews

log = structlog.get_logger("relay.web")

# Requested every few seconds by load balancers and probes: not worth a line each at the usual
# level, nor a span.
QUIET = {"/livez", "/readyz", "/metrics"}

# Method, rule, the scope that the caller needs (none: open to all), view.
Route = tuple[str, str, Scope | None, Callable[..., BaseResponse]]


def create_app(
    events: EventStore,
    authenticator: Authenticator,
    readiness: Readiness,
    notices: Notices,
    metrics: WebMetrics,
    *,
    version: str,
    bot_name: str | None = None,
    export_span: ExportSpan | None = None,
) -> Flask:
    """Build the application over its collaborators; ``bot_name`` is for events without one."""
    views = EventViews(events, authenticator, notices, bot_name=bot_name)
    routes: list[Route] = [
        ("POST", "/v1/events", Scope.SUBMIT, views.post_event),
        ("GET", "/v1/events/<event_id>", Scope.READ, views.get_event),
        ("GET", "/v1/users/<user_id>/chats", Scope.READ, views.get_chats_of_user),
        ("GET", "/v1/members/<any_path:member_id>/chats", Scope.READ, views.get_chats_of_member),
        ("GET", "/v1/chats/<chat_id>", Scope.READ, views.get_chat),
        ("GET", "/livez", None, Liveness(version).livez),
        ("GET", "/readyz", None, ReadinessView(readiness).readyz),
        ("GET", "/metrics", None, metrics.metrics),
        ("GET", "/openapi.json", None, OpenapiView(version).openapi_json),
        ("GET", "/docs", None, api_page),
        ("GET", "/problems/<slug>", None, problem_page),
        ("GET", "/", None, redirect_to_api_page),
    ]
    app = RelayApp(metrics, export_span)
    add_routes(app, routes, authenticator)
    metrics.expect(rule.rule for rule in app.url_map.iter_rules())
    _add_problems(app)
    return app


class RelayApp(Flask):
    """Flask application that sends its answer even if hooks, logs or metrics fail."""

    request_class = RelayRequest

    def __init__(self, metrics: WebMetrics, export_span: ExportSpan | None) -> None:
        super().__init__("relay", static_folder=None)
        self._metrics = metrics
        self._export_span = export_span
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        self.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
        self.url_map.merge_slashes = False
        self.url_map.converters["any_path"] = AnyPathConverter

    def process_response(self, response: Response) -> Response:
        """Run the extensions' hooks, then report the answer in any case."""
        try:
            response = super().process_response(response)
        except Exception as error:  # noqa: BLE001 - Flask would run the failing hook once more
            self.log_exception(sys.exc_info())
            got_request_exception.send(self, exception=error)
            response = respond_with_problem(ProblemError("internal-error"))
        response.headers["Cache-Control"] = "no-store"
        response.headers["Request-Id"] = current_context().request_id
        try:
            self._report(response)
        except Exception:
            with suppress(Exception):
                log.exception("report_failed", trace_id=current_context().request_id)
        return response

    def log_exception(
        self,
        exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None],
    ) -> None:
        """Log a fault, without the address, which names users."""
        log.error("request_failed", trace_id=current_context().request_id, exc_info=exc_info)

    def _report(self, response: Response) -> None:
        """Write one canonical line and one span for each request, and count it and its event."""
        context = current_context()
        is_quiet = request.path in QUIET
        fields = context.log_fields(request, response)
        (log.debug if is_quiet else log.info)("request", **fields)
        self._metrics.count_request(fields["route"], context.seconds)
        if request.endpoint == "post_event":
            self._metrics.count_event(context.result, context.problem)
        if self._export_span is not None and not is_quiet:
            self._export_span(context.span(request, response))


def add_routes(app: Flask, routes: list[Route], authenticator: Authenticator) -> None:
    """Add ``routes``, and enforce the scope of each, decided by a request's head.

    Below ``/v1`` strangers do not even learn which paths exist.
    """
    for method, rule, _, view in routes:
        app.add_url_rule(rule, view.__name__, view, methods=[method])
    scopes = {view.__name__: scope for _, _, scope, view in routes}

    @app.before_request
    def authenticate() -> None:
        scope = scopes.get(request.endpoint or "")
        if scope is not None or request.path.startswith("/v1/"):
            caller = authenticator.authenticate(request, scope)
            current_context().caller = caller
            if scope is not None and scope not in caller.scopes:
                raise ProblemError("forbidden")


def redirect_to_api_page() -> BaseResponse:
    """Lead a browser to the page that describes the API."""
    return redirect("/docs")


def respond_with_problem(error: ProblemError) -> Response:
    """Answer the current request with a problem, and note it for the log."""
    context = current_context()
    context.problem = error.problem.slug
    return problem_response(error, context.request_id)


def _add_problems(app: Flask) -> None:
    """Answer everything that ends a request early with a problem."""
    app.register_error_handler(ProblemError, respond_with_problem)

    @app.errorhandler(RelayError)
    def refuse_relay_error(error: RelayError) -> ResponseReturnValue:
        if isinstance(error, StoreUnavailable):
            trace_id = current_context().request_id
            log.warning("redis_unavailable", reason=str(error), trace_id=trace_id)
        return respond_with_problem(problem_for(error))

    # An internal error arrives here as InternalServerError, once Flask has logged it.
    @app.errorhandler(HTTPException)
    def refuse_http_exception(error: HTTPException) -> ResponseReturnValue:
        slug = PROBLEM_OF_STATUS.get(error.code or 0)
        if slug is None:
            return error  # an extension's; the relay itself raises none
        detail, headers = None, {}
        if isinstance(error, NotFound):
            detail = "No route has this path: /docs lists them."
        if isinstance(error, MethodNotAllowed):
            headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return respond_with_problem(ProblemError(slug, detail, headers=headers))
