"""The record: an event's state, as the relay keeps it and look-ups return it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

MAX_CHAT_ID_CHARACTERS = 256


class Status(StrEnum):
    """The status of an event. ``opened`` and ``failed`` are settled, ``unknown`` is held."""

    ACCEPTED = "accepted"
    CALLING = "calling"
    OPENED = "opened"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_open(self) -> bool:
        """True for events that are accepted or calling."""
        return self is Status.ACCEPTED or self is Status.CALLING


class FailureCode(StrEnum):
    """The reason for which an event failed or is held; a closed list of the HTTP contract."""

    USER_NOT_FOUND = "user_not_found"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ABANDONED = "abandoned"
    NO_ANSWER = "no_answer"
    UNREADABLE_ANSWER = "unreadable_answer"
    WORKER_LOST = "worker_lost"
    BOT_NOT_FOUND = "bot_not_found"
    """Of a task, and so are the next two."""
    CHAT_NOT_FOUND = "chat_not_found"
    TEXT_LOST = "text_lost"


class TaskStatus(StrEnum):
    """The status of a message or an open."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """What comes before it failed."""


@dataclass(frozen=True, slots=True)
class Session:
    """A chat session; ``key`` is Channel.io's name for it in its own URLs and events."""

    id: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Chat:
    """A created chat: identifiers and its state, nothing of a person."""

    id: str
    channel_id: str | None = None
    state: str | None = None
    session: Session | None = None
    user_session: Session | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason for which an event failed or is held.

    ``detail`` is ours, and quotes nothing of Channel.io's. ``code`` is a ``FailureCode``, or one
    that a newer release added.
    """

    code: str
    detail: str
    upstream_status: int | None = None


@dataclass(frozen=True, slots=True)
class TaskState:
    """The state of a message or an open; ``attempts`` counts how often it was sent.

    ``id`` is the message's, ``None`` where it could not be read, and for an open.
    """

    status: str
    attempts: int = 0
    id: str | None = None
    failure: Failure | None = None

    @property
    def is_over(self) -> bool:
        """True where nothing more will be done."""
        return self.status != TaskStatus.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event's state. ``created`` is three-valued: ``None`` while it cannot be known.

    ``user_id`` is ``None`` until ``member_id`` is resolved. ``tasks`` has those that the event
    asks for, by name. Times are aware UTC; ``settled_at`` is ``None`` unless settled, and
    ``completed_at`` and ``expires_at`` unless complete. ``on_unknown`` is the event's own, or the
    relay's setting.
    """

    event_id: str
    user_id: str | None
    status: Status
    created: bool | None
    chat: Chat | None
    failure: Failure | None
    attempts: int
    possible_orphan: bool
    duplicate_chat_ids: tuple[str, ...]
    accepted_at: datetime
    settled_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None
    member_id: str | None = None
    tasks: dict[str, TaskState] | None = None
    occurred_at: datetime | None = None
    on_unknown: str = "hold"
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """True where nothing more will be done."""
        return self.completed_at is not None

    @property
    def is_under_way(self) -> bool:
        """True where the event is neither complete nor held."""
        return not self.is_complete and self.status is not Status.UNKNOWN

    @property
    def last_failure(self) -> Failure | None:
        """The failure of the event or of its task."""
        return self.failure or (self.failed_task[1].failure if self.failed_task else None)

    @property
    def failed_task(self) -> tuple[str, TaskState] | None:
        """The task that failed, with its name."""
        tasks = (self.tasks or {}).items()
        return next(((name, task) for name, task in tasks if task.failure), None)


def is_chat_id(text: str) -> bool:
    """Check that ``text`` can be a chat's id, under which the chat is looked up."""
    is_printable = text.isprintable() and "/" not in text and text == text.strip()
    is_segment = is_printable and text not in {".", ".."}  # which URLs leave out
    return 1 <= len(text) <= MAX_CHAT_ID_CHARACTERS and is_segment


def as_json(record: Record) -> dict[str, Any]:
    """Build the record's JSON object of the HTTP contract."""
    chat, tasks = record.chat, record.tasks
    return {
        "event_id": record.event_id,
        "user_id": record.user_id,
        "member_id": record.member_id,
        "status": record.status,
        "created": record.created,
        "chat": chat and {"id": chat.id, "channel_id": chat.channel_id, "state": chat.state},
        "session": chat and _session(chat.session),
        "user_session": chat and _session(chat.user_session),
        "failure": _failure(record.failure),
        "tasks": tasks and {name: _task(task) for name, task in tasks.items()},
        "complete": record.is_complete,
        "attempts": record.attempts,
        "possible_orphan": record.possible_orphan,
        "duplicate_chat_ids": record.duplicate_chat_ids,
        "accepted_at": time_as_json(record.accepted_at),
        "settled_at": record.settled_at and time_as_json(record.settled_at),
        "completed_at": record.completed_at and time_as_json(record.completed_at),
        "expires_at": record.expires_at and time_as_json(record.expires_at),
        "occurred_at": record.occurred_at and time_as_json(record.occurred_at),
        "on_unknown": record.on_unknown,
        "metadata": record.metadata,
    }


def time_as_json(instant: datetime) -> str:
    """Format an instant as the HTTP contract does: RFC 3339, in UTC, to the millisecond."""
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _session(session: Session | None) -> dict[str, str | None] | None:
    return {"id": session.id, "key": session.key} if session else None


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "code": failure.code,
        "detail": failure.detail,
        "upstream_status": failure.upstream_status,
    }


def _task(task: TaskState) -> dict[str, Any]:
    return {
        "status": task.status,
        "id": task.id,
        "attempts": task.attempts,
        "failure": _failure(task.failure),
    }
