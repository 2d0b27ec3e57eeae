"""How the relay stands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How the relay stands. ``breaker`` is ``closed``, ``open`` or ``half_open``."""

    waiting: int
    calling: int
    held: int
    failed: int
    oldest_waiting_seconds: float
    breaker: str
    breaker_reason: str | None
    paused_seconds: float

    @property
    def backlog(self) -> int:
        """How many events are accepted and not yet settled or held."""
        return self.waiting + self.calling
