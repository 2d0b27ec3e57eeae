"""Counts of events and the gate, read by one script."""

from app.chats.overview import Overview
from app.store.scripts import Scripts


class Overviews:
    """The overview that the command line and ``/metrics`` read."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def overview(self) -> Overview:
        """Read the overview. Raises ``StoreUnavailable`` where Redis did not confirm."""
        reply = self._scripts.run("overview", {}, acknowledge=False)
        waiting, calling, held, failed, unreadable, waited_ms, pause_ms, flat = reply
        gate = dict(zip(flat[::2], flat[1::2], strict=True))
        return Overview(
            waiting=waiting,
            calling=calling,
            held=held,
            failed=failed,
            unreadable=unreadable,
            oldest_waiting_seconds=waited_ms / 1000,
            breaker=gate.get("state", "closed"),
            breaker_reason=gate.get("reason"),
            paused_seconds=pause_ms / 1000,
        )
