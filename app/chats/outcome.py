"""Outcomes of a grant's task at Channel.io, and their effect on the event.

An outcome answers one question, "was it done?": yes (``Created``, ``Resolved``, ``Done``), no
(``Refused``, ``Denied``, ``Throttled``, ``NotSent``, ``LookFailed``, ``NotFound``), or it cannot be
known (``Unknown``).
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
    RESOLVED = "resolved"
    DONE = "done"
    LOOK_FAILED = "look_failed"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Created:
    """Channel.io made this chat. The event is opened."""

    chat: Chat
    upstream_status: int = 200
    kind: Literal[OutcomeKind.CREATED] = OutcomeKind.CREATED


@dataclass(frozen=True, slots=True)
class Refused:
    """Channel.io executed nothing, and would refuse it again. The event, or its task, fails.

    ``has_acted``: the refused request was the task's write, not a look before it.
    """

    code: FailureCode
    detail: str
    upstream_status: int | None
    has_acted: bool = True
    kind: Literal[OutcomeKind.REFUSED] = OutcomeKind.REFUSED


@dataclass(frozen=True, slots=True)
class Denied:
    """Nothing was executed, and the fault is ours: a wrong key or base URL must not burn events.

    The event stays accepted, unless it is the second denial that is its own; the way is probed
    before the next call, and a second denial in a row opens the breaker.
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
    """Bytes of a write were sent, and no readable answer came: it may have been executed.

    A create's event is held, unless consented; other tasks look before they send again.
    """

    code: FailureCode
    detail: str
    upstream_status: int | None = None
    kind: Literal[OutcomeKind.UNKNOWN] = OutcomeKind.UNKNOWN

    @property
    def reason(self) -> str:
        """The reason for which the breaker may open."""
        return self.code


@dataclass(frozen=True, slots=True)
class Resolved:
    """Channel.io has this user under the member's id."""

    user_id: str
    upstream_status: int = 200
    kind: Literal[OutcomeKind.RESOLVED] = OutcomeKind.RESOLVED


@dataclass(frozen=True, slots=True)
class Done:
    """A message is in the chat, or the chat is open or was opened before.

    ``has_acted``: this grant did it, rather than finding it done. ``message_id`` is ``None`` where
    it cannot be read, and for an open.
    """

    has_acted: bool
    message_id: str | None = None
    upstream_status: int = 200
    kind: Literal[OutcomeKind.DONE] = OutcomeKind.DONE


@dataclass(frozen=True, slots=True)
class LookFailed:
    """A read had no answer, or did not reach its end, and nothing was sent after it. Repeated.

    ``is_answered``: Channel.io answered each read, and there was more to read.
    """

    detail: str
    upstream_status: int | None = None
    is_answered: bool = False
    kind: Literal[OutcomeKind.LOOK_FAILED] = OutcomeKind.LOOK_FAILED

    @property
    def reason(self) -> str | None:
        """The reason for which the breaker may open."""
        return None if self.is_answered else self.kind


@dataclass(frozen=True, slots=True)
class NotFound:
    """A look reached its end and did not find the task done, under a grant that only looks."""

    detail: str
    upstream_status: int = 200
    kind: Literal[OutcomeKind.NOT_FOUND] = OutcomeKind.NOT_FOUND


Outcome = (
    Created
    | Refused
    | Denied
    | Throttled
    | NotSent
    | Unknown
    | Resolved
    | Done
    | LookFailed
    | NotFound
)


def retry_delay_ms(attempts: int) -> int:
    """Choose the milliseconds after which an event may be called again.

    They double with each attempt from one second to a minute; half of them is jitter, so that
    replicas do not march in step.
    """
    longest_ms = min(MAX_RETRY_DELAY_MS, 1000 * 2 ** min(max(attempts - 1, 0), 6))
    return random.randint(longest_ms // 2, longest_ms)  # noqa: S311 - jitter, not a secret
