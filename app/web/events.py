"""Posting an event, and looking records up."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from flask import Request, Response
from pydantic_core import to_json

from app.chats.event import OpenChatEvent
from app.chats.record import Record, as_json
from app.chats.steps import Step, after, before
from app.web.callers import CLAIMANT, Callers
from app.web.problems import Refusal
from app.web.reading import read_event
from app.web.visit import Visit, current_request
from app.web.waiting import WaitingRoom, preferred_wait

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


class Events(Protocol):
    """The store of events; methods raise ``StoreUnavailable`` where Redis did not confirm."""

    def accept(
        self, event: OpenChatEvent, *, traceparent: str | None = None
    ) -> tuple[Record, bool]:
        """Claim and schedule an event; its record, and whether it is new."""

    def find(self, event_id: str) -> Record | None:
        """Return the record of an event, if there is one."""

    def chats_of_user(self, user_id: str, *, limit: int) -> Sequence[Record]:
        """Return a user's opened events, newest first."""

    def event_of_chat(self, chat_id: str) -> Record | None:
        """Return the record that published a chat, if there is one."""


class Answer(Response):
    """A response that is sent as it was built, and not looked through for what is to be mended.

    Its body is whole, so its length is known; all ids can stand in a URL. Worth a twentieth of the
    time: docs/decisions/0013-what-made-it-fast.md
    """

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Send it; without a body to who asked for the head alone."""
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.iter_encoded()


class EventViews:
    """The routes below ``/v1``."""

    def __init__(self, events: Events, callers: Callers, waiting_room: WaitingRoom) -> None:
        self._events = events
        self._callers = callers
        self._waiting_room = waiting_room

    def post_event(self) -> Response:
        """Accept the event once, and answer with its record, new or known."""
        request = current_request()
        visit = request.visit
        event = read_event(request, self._proof(request, visit))
        visit.event_id = event.event_id
        seconds = preferred_wait(request)
        accept = partial(self._accept, event, visit)
        if seconds == 0:
            return _answer_posted(*accept())
        waited = self._waiting_room.accept_and_wait(event.event_id, accept, seconds)
        response = _answer_posted(waited.record, waited.is_new)
        if waited.is_applied:
            response.headers["Preference-Applied"] = f"wait={seconds}"
        return response

    def get_event(self, event_id: str) -> Response:
        """Answer with the record of an event."""
        return _answer_found(self._events.find(event_id))

    def get_chat(self, chat_id: str) -> Response:
        """Answer with the record of the event that opened a chat."""
        return _answer_found(self._events.event_of_chat(chat_id))

    def get_chats_of_user(self, user_id: str) -> Response:
        """Answer with a user's opened events, newest first."""
        records = self._events.chats_of_user(user_id, limit=_limit())
        return _json({"user_id": user_id, "chats": [as_json(record) for record in records]})

    def _accept(self, event: OpenChatEvent, visit: Visit) -> tuple[Record, bool]:
        before(Step.ACCEPTED)
        record, is_new = self._events.accept(event, traceparent=visit.trace.traceparent)
        after(Step.ACCEPTED)
        visit.result = "accepted" if is_new else "duplicate"
        return record, is_new

    def _proof(self, request: Request, visit: Visit) -> Callable[[bytes], None] | None:
        """What proves the body, where the caller says that it is signed."""

        def prove(body: bytes) -> None:
            visit.caller = self._callers.prove(request, body)

        return prove if visit.caller is CLAIMANT else None


def _limit() -> int:
    given = current_request().args.get("limit", str(DEFAULT_LIMIT))
    if given.isascii() and given.isdecimal() and len(given) <= len(str(MAX_LIMIT)):
        limit = int(given)
        if 1 <= limit <= MAX_LIMIT:
            return limit
    error = {"parameter": "limit", "detail": f"must be a number from 1 to {MAX_LIMIT}"}
    raise Refusal("invalid-parameter", "The limit is not valid.", errors=[error])


def _answer_found(record: Record | None) -> Response:
    if record is None:
        raise Refusal("not-found")
    current_request().visit.event_id = record.event_id
    return _json(as_json(record))


def _answer_posted(record: Record, is_new: bool) -> Response:  # noqa: FBT001 - as accept has it
    response = _json(as_json(record))
    response.headers["Location"] = f"/v1/events/{record.event_id}"
    if not is_new:
        response.headers["Idempotent-Replayed"] = "true"
    if record.status.is_open:
        response.status_code = HTTPStatus.ACCEPTED
        response.headers["Retry-After"] = "1"
    return response


def _json(content: dict[str, Any]) -> Response:
    return Answer(to_json(content), content_type="application/json")
