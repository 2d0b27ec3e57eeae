"""The views below ``/v1``: posting an event, and looking records up."""

import time
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

from flask import Response, request
from gevent.event import Event
from pydantic_core import to_json

from app.chats.errors import StoreUnavailable
from app.chats.record import Record, as_json
from app.store.events import EventStore
from app.store.notices import Notices
from app.web.authentication import UNVERIFIED_WEBHOOK, Authenticator
from app.web.prefer import preferred_wait
from app.web.problems import Refusal
from app.web.reading import BodyMemory, check_head, parse_event, read_body
from app.web.request_context import current_context

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
# Of its own for each look of a wait, the last one included.
LOOK_SECONDS = 1.0


class EventViews:
    """The views below ``/v1``."""

    def __init__(self, events: EventStore, authenticator: Authenticator, notices: Notices) -> None:
        self._events = events
        self._authenticator = authenticator
        self._notices = notices
        self._memory = BodyMemory()

    def post_event(self) -> Response:
        """Accept the event once, and answer with its record, new or known."""
        context = current_context()
        check_head(request)
        body = read_body(request, self._memory)
        context.restart_deadline()
        is_signed = context.caller is UNVERIFIED_WEBHOOK
        if is_signed:
            context.caller = self._authenticator.verify_signature(request, body)
        event = parse_event(request, body, is_signed=is_signed)
        context.event_id = event.event_id
        wait_seconds = preferred_wait(request)
        with self._notices.watch(event.event_id) if wait_seconds else nullcontext() as notice:
            record, is_new = self._events.accept(
                event, until=context.deadline, traceparent=context.trace.traceparent
            )
            context.result = "accepted" if is_new else "duplicate"
            if notice is not None:
                record = self._wait_until_over(notice, record, wait_seconds)
        return _posted(record, is_new=is_new, wait_seconds=wait_seconds)

    def get_event(self, event_id: str) -> Response:
        """Answer with the record of an event."""
        return _found(self._events.find(event_id, until=current_context().deadline))

    def get_chat(self, chat_id: str) -> Response:
        """Answer with the record of the event that opened a chat."""
        return _found(self._events.event_of_chat(chat_id, until=current_context().deadline))

    def get_chats_of_user(self, user_id: str) -> Response:
        """Answer with a user's opened events, newest first."""
        records = self._events.chats_of_user(
            user_id, limit=_limit(), until=current_context().deadline
        )
        return _json({"user_id": user_id, "chats": [as_json(record) for record in records]})

    def _wait_until_over(self, notice: Event, record: Record, seconds: int) -> Record:
        """Return the record once it is settled or held, or as it is after ``seconds``."""
        until = time.monotonic() + seconds
        while record.status.is_open and (left := until - time.monotonic()) > 0:
            notice.wait(left)
            # Before the look: a notice that comes meanwhile is for the next one.
            notice.clear()
            try:
                look_until = time.monotonic() + LOOK_SECONDS
                record = self._events.find(record.event_id, until=look_until) or record
            except StoreUnavailable:
                # It is accepted all the same; its caller can look it up later.
                return record
        return record


def _limit() -> int:
    given = request.args.get("limit", str(DEFAULT_LIMIT))
    if given.isascii() and given.isdecimal() and len(given) <= len(str(MAX_LIMIT)):
        limit = int(given)
        if 1 <= limit <= MAX_LIMIT:
            return limit
    error = {"parameter": "limit", "detail": f"must be a number from 1 to {MAX_LIMIT}"}
    raise Refusal("invalid-parameter", "The limit is not valid.", errors=[error])


def _found(record: Record | None) -> Response:
    if record is None:
        raise Refusal("not-found")
    current_context().event_id = record.event_id
    return _json(as_json(record))


def _posted(record: Record, *, is_new: bool, wait_seconds: int) -> Response:
    response = _json(as_json(record))
    response.headers["Location"] = f"/v1/events/{record.event_id}"
    if not is_new:
        response.headers["Idempotent-Replayed"] = "true"
    if wait_seconds:
        response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    if record.status.is_open:
        response.status_code = HTTPStatus.ACCEPTED
        response.headers["Retry-After"] = "1"
    return response


def _json(content: dict[str, Any]) -> Response:
    return Response(to_json(content), content_type="application/json")
