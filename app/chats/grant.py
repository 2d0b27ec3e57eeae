"""Results of ``take``: a grant, a probe, or no work; and the result of settling a grant."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """The right to one read-only request that shows whether Channel.io serves us."""

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


@dataclass(frozen=True, slots=True)
class SettleResult:
    """The effect of a settle on the event: ``opened``, ``duplicate``, ``failed``, ``accepted``,
    ``unknown``, ``ignored`` or, for an answer to another life of its id, ``stale``; and on the
    breaker, ``open`` or ``closed``, where it changed.

    ``age_seconds``: for how long the event has been accepted.
    """

    result: str
    breaker: str | None
    age_seconds: float = field(default=0.0, compare=False)


def new_token() -> str:
    """Return 128 random bits, for one ``take`` however often it is repeated."""
    return secrets.token_urlsafe(16)
