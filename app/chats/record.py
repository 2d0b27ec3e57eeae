"""The record: what the relay keeps of an event and tells whoever looks it up."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.chats.outcome import Chat, FailureCode


class Status(StrEnum):
    """Where an event stands. ``opened`` and ``failed`` are settled, ``unknown`` is held."""

    ACCEPTED = "accepted"
    CALLING = "calling"
    OPENED = "opened"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_open(self) -> bool:
        """Whether the relay itself still has something to do for the event."""
        return self in {Status.ACCEPTED, Status.CALLING}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event failed or is held; ``detail`` is ours and quotes nothing of Channel.io's."""

    code: FailureCode
    detail: str
    upstream_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event's state. ``created`` is three-valued: ``None`` while nobody can know.

    Times are aware UTC; ``settled_at`` and ``expires_at`` are ``None`` unless settled.
    """

    event_id: str
    user_id: str
    status: Status
    created: bool | None
    chat: Chat | None
    failure: Failure | None
    attempts: int
    possible_orphan: bool
    duplicate_chat_ids: tuple[str, ...]
    accepted_at: datetime
    settled_at: datetime | None
    expires_at: datetime | None
    metadata: dict[str, str] = field(default_factory=dict)
