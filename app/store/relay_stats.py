"""Counts of events and the gate, read by one script."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.store.records import to_datetime
from app.store.scripts import Scripts

# A way whose probe was not repeated for so long is no worker's any more.
FORGOTTEN_PROBE_MS = 5 * 60_000


class BreakerState(StrEnum):
    """The state of the gate's breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


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
class RelayStats:
    """Counts of events, and the gate.
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
    breaker: BreakerState
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


@dataclass(frozen=True, slots=True)
class MinuteCounts:
    """Numbers of events that were accepted, opened, failed and held in a minute."""

    at: datetime
    accepted: int
    opened: int
    failed: int
    unknown: int


class RelayStatsReader:
    """The overview that the command line and ``/metrics`` read."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def relay_stats(self) -> RelayStats:
        """Read the stats. Raises ``StoreUnavailable`` where Redis did not confirm."""
        reply = self._scripts.run("relay_stats", {}, acknowledge=False)
        waiting, calling, held, failed, unreadable, workers, waited_ms, *rest = reply
        pause_ms, denied_ms, now_ms, flat = rest
        gate = dict(zip(flat[::2], flat[1::2], strict=True))
        # The first take of a worker fills the gate, and nothing empties it.
        is_used = any((gate, waiting, calling, held, failed))
        return RelayStats(
            waiting=waiting,
            calling=calling,
            held=held,
            failed=failed,
            unreadable=unreadable,
            workers=workers,
            oldest_waiting_seconds=waited_ms / 1000,
            breaker=BreakerState(gate.get("state", BreakerState.CLOSED)),
            breaker_reason=gate.get("reason"),
            paused_seconds=pause_ms / 1000,
            denied_since=to_datetime(denied_ms) if denied_ms else None,
            pause=_pause(gate),
            failing_probes=tuple(_failing_probes(gate, now_ms)),
            stale_answers=int(gate.get("stale_answers", 0)),
            is_used=is_used,
        )

    def recent_minutes(self, count: int) -> list[MinuteCounts]:
        """Read the counts of the newest minutes, the current one last.

        Raises ``StoreUnavailable``.
        """
        rows = self._scripts.run("recent_minutes", {"count": count}, acknowledge=False)
        return [MinuteCounts(to_datetime(at_ms), *counts) for at_ms, *counts in rows]

    def min_replicas_acked(self) -> int:
        """Return how many replicas confirm what workers write, as workers are set.

        Raises ``StoreUnavailable``.
        """
        reply = self._scripts.run("relay_stats", {}, acknowledge=False)
        gate = dict(zip(reply[-1][::2], reply[-1][1::2], strict=True))
        return int(gate.get("min_replicas_acked", 0))


def _pause(gate: dict[str, str]) -> Pause | None:
    if "paused_at" not in gate:
        return None
    return Pause(to_datetime(int(gate["paused_at"])), gate.get("paused_by", ""))


def _failing_probes(gate: dict[str, str], now_ms: int) -> Iterator[FailingProbe]:
    for name, problem in sorted(gate.items()):
        kind, _, scope = name.partition(":")
        if kind != "probe_problem":
            continue
        failed_ms = int(gate.get(f"probe_failed_at:{scope}", 0))
        if now_ms - failed_ms <= FORGOTTEN_PROBE_MS:
            since = to_datetime(int(gate.get(f"probe_failing_since:{scope}", failed_ms)))
            yield FailingProbe(since, problem)
