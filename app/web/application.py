"""The Flask application: its routes, who may use them, and what every request has in common."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import MapAdapter

from app.chats.errors import RelayError, StoreUnavailable
from app.chats.trace import TakeSpan
from app.web.callers import Callers, Right
from app.web.events import Events, EventViews
from app.web.health import Auditor, Readiness, livez
from app.web.metrics import Metrics
from app.web.openapi.document import openapi_json
from app.web.pages import api_page, problem_page
from app.web.problems import OF_STATUS, Refusal, answer, refusal_of
from app.web.visit import VisitingRequest, current_request
from app.web.waiting import WaitingRoom

log = structlog.get_logger("relay.web")

# Asked every few seconds by load balancers and probes: not worth a line each at the usual level,
# nor a span.
QUIET = {"/livez", "/readyz", "/metrics"}

NO_SESSION = NullSession()

# Method, rule, what the caller must have (nothing: open to all), view.
Route = tuple[str, str, Right | None, Callable[..., Response]]


class NoSessions(SessionInterface):
    """Nobody has a session."""

    def open_session(self, _app: Flask, _request: Request) -> NullSession:
        """Give each request the same nothing."""
        return NO_SESSION


class Relay(Flask):
    """What every request has in common: who may make it, and what is told of it.

    Flask's own way to hooks, signals, sessions, hosts and coroutines is left out, as nothing here
    uses them: it took a tenth of the time (docs/decisions/0013-what-made-it-fast.md). What is
    registered as such a hook is never called.
    """

    request_class = VisitingRequest
    session_interface = NoSessions()

    def __init__(
        self,
        callers: Callers,
        rights: Mapping[str, Right | None],
        metrics: Metrics,
        take_span: TakeSpan | None,
    ) -> None:
        """``rights``: what the caller must have, by the name of the view."""
        super().__init__("relay", static_folder=None)
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        self.url_map.merge_slashes = False
        self._callers = callers
        self._rights = rights
        self._metrics = metrics
        self._take_span = take_span
        self._log = log.bind()  # made ready now, and not looked up for each line

    def full_dispatch_request(self) -> Response:
        """Answer a request, with a problem where something is wrong."""
        try:
            self.preprocess_request()
            answered = self.dispatch_request()
        except Exception as error:  # noqa: BLE001 - there is an answer to each
            answered = self.handle_user_exception(error)
        return self.process_response(self.make_response(answered))

    def preprocess_request(self) -> None:
        """Below ``/v1`` nothing is told to strangers, not even what is there."""
        asked = current_request()
        if asked.path.startswith("/v1/"):
            right = self._rights.get(asked.endpoint or "")
            asked.visit.caller = self._callers.authenticate(asked, right)
            if right is not None and right not in asked.visit.caller.rights:
                raise Refusal("forbidden")

    def process_response(self, response: Response) -> Response:
        """One canonical line for each request, and a span; it is counted, and so is its event."""
        asked = current_request()
        visit = asked.visit
        response.headers["Cache-Control"] = "no-store"
        is_quiet = asked.path in QUIET
        told = visit.told(asked, response)
        (self._log.debug if is_quiet else self._log.info)("request", **told)
        self._metrics.count_request(told["route"], visit.seconds)
        if asked.endpoint == "post_event":
            self._metrics.count_event(visit.result, visit.problem)
        if self._take_span is not None and not is_quiet:
            self._take_span(visit.span(asked, response))
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """There is nothing to tear down."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """There is nothing to tear down."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Take what is called at a request as it is: none of it is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Find routes by their paths, whatever host or upgrade is asked for."""
        if request is None:
            return None
        return self.url_map.bind("", path_info=request.path, default_method=request.method)


def create_app(
    events: Events,
    callers: Callers,
    auditor: Auditor,
    waiting_room: WaitingRoom,
    metrics: Metrics,
    *,
    allow_unsafe: bool = False,
    take_span: TakeSpan | None = None,
) -> Flask:
    """Build the application over its collaborators."""
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
    rights = {view.__name__: right for _, _, right, view in routes}
    app = Relay(callers, rights, metrics, take_span)
    for method, rule, _, view in routes:
        app.add_url_rule(rule, view.__name__, view, methods=[method])
    metrics.expect(rule.rule for rule in app.url_map.iter_rules())
    _answer_problems(app)
    return app


def _answer_problems(app: Flask) -> None:
    """Whatever ends a request early is answered as a problem."""

    def refuse(refusal: Refusal) -> ResponseReturnValue:
        current_request().visit.problem = refusal.problem.slug
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
