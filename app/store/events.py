"""Events in Redis: accept one, and look records up. One round trip each."""

from datetime import datetime

from app.chats.errors import BacklogFull, EventIdReused, EventTooOld
from app.chats.event import EPOCH, OpenChatEvent
from app.chats.record import Record
from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.records import new_fields, parse_fields, read_record
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
    ) -> None:
        self._keys = keys
        self._scripts = Scripts(client, keys, min_replicas_acked=min_replicas_acked)
        self._record_ttl_ms = record_ttl_seconds * 1000
        self._max_backlog = max_backlog

    def accept(
        self, event: OpenChatEvent, *, until: float | None = None, traceparent: str | None = None
    ) -> tuple[Record, bool]:
        """Claim and schedule ``event``; return its record, and whether it is new.

        ``traceparent`` names the request that brought it, for the call that follows.

        Raises ``EventIdReused``, ``EventTooOld`` and ``BacklogFull``, with nothing stored, and
        ``StoreUnavailable`` where it is not known whether the event was stored: it may be repeated.
        """
        argument = {
            "event_id": event.event_id,
            "record": new_fields(event, ttl_ms=self._record_ttl_ms, traceparent=traceparent),
            "max_backlog": self._max_backlog,
            "is_acknowledged": self._scripts.is_acknowledged,
        }
        if event.occurred_at is not None:
            argument["occurred_ms"] = _milliseconds(event.occurred_at)
        result, *rest = self._scripts.run("accept", argument, until=until)
        match result:
            case "reused":
                raise EventIdReused("this event_id was accepted before with another payload")
            case "too_old":
                raise EventTooOld("the event is older than the window in which ids are remembered")
            case "full":
                raise BacklogFull("too many accepted events are waiting for their call")
        return read_record(event.event_id, parse_fields(rest[0])), result == "new"

    def find(self, event_id: str, *, until: float | None = None) -> Record | None:
        """Return the record of ``event_id``, if there is one. Raises ``StoreUnavailable``."""
        text = self._scripts.read(self._keys.event(event_id), until=until)
        return None if text is None else read_record(event_id, parse_fields(text))

    def chats_of_user(
        self, user_id: str, *, limit: int, until: float | None = None
    ) -> list[Record]:
        """Return the user's opened events, newest first. Raises ``StoreUnavailable``."""
        argument = {"user_id": user_id, "limit": limit}
        found = self._scripts.run("chats_of_user", argument, until=until, acknowledge=False)
        return [read_record(event_id, parse_fields(text)) for event_id, text in found]

    def event_of_chat(self, chat_id: str, *, until: float | None = None) -> Record | None:
        """Return the record that published ``chat_id``. Raises ``StoreUnavailable``."""
        found = self._scripts.run(
            "event_of_chat", {"chat_id": chat_id}, until=until, acknowledge=False
        )
        return read_record(found[0], parse_fields(found[1])) if found else None


def _milliseconds(instant: datetime) -> int:
    return int((instant - EPOCH).total_seconds() * 1000)
