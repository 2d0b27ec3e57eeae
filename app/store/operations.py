"""What an operator does with Redis: see how things stand, and decide what nobody else can."""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from app.chats.errors import NothingDone, RecordFromNewerRelease
from app.chats.event import EPOCH
from app.chats.grant import new_token
from app.chats.record import Chat, Failure, FailureCode, Record, Status
from app.chats.story import Moment, Story
from app.store.overview import Overviews
from app.store.records import VERSION, as_fields, instant, read_record, write_chat, write_failure
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
        """The events of ``status`` (not ``opened``: those have no list), the longest so first.

        Which they are is read once, so that acting on one hides no other; those that have left the
        status by the time they are read are passed over. ``None`` for a record that this release
        cannot read.
        """
        asked = {"status": status} | ({} if limit is None else {"limit": limit})
        ids = iter(self._scripts.run("list", asked, acknowledge=False))
        while page := list(islice(ids, PAGE)):
            found = self._scripts.run("records", {"event_ids": page}, acknowledge=False)
            for event_id, text in zip(page, found, strict=True):
                record = _readable(event_id, as_fields(text)) if text else None
                if text and (record is None or record.status is status):
                    yield event_id, record

    def story(self, event_id: str) -> Story:
        """What is known of one event."""
        reply = self._scripts.run("story", {"event_id": event_id}, acknowledge=False)
        if not reply:
            raise _refusal("missing", event_id)
        text, next_look, ahead = reply
        fields = as_fields(text)
        record = _readable(event_id, fields)
        if record is None:
            raise _refusal("newer", event_id)
        moments = tuple(map(_moment, json.loads(fields.get("history", "[]"))))
        next_instant = None if next_look == "" else instant(int(float(next_look)))
        return Story(record, moments, next_instant, None if ahead == "" else ahead)

    def resolve_with_chat(self, event_id: str, chat_id: str, *, by: str) -> Record:
        """Publish ``chat_id``, which the operator found, as the event's chat."""
        told = {"action": "chat", "chat_id": chat_id, "chat": write_chat(Chat(chat_id))}
        return self._tell("resolve", event_id, by, told)

    def recreate(self, event_id: str, *, by: str) -> Record:
        """Consent to one more call, which may make a second chat."""
        return self._tell("resolve", event_id, by, {"action": "recreate"})

    def give_up(self, event_id: str, *, by: str) -> Record:
        """Let a held event fail; whether there is a chat stays unknown."""
        told = {"action": "give_up", "failure": write_failure(ABANDONED)}
        return self._tell("resolve", event_id, by, told)

    def redrive(self, event_id: str, *, by: str, code: FailureCode | None = None) -> Record:
        """Try a failed event again, with a new deadline, where surely no attempt made a chat.

        With ``code``: only if that is why it failed.
        """
        return self._tell("redrive", event_id, by, {"code": code} if code else {})

    def recover(
        self, event_id: str, *, user_id: str, attempt: int, chat: Chat, at: datetime
    ) -> str:
        """Settle a created chat that only a log line holds; return what became of the event.

        Where Redis has lost the event, or its attempt, its record is made anew from the line and
        from what is left of it.
        """
        told = {"event_id": event_id, "attempt": attempt, "token": new_token(), "kind": "created"}
        copy = self._fields(event_id) | {
            "v": VERSION,
            "status": Status.CALLING,
            "user": user_id,
            "attempt": str(attempt),
            "attempts": str(attempt),
        }
        copy.setdefault("accepted", str(round((at - EPOCH).total_seconds() * 1000)))
        copy.setdefault("ttl", str(self._record_ttl_ms))
        chat_told = {"chat_id": chat.id, "chat": write_chat(chat), "copy": copy}
        result: str = self._scripts.run("settle", told | chat_told)[0]
        return result

    def _fields(self, event_id: str) -> dict[str, str]:
        reply = self._scripts.run("story", {"event_id": event_id}, acknowledge=False)
        return as_fields(reply[0]) if reply else {}

    def _tell(self, script: str, event_id: str, by: str, told: dict[str, Any]) -> Record:
        # The token names this command: repeated after a lost reply, it finds that it was done.
        command = {"event_id": event_id, "by": by, "token": new_token()}
        result, *rest = self._scripts.run(script, command | told)
        if result in {"resolved", "redriven"}:
            return read_record(event_id, as_fields(rest[0]))
        raise _refusal(result, event_id, *rest)


def _readable(event_id: str, fields: dict[str, str]) -> Record | None:
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


def _moment(entry: dict[str, Any]) -> Moment:
    told = {name: entry[name] for name in ("times", "by", "action", "chat_id") if name in entry}
    return Moment(instant(entry["at"]), entry["what"], entry["attempt"], **told)
