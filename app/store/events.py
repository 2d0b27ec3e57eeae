"""Events in Redis: accept one, and look records up. One round trip each."""

from typing import Any

from app.chats.errors import BacklogFull, EventIdReused, EventTooOld
from app.chats.event import OnUnknown, OpenChatEvent
from app.chats.record import Record
from app.store.client import RedisClient
from app.store.keys import Keys, Person
from app.store.records import (
    differing_fields,
    is_forgotten,
    new_fields,
    parse_fields,
    read_record,
)
from app.store.scripts import Scripts


class EventStore:
    """The events and their records."""

    def __init__(
        self,
        client: RedisClient,
        keys: Keys,
        *,
        record_ttl_seconds: int,
        max_backlog: int,
        min_replicas_acked: int = 0,
        on_unknown: OnUnknown = OnUnknown.HOLD,
    ) -> None:
        self._keys = keys
        self._scripts = Scripts(client, keys, min_replicas_acked=min_replicas_acked)
        self._record_ttl_ms = record_ttl_seconds * 1000
        self._max_backlog = max_backlog
        self._on_unknown = on_unknown

    def accept(
        self, event: OpenChatEvent, *, until: float | None = None, traceparent: str | None = None
    ) -> tuple[Record, bool]:
        """Claim and schedule ``event``; return its record, and whether it is new.

        ``traceparent`` names the request that brought it, for the call that follows.

        Raises ``EventIdReused``, ``EventTooOld`` and ``BacklogFull``, with nothing stored, and
        ``StoreUnavailable`` where it is not known whether the event was stored: it may be repeated.
        """
        argument: dict[str, Any] = {
            "event_id": event.event_id,
            "record": new_fields(event, ttl_ms=self._record_ttl_ms, traceparent=traceparent),
            "max_backlog": self._max_backlog,
        }
        if event.message:
            argument["text"] = event.message.text.get_secret_value()
        result, *rest = self._scripts.run("accept", argument, until=until)
        match result:
            case "reused":
                raise EventIdReused(differing_fields(event, parse_fields(rest[0])))
            case "too_old":
                raise EventTooOld("The event is older than the window in which ids are remembered")
            case "full":
                raise BacklogFull("Too many accepted events are waiting for their call")
        return self._record(event.event_id, rest[0]), result == "new"

    def find(self, event_id: str, *, until: float | None = None) -> Record | None:
        """Return the record of ``event_id``, if there is one. Raises ``StoreUnavailable``."""
        if self._scripts.is_acknowledged:
            text = self._scripts.run("records", {"event_ids": [event_id]}, until=until)[0]
        else:
            keys = self._keys.event(event_id), self._keys.forgotten(event_id)
            text, forgotten = self._scripts.read(*keys, until=until)
            if text is not None and is_forgotten(parse_fields(text), forgotten):
                return None
        return None if text is None else self._record(event_id, text)

    def chats_of_user(
        self, user_id: str, *, limit: int, until: float | None = None
    ) -> tuple[list[Record], bool]:
        """Return the user's opened events, newest first, and whether there are more than ``limit``.

        Raises ``StoreUnavailable``.
        """
        return self._chats_of(Person("user_id", user_id), limit, until)

    def chats_of_member(
        self, member_id: str, *, limit: int, until: float | None = None
    ) -> tuple[list[Record], bool]:
        """Return what ``chats_of_user`` does, by the caller's own id for the user."""
        return self._chats_of(Person("member_id", member_id), limit, until)

    def _chats_of(
        self, person: Person, limit: int, until: float | None
    ) -> tuple[list[Record], bool]:
        argument = person.as_argument() | {"limit": limit + 1}
        found = self._scripts.run("chats_of_user", argument, until=until)
        records = [self._record(event_id, text) for event_id, text in found[:limit]]
        return records, len(found) > limit

    def event_of_chat(self, chat_id: str, *, until: float | None = None) -> Record | None:
        """Return the record that published ``chat_id``. Raises ``StoreUnavailable``."""
        found = self._scripts.run("event_of_chat", {"chat_id": chat_id}, until=until)
        return self._record(*found) if found else None

    def _record(self, event_id: str, text: str) -> Record:
        return read_record(event_id, parse_fields(text), on_unknown=self._on_unknown)
