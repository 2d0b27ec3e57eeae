"""How the relay stands, read at once."""

from app.chats.overview import Overview
from app.store.scripts import Scripts


class Overviews:
    """What the operator and ``/metrics`` ask for."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def overview(self) -> Overview:
        """How the relay stands. Raises ``StoreUnavailable`` where Redis did not confirm."""
        reply = self._scripts.run("overview", {}, acknowledge=False)
        waiting, calling, held, failed, waited_ms, pause_ms, flat = reply
        gate = dict(zip(flat[::2], flat[1::2], strict=True))
        return Overview(
            waiting=waiting,
            calling=calling,
            held=held,
            failed=failed,
            oldest_waiting_seconds=waited_ms / 1000,
            breaker=gate.get("state", "closed"),
            breaker_reason=gate.get("reason"),
            paused_seconds=pause_ms / 1000,
        )
