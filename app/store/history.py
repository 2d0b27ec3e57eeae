"""The history of one event."""

from dataclasses import dataclass
from datetime import datetime

from app.chats.record import Record


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An entry of an event's history; ``times`` in a row, if the same happened again.

    ``task``: what it is about; ``None``: the create, or the event.

    ``by`` is the operator who gave the command ``action``, ``chat_id`` the chat that it named.
    ``token`` is the begin of the grant's, of an attempt that ended unknown.
    """

    at: datetime
    what: str
    attempt: int
    task: str | None = None
    times: int = 1
    by: str | None = None
    action: str | None = None
    chat_id: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Denials:
    """Denials of an event's calls, since its last success; ``own`` are those of the event alone."""

    times: int
    own: int
    since: datetime


@dataclass(frozen=True, slots=True)
class EventHistory:
    """A record and its history entries, oldest first.

    ``next_due_at`` is when the event may be called or, while a grant is out, when its lease ends;
    ``queue_position`` is the number of events in line before it. ``granted_task`` is what a grant
    is out for, ``token`` the begin of that grant's token. ``look_from`` is when a message or an
    open that was sent without an answer, or may be sent by the grant, is looked for. ``None`` where
    they do not apply. ``unanswered`` counts the sends of the next task that had no answer;
    ``is_last_look``: that task is not sent any more, one look decides. ``life`` is the record's
    ``accepted_ms``, by which log lines name the life.
    """

    record: Record
    entries: tuple[HistoryEntry, ...]
    life: int
    next_due_at: datetime | None = None
    queue_position: int | None = None
    granted_task: str | None = None
    look_from: datetime | None = None
    unanswered: int = 0
    is_last_look: bool = False
    token: str | None = None
    denials: Denials | None = None
