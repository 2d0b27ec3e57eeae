"""The history of one event."""

from dataclasses import dataclass
from datetime import datetime

from app.chats.record import Record


@dataclass(frozen=True, slots=True)
class Moment:
    """An entry of an event's history; ``times`` in a row, if the same happened again.

    ``by`` is the operator who gave the command ``action``, ``chat_id`` the chat that it named.
    ``token`` is the begin of the grant's, of an attempt that ended unknown.
    """

    at: datetime
    what: str
    attempt: int
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
class Story:
    """A record and its history out of the ordinary, oldest entry first.

    ``next_look`` is when the event may be called or, while it is called, when its worker counts as
    lost; ``ahead`` is the number of events in line before it; ``token`` is the begin of the
    grant's that is out. ``None`` where they do not apply. ``life`` is the ``accepted_ms`` of the
    record, by which log lines name it.
    """

    record: Record
    moments: tuple[Moment, ...]
    life: int
    next_look: datetime | None = None
    ahead: int | None = None
    token: str | None = None
    denials: Denials | None = None
