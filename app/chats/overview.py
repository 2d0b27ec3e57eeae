"""Counts of events, and the gate."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Counts of events, and the gate. ``breaker`` is ``closed``, ``open`` or ``half_open``.

    ``unreadable``: those of ``waiting`` and ``calling`` whose record another release wrote, as far
    as workers met them. They are left alone.
    """

    waiting: int
    calling: int
    held: int
    failed: int
    unreadable: int
    oldest_waiting_seconds: float
    breaker: str
    breaker_reason: str | None
    paused_seconds: float

    @property
    def backlog(self) -> int:
        """The number of events that are accepted and not yet settled or held."""
        return self.waiting + self.calling
