"""The views below ``/v1``: posting an event, and looking records up."""

import time
from contextlib import nullcontext
from http import HTTPStatus

from flask import Response, request
from gevent.event import Event

from app.chats.errors import StoreUnavailable
from app.chats.record import Record, as_json
from app.store.events import EventStore
from app.store.notices import Notices
from app.web.authentication import UNVERIFIED_WEBHOOK, Authenticator
from app.web.parameters import read_limit, reject_parameters
from app.web.prefer import preferred_wait
from app.web.problems import ProblemError
from app.web.reading import BodyMemory, check_head, parse_event, read_body
from app.web.request_context import PostResult, current_context
from app.web.responses import json_response

# Of its own for each look of a wait, the last one included.
LOOK_SECONDS = 1.0


class EventViews:
    """The views below ``/v1``."""

    def __init__(
        self,
        events: EventStore,
        authenticator: Authenticator,
        notices: Notices,
        *,
        bot_name: str | None,
    ) -> None:
        self._bot_name = bot_name
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
        event = parse_event(request, body, is_signed=is_signed, bot_name=self._bot_name)
        reject_parameters(request)
        context.event_id = event.event_id
        wait_seconds = preferred_wait(request)
        with self._notices.watch(event.event_id) if wait_seconds else nullcontext() as notice:
            record, is_new = self._events.accept(
                event, until=context.deadline, traceparent=context.trace.traceparent
            )
            context.result = PostResult.ACCEPTED if is_new else PostResult.DUPLICATE
            if notice is not None:
                record = self._wait_until_over(notice, record, wait_seconds)
        response = _answer_with(record, wait_seconds)
        response.headers["Location"] = f"/v1/events/{record.event_id}"
        if record.is_under_way:
            response.status_code = HTTPStatus.ACCEPTED
        if not is_new:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    def get_event(self, event_id: str) -> Response:
        """Answer with an event's record, if preferred once it is over."""
        context = current_context()
        reject_parameters(request)
        wait_seconds = preferred_wait(request)
        with self._notices.watch(event_id) if wait_seconds else nullcontext() as notice:
            record = self._events.find(event_id, until=context.deadline)
            if record is None:
                raise ProblemError("not-found")
            context.event_id = event_id
            if notice is not None:
                record = self._wait_until_over(notice, record, wait_seconds)
        return _answer_with(record, wait_seconds)

    def get_chat(self, chat_id: str) -> Response:
        """Answer with the record of the event that opened a chat."""
        context = current_context()
        reject_parameters(request)
        record = self._events.event_of_chat(chat_id, until=context.deadline)
        if record is None:
            raise ProblemError("not-found")
        context.event_id = record.event_id
        return json_response(as_json(record))

    def get_chats_of_user(self, user_id: str) -> Response:
        """Answer with a user's opened events, newest first."""
        limit = read_limit(request, user_id=user_id)
        records, has_more = self._events.chats_of_user(
            user_id, limit=limit, until=current_context().deadline
        )
        chats = [as_json(record) for record in records]
        return json_response({"user_id": user_id, "chats": chats, "has_more": has_more})

    def get_chats_of_member(self, member_id: str) -> Response:
        """Answer with a member's opened events, newest first."""
        limit = read_limit(request, member_id=member_id)
        records, has_more = self._events.chats_of_member(
            member_id, limit=limit, until=current_context().deadline
        )
        chats = [as_json(record) for record in records]
        return json_response({"member_id": member_id, "chats": chats, "has_more": has_more})

    def _wait_until_over(self, notice: Event, record: Record, seconds: int) -> Record:
        """Return the record once it is complete or held, or as it is after ``seconds``.

        Where a look is not confirmed: the last record that was.
        """
        until = time.monotonic() + seconds
        while record.is_under_way and (left := until - time.monotonic()) > 0:
            notice.wait(left)
            # Before the look: a notice that comes meanwhile is for the next one.
            notice.clear()
            try:
                look_until = time.monotonic() + LOOK_SECONDS
                record = self._events.find(record.event_id, until=look_until) or record
            except StoreUnavailable:
                return record
        return record


def _answer_with(record: Record, wait_seconds: int) -> Response:
    response = json_response(as_json(record))
    if wait_seconds:
        response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    if record.is_under_way:
        response.headers["Retry-After"] = "1"
    return response
