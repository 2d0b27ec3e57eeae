"""The Flask application: its routes, their scopes, and what every request has in common."""

from collections.abc import Callable

import structlog
from flask import Flask, Response, got_request_exception, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.chats.errors import RelayError, StoreUnavailable
from app.chats.trace import TakeSpan
from app.store.audit import Auditor
from app.store.events import EventStore
from app.store.notices import Notices
from app.web.authentication import Authenticator, Scope
from app.web.health import Readiness, livez
from app.web.metrics import Metrics
from app.web.openapi import openapi_json
from app.web.pages import api_page, problem_page
from app.web.problems import OF_STATUS, Refusal, answer, refusal_of
from app.web.reading import MAX_BODY_BYTES
from app.web.request_context import RelayRequest, current_context
from app.web.views import EventViews

log = structlog.get_logger("relay.web")

# Requested every few seconds by load balancers and probes: not worth a line each at the usual
# level, nor a span.
QUIET = {"/livez", "/readyz", "/metrics"}

# Method, rule, the scope that the caller needs (none: open to all), view.
Route = tuple[str, str, Scope | None, Callable[..., Response]]


def create_app(
    events: EventStore,
    authenticator: Authenticator,
    auditor: Auditor,
    notices: Notices,
    metrics: Metrics,
    *,
    allow_unsafe: bool = False,
    take_span: TakeSpan | None = None,
) -> Flask:
    """Build the application over its collaborators."""
    views = EventViews(events, authenticator, notices)
    readiness = Readiness(auditor, allow_unsafe=allow_unsafe)
    routes: list[Route] = [
        ("POST", "/v1/events", Scope.SUBMIT, views.post_event),
        ("GET", "/v1/events/<event_id>", Scope.READ, views.get_event),
        ("GET", "/v1/users/<user_id>/chats", Scope.READ, views.get_chats_of_user),
        ("GET", "/v1/chats/<chat_id>", Scope.READ, views.get_chat),
        ("GET", "/livez", None, livez),
        ("GET", "/readyz", None, readiness.readyz),
        ("GET", "/metrics", None, metrics.metrics),
        ("GET", "/openapi.json", None, openapi_json),
        ("GET", "/docs", None, api_page),
        ("GET", "/problems/<slug>", None, problem_page),
    ]
    app = Flask("relay", static_folder=None)
    app.request_class = RelayRequest
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.merge_slashes = False
    add_routes(app, routes, authenticator)
    metrics.expect(rule.rule for rule in app.url_map.iter_rules())
    _add_reports(app, metrics, take_span)
    _add_problems(app)
    return app


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
                raise Refusal("forbidden")


def _add_reports(app: Flask, metrics: Metrics, take_span: TakeSpan | None) -> None:
    """Write one canonical line and one span for each request, and count it and its event."""

    @app.after_request
    def report(response: Response) -> Response:
        context = current_context()
        response.headers["Cache-Control"] = "no-store"
        is_quiet = request.path in QUIET
        fields = context.log_fields(request, response)
        (log.debug if is_quiet else log.info)("request", **fields)
        metrics.count_request(fields["route"], context.seconds)
        if request.endpoint == "post_event":
            metrics.count_event(context.result, context.problem)
        if take_span is not None and not is_quiet:
            take_span(context.span(request, response))
        return response


def _add_problems(app: Flask) -> None:
    """Answer everything that ends a request early with a problem."""

    @app.errorhandler(Refusal)
    def refuse(refusal: Refusal) -> ResponseReturnValue:
        current_context().problem = refusal.problem.slug
        return answer(refusal)

    @app.errorhandler(RelayError)
    def refuse_relay_error(error: RelayError) -> ResponseReturnValue:
        if isinstance(error, StoreUnavailable):
            log.warning("redis_unavailable", reason=str(error))
        return refuse(refusal_of(error))

    @app.errorhandler(HTTPException)
    def refuse_http_exception(error: HTTPException) -> ResponseReturnValue:
        slug = OF_STATUS.get(error.code or 0)
        if slug is None:
            return error  # an extension's; the relay itself raises none
        headers = {}
        if isinstance(error, MethodNotAllowed):
            headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return refuse(Refusal(slug, headers=headers))

    @app.errorhandler(Exception)
    def fail(error: Exception) -> ResponseReturnValue:
        log.exception("request_failed")  # noqa: LOG004 - Flask handles one
        # Flask sends it where no handler is found; error reporters listen to it.
        got_request_exception.send(app, exception=error)
        return refuse(Refusal("internal-error"))
