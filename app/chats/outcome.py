"""Outcomes of a call to Channel.io, and their effect on the event.

An outcome answers one question, "did it create a chat?": yes (``Created``), no (``Refused``,
``Denied``, ``Throttled``, ``NotSent``), or it cannot be known (``Unknown``).
"""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from app.chats.record import Chat, FailureCode

MAX_RETRY_DELAY_MS = 60_000


class OutcomeKind(StrEnum):
    """The name of an outcome in scripts, spool, log lines, metrics and spans."""

    CREATED = "created"
    REFUSED = "refused"
    DENIED = "denied"
    THROTTLED = "throttled"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Created:
    """Channel.io made this chat. The event is opened."""

    chat: Chat
    upstream_status: int = 200
    kind: Literal[OutcomeKind.CREATED] = OutcomeKind.CREATED


@dataclass(frozen=True, slots=True)
class Refused:
    """Channel.io executed nothing, and would refuse this event again. The event fails."""

    code: FailureCode
    detail: str
    upstream_status: int
    kind: Literal[OutcomeKind.REFUSED] = OutcomeKind.REFUSED


@dataclass(frozen=True, slots=True)
class Denied:
    """Nothing was executed, and the fault is ours: a wrong key or base URL must not burn events.

    The event stays accepted; the breaker opens at once.
    """

    detail: str
    upstream_status: int
    kind: Literal[OutcomeKind.DENIED] = OutcomeKind.DENIED

    @property
    def reason(self) -> str:
        """The reason for which the breaker opens."""
        return "credentials" if self.upstream_status in {401, 403} else "base_url"


@dataclass(frozen=True, slots=True)
class Throttled:
    """Over the rate limit, nothing was executed. All workers pause for ``retry_after_ms``."""

    retry_after_ms: int
    upstream_status: int = 429
    kind: Literal[OutcomeKind.THROTTLED] = OutcomeKind.THROTTLED


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request reached Channel.io. The event stays accepted."""

    detail: str
    upstream_status: None = None
    kind: Literal[OutcomeKind.NOT_SENT] = OutcomeKind.NOT_SENT

    @property
    def reason(self) -> str:
        """The reason for which the breaker may open."""
        return self.kind


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes were sent and no readable answer came: a chat may exist. Held, unless consented."""

    code: FailureCode
    detail: str
    upstream_status: int | None = None
    kind: Literal[OutcomeKind.UNKNOWN] = OutcomeKind.UNKNOWN


Outcome = Created | Refused | Denied | Throttled | NotSent | Unknown


def retry_delay_ms(attempts: int) -> int:
    """Choose the milliseconds after which an event may be called again.

    They double with each attempt from one second to a minute; half of them is jitter, so that
    replicas do not march in step.
    """
    longest_ms = min(MAX_RETRY_DELAY_MS, 1000 * 2 ** min(attempts - 1, 6))
    return random.randint(longest_ms // 2, longest_ms)  # noqa: S311 - jitter, not a secret
