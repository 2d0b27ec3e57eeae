"""Operations of an operator: reading events and their history, and deciding about them."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from app.chats.errors import NothingDone, RecordFromNewerRelease
from app.chats.grant import Grant, new_token
from app.chats.outcome import Created
from app.chats.record import Chat, Failure, FailureCode, Record, Status
from app.chats.story import Story
from app.store.grants import settle
from app.store.overview import Overviews
from app.store.records import (
    calling_fields,
    chat_fields,
    failure_fields,
    parse_fields,
    read_history,
    read_record,
    to_datetime,
)
from app.store.scripts import Scripts

PAGE = 500
ABANDONED = Failure(FailureCode.ABANDONED, "An operator gave up on it; a chat may exist.")


class Operations(Overviews):
    """The operator's view.

    Methods raise ``StoreUnavailable`` where Redis did not confirm, and ``NothingDone`` where a
    command does not apply.
    """

    def __init__(self, scripts: Scripts, *, record_ttl_seconds: int) -> None:
        super().__init__(scripts)
        self._record_ttl_ms = record_ttl_seconds * 1000

    def records(
        self, status: Status, *, limit: int | None = None
    ) -> Iterator[tuple[str, Record | None]]:
        """Read the events of ``status`` (not ``opened``: those have no list), the longest so first.

        Their ids are read once, so that acting on one hides no other; those that have left the
        status by the time they are read are passed over. ``None`` for a record that this release
        cannot read.
        """
        argument: dict[str, Any] = {"status": status}
        if limit is not None:
            argument["limit"] = limit
        ids = iter(self._scripts.run("event_ids", argument, acknowledge=False))
        while page := list(islice(ids, PAGE)):
            found = self._scripts.run("records", {"event_ids": page}, acknowledge=False)
            for event_id, text in zip(page, found, strict=True):
                if text is None:
                    continue
                record = _readable(event_id, parse_fields(text))
                if record is None or record.status is status:
                    yield event_id, record

    def story(self, event_id: str) -> Story:
        """Read an event's record and history, and where the event stands in line."""
        found = self._event_history(event_id)
        if found is None:
            raise _refusal("missing", event_id)
        fields, next_look, ahead = found
        record = _readable(event_id, fields)
        if record is None:
            raise _refusal("newer", event_id)
        return Story(record, read_history(fields), next_look, ahead)

    def resolve_with_chat(self, event_id: str, chat_id: str, *, by: str) -> Record:
        """Publish ``chat_id``, which the operator found, as the event's chat."""
        return self._resolve(event_id, "chat", by=by, chat=Chat(chat_id))

    def recreate(self, event_id: str, *, by: str) -> Record:
        """Consent to one more call, which may make a second chat."""
        return self._resolve(event_id, "recreate", by=by)

    def give_up(self, event_id: str, *, by: str) -> Record:
        """Let a held event fail; whether there is a chat stays unknown."""
        return self._resolve(event_id, "give_up", by=by, failure=ABANDONED)

    def redrive(self, event_id: str, *, by: str, code: FailureCode | None = None) -> Record:
        """Try a failed event again, with a new deadline, if no attempt can have made a chat.

        With ``code``: only if that is why it failed.
        """
        argument: dict[str, Any] = {"event_id": event_id, "by": by, "token": new_token()}
        if code is not None:
            argument["code"] = code
        result, *rest = self._scripts.run("redrive", argument)
        if result != "redriven":
            raise _refusal(result, event_id, *rest)
        return read_record(event_id, parse_fields(rest[0]))

    def recover(
        self, event_id: str, *, user_id: str, attempt: int, chat: Chat, at: datetime
    ) -> str:
        """Settle a created chat that only a log line holds; return what became of the event.

        Where Redis has lost the event, or its attempt, its record is made anew from the line and
        from what is left of it.
        """
        reply = self._event_history(event_id)
        fields = calling_fields(
            reply[0] if reply else {},
            user_id=user_id,
            attempt=attempt,
            accepted_at=at,
            ttl_ms=self._record_ttl_ms,
        )
        grant = Grant(event_id, user_id, attempt, new_token(), fields)
        try:
            return settle(self._scripts, grant, Created(chat)).result
        except RecordFromNewerRelease:
            return "newer"

    def _resolve(
        self,
        event_id: str,
        action: Literal["chat", "recreate", "give_up"],
        *,
        by: str,
        chat: Chat | None = None,
        failure: Failure | None = None,
    ) -> Record:
        # The token names this command: repeated after a lost reply, it finds that it was done.
        argument: dict[str, Any] = {
            "event_id": event_id,
            "by": by,
            "token": new_token(),
            "action": action,
        }
        if chat is not None:
            argument["chat"] = chat_fields(chat)
        if failure is not None:
            argument["failure"] = failure_fields(failure)
        result, *rest = self._scripts.run("resolve", argument)
        if result != "resolved":
            raise _refusal(result, event_id, *rest)
        return read_record(event_id, parse_fields(rest[0]))

    def _event_history(
        self, event_id: str
    ) -> tuple[dict[str, Any], datetime | None, int | None] | None:
        """Read the record's fields, when it is next due, and how many are due before it."""
        reply = self._scripts.run("event_history", {"event_id": event_id}, acknowledge=False)
        if not reply:
            return None
        text, due_at, position = reply
        due = None if due_at == "" else to_datetime(int(float(due_at)))
        return parse_fields(text), due, None if position == "" else position


def _readable(event_id: str, fields: dict[str, Any]) -> Record | None:
    try:
        return read_record(event_id, fields)
    except RecordFromNewerRelease:
        return None


_REASONS = {
    "missing": "no event {event_id} is kept",
    "not_held": "{event_id} is {about}, not held: only an event that is unknown can be resolved",
    "owned": "this chat belongs to the event {about}",
    "not_failed": "{event_id} is {about}: only an event that has failed can be tried again",
    "other_code": "{event_id} failed for another reason",
    "uncertain": "an attempt for {event_id} may have made a chat, so it is not tried again",
    "newer": "a newer release of the relay wrote {event_id}; use its command line",
}


def _refusal(why: str, event_id: str, about: str = "") -> NothingDone:
    return NothingDone(_REASONS[why].format(event_id=event_id, about=about))
