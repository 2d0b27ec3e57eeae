"""Counts of events, and the gate."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause of all calls."""

    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class FailingProbe:
    """A probe of Channel.io that fails: since when, and why at last."""

    since: datetime
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Counts of events, and the gate. ``breaker`` is ``closed``, ``open`` or ``half_open``.

    ``unreadable``: those of ``waiting`` and ``calling`` whose record another release wrote, as far
    as workers met them. They are left alone. ``workers``: those that took within 15 s.
    ``paused_seconds``: what is left of the pause that a 429 set. ``denied_since``: since when
    only denied events wait, as far as the first in line show it. ``stale_answers``: late ones of
    another life of their id. ``is_used``: false where nothing was ever stored under this prefix.
    """

    waiting: int
    calling: int
    held: int
    failed: int
    unreadable: int
    workers: int
    oldest_waiting_seconds: float
    breaker: str
    breaker_reason: str | None
    paused_seconds: float
    denied_since: datetime | None
    pause: Pause | None
    failing_probes: tuple[FailingProbe, ...]
    stale_answers: int
    is_used: bool

    @property
    def backlog(self) -> int:
        """The number of events that are accepted and not yet settled or held."""
        return self.waiting + self.calling
