"""What happened to one event, as an operator sees it."""

from dataclasses import dataclass
from datetime import datetime

from app.chats.record import Record


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to an event; ``times`` in a row, if the same happened again.

    ``by`` is the operator who did it, ``chat_id`` what was said of a chat.
    """

    at: datetime
    what: str
    attempt: int
    times: int = 1
    by: str | None = None
    action: str | None = None
    chat_id: str | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A record, and what happened to it out of the ordinary, oldest first.

    ``next_look`` is when it may be called or, while it is called, when its worker counts as lost;
    ``ahead`` is how many are in line before it. Both are ``None`` where they do not apply.
    """

    record: Record
    moments: tuple[Moment, ...]
    next_look: datetime | None = None
    ahead: int | None = None
