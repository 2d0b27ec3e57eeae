"""What a worker that wants work is told."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to one call for one event.

    ``attempt`` is the fence: it only grows, and tells one grant's outcome from another's.
    ``token`` names the grant, so that a repeated ``take`` finds it again. ``record`` is the stored
    record as it was granted, field by field, from which it is rebuilt if Redis loses it.
    """

    event_id: str
    user_id: str
    attempt: int
    token: str
    record: dict[str, str]

    @property
    def attempts(self) -> int:
        """How many grants there have been, this one included, less those given back."""
        return int(self.record["attempts"])

    @property
    def traceparent(self) -> str | None:
        """What names the request that brought the event, if it is known."""
        return self.record.get("traceparent")

    @property
    def is_possible_orphan(self) -> bool:
        """Whether an earlier attempt may have made a chat, and somebody consented to this one."""
        return "orphan" in self.record


@dataclass(frozen=True, slots=True)
class Probe:
    """The right to one read-only request that tells whether Channel.io serves us."""

    token: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be called for ``ms`` milliseconds.

    ``is_idle``: nothing is due, so an accepted event ends the wait; otherwise the gate is shut.
    """

    ms: int
    is_idle: bool


Taken = Grant | Probe | Wait


@dataclass(frozen=True, slots=True)
class Reply:
    """What a ``take`` came to, and the ids of the events that it cleaned up on its way."""

    taken: Taken
    lost: Sequence[str]
    expired: Sequence[str]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the event: ``opened``, ``duplicate``, ``failed``, ``accepted``, ``unknown`` or
    ``ignored``; and of the breaker, ``open`` or ``closed``, where this outcome changed it.

    ``age_seconds``: for how long the event has been accepted.
    """

    result: str
    breaker: str | None
    age_seconds: float = field(default=0.0, compare=False)


def new_token() -> str:
    """128 random bits for one ``take``, however often that take is repeated."""
    return secrets.token_urlsafe(16)
