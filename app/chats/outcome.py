"""What a call to Channel.io came to, and what that means for the event.

An outcome answers one question, "did it create a chat?": yes (``Created``), no (``Refused``,
``Denied``, ``Throttled``, ``NotSent``), or nobody can know (``Unknown``).
"""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

MAX_RETRY_DELAY_MS = 60_000
MAX_CHAT_ID_CHARACTERS = 256


class FailureCode(StrEnum):
    """Why an event failed or is held; a closed list, part of the HTTP contract."""

    USER_NOT_FOUND = "user_not_found"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ABANDONED = "abandoned"
    NO_ANSWER = "no_answer"
    UNREADABLE_ANSWER = "unreadable_answer"
    WORKER_LOST = "worker_lost"


@dataclass(frozen=True, slots=True)
class Session:
    """A chat session; ``key`` is Channel.io's name for it in its own URLs and events."""

    id: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Chat:
    """What is kept of a created chat: identifiers and its state, nothing of a person."""

    id: str
    channel_id: str | None = None
    state: str | None = None
    session: Session | None = None
    user_session: Session | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """Channel.io made this chat. The event is opened."""

    chat: Chat
    upstream_status: int = 200
    kind: Literal["created"] = "created"


@dataclass(frozen=True, slots=True)
class Refused:
    """Channel.io executed nothing, and would refuse this event again. The event fails."""

    code: FailureCode
    detail: str
    upstream_status: int
    kind: Literal["refused"] = "refused"


@dataclass(frozen=True, slots=True)
class Denied:
    """Nothing was executed, and the fault is ours: a wrong key or base URL must not burn events.

    The event stays accepted; the breaker opens at once.
    """

    detail: str
    upstream_status: int
    kind: Literal["denied"] = "denied"

    @property
    def reason(self) -> str:
        """Why the breaker opens."""
        return "credentials" if self.upstream_status in {401, 403} else "base_url"


@dataclass(frozen=True, slots=True)
class Throttled:
    """Over the rate limit, nothing was executed. All workers pause for ``retry_after_ms``."""

    retry_after_ms: int
    upstream_status: int = 429
    kind: Literal["throttled"] = "throttled"


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request was handed to the socket. The event stays accepted."""

    detail: str
    upstream_status: None = None
    kind: Literal["not_sent"] = "not_sent"

    @property
    def reason(self) -> str:
        """What the breaker counts this as."""
        return self.kind


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes were sent and no readable answer came: a chat may exist. Held, unless consented."""

    code: FailureCode
    detail: str
    upstream_status: int | None = None
    kind: Literal["unknown"] = "unknown"


Outcome = Created | Refused | Denied | Throttled | NotSent | Unknown


def is_chat_id(text: str) -> bool:
    """Whether it can be a chat's id, under which the chat is looked up."""
    return 1 <= len(text) <= MAX_CHAT_ID_CHARACTERS and text.isprintable() and "/" not in text


def retry_delay_ms(attempts: int) -> int:
    """Milliseconds until an event may be called again after its ``attempts``-th try: full doubling
    from one second to a minute, with half of it jitter so that replicas do not march in step.
    """
    longest_ms = min(MAX_RETRY_DELAY_MS, 1000 * 2 ** min(attempts - 1, 6))
    return random.randint(longest_ms // 2, longest_ms)  # noqa: S311 - jitter, not a secret
