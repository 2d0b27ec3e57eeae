"""What an operator does with Redis: see how things stand, and decide what nobody else can."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from app.chats.errors import NothingDone
from app.chats.event import EPOCH
from app.chats.grant import new_token
from app.chats.outcome import Chat, FailureCode
from app.chats.overview import Moment, Overview, Story
from app.chats.record import Failure, Record, Status
from app.store.records import VERSION, as_fields, instant, read_record, write_chat, write_failure
from app.store.scripts import Scripts

PAGE = 500
ABANDONED = Failure(FailureCode.ABANDONED, "An operator gave up on it; a chat may exist.")


class Operations:
    """The operator's view.

    Methods raise ``StoreUnavailable`` where Redis did not confirm, and ``NothingDone`` where a
    command does not apply.
    """

    def __init__(self, scripts: Scripts, *, record_ttl_seconds: int) -> None:
        self._scripts = scripts
        self._record_ttl_ms = record_ttl_seconds * 1000

    def overview(self) -> Overview:
        """How the relay stands."""
        reply = self._scripts.run("overview", {}, acknowledge=False)
        waiting, calling, held, failed, oldest_ms, now_ms, flat = reply
        gate = as_fields(flat)
        return Overview(
            waiting=waiting,
            calling=calling,
            held=held,
            failed=failed,
            oldest_waiting_seconds=oldest_ms / 1000,
            breaker=gate.get("state", "closed"),
            breaker_reason=gate.get("reason"),
            paused_seconds=max(0.0, float(gate.get("pause_until", 0)) - now_ms) / 1000,
        )

    def records(self, status: Status, *, limit: int | None = None) -> Iterator[Record]:
        """The records of ``status`` (not ``opened``: those have no list), the longest so first."""
        offset = 0
        while limit is None or offset < limit:
            size = PAGE if limit is None else min(PAGE, limit - offset)
            page = {"status": status, "offset": offset, "limit": size}
            found = self._scripts.run("list", page, acknowledge=False)
            yield from (read_record(event_id, as_fields(flat)) for event_id, flat in found)
            if not found:
                return
            offset += size

    def story(self, event_id: str) -> Story:
        """What is known of one event."""
        flat = self._scripts.run("story", {"event_id": event_id}, acknowledge=False)
        if not flat:
            raise NothingDone(f"no event {event_id} is kept")
        fields = as_fields(flat)
        history = json.loads(fields.get("history", "[]"))
        return Story(read_record(event_id, fields), tuple(_moment(entry) for entry in history))

    def resolve_with_chat(self, event_id: str, chat_id: str, *, by: str) -> Record:
        """Publish ``chat_id``, which the operator found, as the event's chat."""
        told = {"action": "chat", "chat_id": chat_id, "chat": write_chat(Chat(chat_id))}
        return self._resolve(event_id, by, told)

    def recreate(self, event_id: str, *, by: str) -> Record:
        """Consent to one more call, which may make a second chat."""
        return self._resolve(event_id, by, {"action": "recreate"})

    def give_up(self, event_id: str, *, by: str) -> Record:
        """Let a held event fail; whether there is a chat stays unknown."""
        return self._resolve(
            event_id, by, {"action": "give_up", "failure": write_failure(ABANDONED)}
        )

    def redrive(self, event_id: str, *, by: str, code: FailureCode | None = None) -> Record:
        """Try a failed event again, with a new deadline, where surely no attempt made a chat."""
        told = {"event_id": event_id, "by": by} | ({"code": code} if code else {})
        result, *rest = self._scripts.run("redrive", told)
        return _read_result(event_id, result, rest)

    def recover(
        self, event_id: str, *, user_id: str, attempt: int, chat: Chat, at: datetime
    ) -> str:
        """Settle a created chat that only a log line holds; return what became of the event.

        Where Redis has lost the event, its record is made anew from what the line tells.
        """
        copy = {
            "v": VERSION,
            "status": Status.CALLING,
            "user": user_id,
            "accepted": str(round((at - EPOCH).total_seconds() * 1000)),
            "ttl": str(self._record_ttl_ms),
            "attempt": str(attempt),
            "attempts": str(attempt),
        }
        told = {"event_id": event_id, "attempt": attempt, "token": new_token(), "kind": "created"}
        chat_told = {"chat_id": chat.id, "chat": write_chat(chat), "copy": copy}
        result: str = self._scripts.run("settle", told | chat_told)[0]
        return result

    def _resolve(self, event_id: str, by: str, told: dict[str, Any]) -> Record:
        result, *rest = self._scripts.run("resolve", {"event_id": event_id, "by": by} | told)
        return _read_result(event_id, result, rest)


def _read_result(event_id: str, result: str, rest: list[Any]) -> Record:
    if result in {"resolved", "redriven"}:
        return read_record(event_id, as_fields(rest[0]))
    about = str(rest[0]) if rest else ""
    raise NothingDone(_REASONS[result].format(event_id=event_id, about=about))


_REASONS = {
    "missing": "no event {event_id} is kept",
    "not_held": "{event_id} is {about}, not held: only an event that is unknown can be resolved",
    "owned": "this chat belongs to the event {about}",
    "not_failed": "{event_id} is {about}: only an event that has failed can be tried again",
    "other_code": "{event_id} failed for another reason",
    "uncertain": "an attempt for {event_id} may have made a chat, so it is not tried again",
    "newer": "a newer release of the relay wrote {event_id}; use its command line",
}


def _moment(entry: dict[str, Any]) -> Moment:
    told = {name: entry[name] for name in ("times", "by", "action", "chat_id") if name in entry}
    return Moment(instant(entry["at"]), entry["what"], entry["attempt"], **told)
