"""What web does with Redis: accept an event, and look records up. One round trip each."""

from datetime import datetime
from typing import Any

from app.chats.errors import BacklogFull, EventIdReused, EventTooOld
from app.chats.event import EPOCH, OpenChatEvent
from app.chats.record import Record
from app.store.client import Client
from app.store.keys import Keys
from app.store.records import as_fields, new_record, read_record, write_metadata
from app.store.scripts import Scripts
from app.store.silence import Silence


class EventStore:
    """The events and their records."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        *,
        record_ttl_seconds: int,
        max_backlog: int,
        min_replicas_acked: int = 0,
        silence: Silence | None = None,
    ) -> None:
        self._keys = keys
        self._scripts = Scripts(
            client, keys, min_replicas_acked=min_replicas_acked, silence=silence
        )
        self._record_ttl_ms = record_ttl_seconds * 1000
        self._max_backlog = max_backlog

    def accept(
        self, event: OpenChatEvent, *, traceparent: str | None = None
    ) -> tuple[Record, bool]:
        """Claim and schedule ``event``; return its record, and whether it is new.

        ``traceparent`` names the request that brought it, for the call that follows.

        Raises ``EventIdReused``, ``EventTooOld`` and ``BacklogFull``, with nothing stored, and
        ``StoreUnavailable`` where it is not known whether the event was stored: it may be repeated.
        """
        result, *rest = self._scripts.run("accept", self._accept_argument(event, traceparent))
        match result:
            case "reused":
                raise EventIdReused("this event_id was accepted before with another payload")
            case "too_old":
                raise EventTooOld("the event is older than the window in which ids are remembered")
            case "full":
                raise BacklogFull("too many accepted events are waiting for their call")
            case "new":
                return new_record(event, accepted_ms=rest[0]), True
        return read_record(event.event_id, as_fields(rest[0])), False

    def find(self, event_id: str) -> Record | None:
        """Return the record of ``event_id``, if there is one. Raises ``StoreUnavailable``."""
        text = self._scripts.read(self._keys.event(event_id))
        return read_record(event_id, as_fields(text)) if text else None

    def chats_of_user(self, user_id: str, *, limit: int) -> list[Record]:
        """Return the user's opened events, newest first. Raises ``StoreUnavailable``."""
        argument = {"user_id": user_id, "limit": limit}
        found = self._scripts.run("chats_of_user", argument, acknowledge=False)
        return [read_record(event_id, as_fields(text)) for event_id, text in found]

    def event_of_chat(self, chat_id: str) -> Record | None:
        """Return the record that published ``chat_id``. Raises ``StoreUnavailable``."""
        found = self._scripts.run("event_of_chat", {"chat_id": chat_id}, acknowledge=False)
        return read_record(found[0], as_fields(found[1])) if found else None

    def _accept_argument(self, event: OpenChatEvent, traceparent: str | None) -> dict[str, Any]:
        argument: dict[str, Any] = {
            "event_id": event.event_id,
            "user_id": event.user_id,
            "fingerprint": event.fingerprint,
            "ttl_ms": self._record_ttl_ms,
            "max_backlog": self._max_backlog,
            "is_acknowledged": self._scripts.is_acknowledged,
        }
        if event.on_unknown is not None:
            argument["on_unknown"] = event.on_unknown
        if event.metadata:
            argument["metadata"] = write_metadata(event.metadata)
        if traceparent is not None:
            argument["traceparent"] = traceparent
        if event.occurred_at is not None:
            argument["occurred_ms"] = _milliseconds(event.occurred_at)
        return argument


def _milliseconds(instant: datetime) -> int:
    return int((instant - EPOCH).total_seconds() * 1000)
