"""Results of ``take``: a grant, a probe, or no work; and the result of settling a grant."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, SecretStr


class Task(StrEnum):
    """A step of an event, in the order in which they are granted; the create is always there."""

    RESOLVE = "resolve"
    CREATE = "create"
    MESSAGE = "message"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to one task of one event: reads, and then at most one write.

    ``user_id`` is ``None`` for a resolve. ``attempt`` is the fence: it only grows, and separates
    the outcomes of different grants. ``token`` names the grant, so that a repeated ``take`` finds
    it again. ``stored_fields`` are those of the record as it was granted, from which it is rebuilt
    if Redis loses it. ``text`` is a message's; it is never shown or dumped.
    """

    event_id: str
    user_id: str | None
    attempt: int
    token: str
    stored_fields: dict[str, Any]
    task: Task = Task.CREATE
    text: Annotated[SecretStr | None, Field(exclude=True)] = field(default=None, compare=False)

    @property
    def member_id(self) -> str | None:
        """The caller's own id for the user, if the event came with one."""
        return self.stored_fields.get("member_id")

    @property
    def chat_id(self) -> str | None:
        """The published chat, for the tasks behind the create."""
        return self.stored_fields.get("chat_id")

    @property
    def bot_name(self) -> str | None:
        """The name that the event gives the bot."""
        return self.stored_fields.get("bot_name")

    @property
    def is_private(self) -> bool:
        """True for a message for the agents' eyes alone."""
        return "private" in self._task_fields

    @property
    def is_look_only(self) -> bool:
        """True where nothing may be sent: one more look decides about earlier sends."""
        return "look_only" in self._task_fields

    @property
    def _task_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = self.stored_fields.get("tasks", {}).get(self.task, {})
        return fields

    @property
    def attempts(self) -> int:
        """The number of the create's grants, this one included, less those given back."""
        attempts: int = self.stored_fields["attempts"]
        return attempts

    @property
    def life_ms(self) -> int:
        """The instant at which the event was accepted: an id is free again after its window."""
        accepted_ms: int = self.stored_fields["accepted_ms"]
        return accepted_ms

    @property
    def traceparent(self) -> str | None:
        """The trace context of the request that brought the event, if it is known."""
        return self.stored_fields.get("traceparent")

    @property
    def is_possible_orphan(self) -> bool:
        """True where an earlier attempt may have made a chat, and this one is by consent."""
        return "possible_orphan" in self.stored_fields


@dataclass(frozen=True, slots=True)
class Probe:
    """The right to one read-only request that checks that Channel.io serves the relay."""

    token: str


@dataclass(frozen=True, slots=True)
class NoWork:
    """Nothing may be called for ``wait_ms`` milliseconds.

    ``is_idle``: nothing is due, so an accepted event ends the wait. Otherwise events are due, and
    the gate, or the lack of a free slot, blocks them.
    """

    wait_ms: int
    is_idle: bool


Decision = Grant | Probe | NoWork


@dataclass(frozen=True, slots=True)
class TakeResult:
    """A take's decision, and the ids of the events that it cleaned up on its way."""

    decision: Decision
    lost_event_ids: Sequence[str]
    expired_event_ids: Sequence[str]


class SettleEffect(StrEnum):
    """The effect of a settle on its event."""

    OPENED = "opened"
    DUPLICATE = "duplicate"
    """The event has another chat, which stays published."""
    FAILED = "failed"
    ACCEPTED = "accepted"
    """The event will be called again."""
    UNKNOWN = "unknown"
    """The event is held."""
    RESOLVED = "resolved"
    """The member's user id is known."""
    TASK_DONE = "task_done"
    TASK_FAILED = "task_failed"
    TASK_WAITING = "task_waiting"
    """The task will be granted again."""
    IGNORED = "ignored"
    """The result no longer counts, or is settled already."""
    STALE = "stale"
    """The result is of another life of the event's id."""
    NEWER = "newer"
    """Another release wrote the record: nothing was changed."""


@dataclass(frozen=True, slots=True)
class SettleResult:
    """The effect of a settle on the event, and on the breaker if that changed (open, closed).

    ``age_seconds``: time since the event was accepted.
    """

    effect: SettleEffect
    breaker: str | None
    age_seconds: float = field(default=0.0, compare=False)


def new_token() -> str:
    """Return 128 random bits, for one ``take`` however often it is repeated."""
    return secrets.token_urlsafe(16)
