"""Results of ``take``: a grant, a probe, or no work; and the result of settling a grant."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to one call for one event.

    ``attempt`` is the fence: it only grows, and separates the outcomes of different grants.
    ``token`` names the grant, so that a repeated ``take`` finds it again. ``stored_fields``
    are those of the record as it was granted, from which it is rebuilt if Redis loses it.
    """

    event_id: str
    user_id: str
    attempt: int
    token: str
    stored_fields: dict[str, Any]

    @property
    def attempts(self) -> int:
        """The number of grants, this one included, less those given back."""
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
