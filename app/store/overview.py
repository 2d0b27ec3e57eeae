"""Counts of events and the gate, read by one script."""

from collections.abc import Iterator

from app.chats.overview import FailingProbe, Overview, Pause
from app.store.records import to_datetime
from app.store.scripts import Scripts

# A way whose probe was not repeated for so long is no worker's any more.
FORGOTTEN_PROBE_MS = 5 * 60_000


class Overviews:
    """The overview that the command line and ``/metrics`` read."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def overview(self) -> Overview:
        """Read the overview. Raises ``StoreUnavailable`` where Redis did not confirm."""
        reply = self._scripts.run("overview", {}, acknowledge=False)
        waiting, calling, held, failed, unreadable, workers, waited_ms, *rest = reply
        pause_ms, denied_ms, now_ms, flat = rest
        gate = dict(zip(flat[::2], flat[1::2], strict=True))
        # The first take of a worker fills the gate, and nothing empties it.
        is_used = any((gate, waiting, calling, held, failed))
        return Overview(
            waiting=waiting,
            calling=calling,
            held=held,
            failed=failed,
            unreadable=unreadable,
            workers=workers,
            oldest_waiting_seconds=waited_ms / 1000,
            breaker=gate.get("state", "closed"),
            breaker_reason=gate.get("reason"),
            paused_seconds=pause_ms / 1000,
            denied_since=to_datetime(denied_ms) if denied_ms else None,
            pause=_pause(gate),
            failing_probes=tuple(_failing_probes(gate, now_ms)),
            stale_answers=int(gate.get("stale_answers", 0)),
            is_used=is_used,
        )

    def min_replicas_acked(self) -> int:
        """Return how many replicas confirm what workers write, as workers are set.

        Raises ``StoreUnavailable``.
        """
        reply = self._scripts.run("overview", {}, acknowledge=False)
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
