"""Callers that go on posting while something breaks."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import requests

from tools.stack.processes import wait_until
from tools.stack.relay import RelayClient

CALLERS = 4
_names = count()
PAUSE_SECONDS = 0.05


class EventPoster:
    """Callers that post one event after the other, each until it is accepted.

    ``refusals`` are the 503 answers; ``slowest_seconds`` is how long any of
    them ever had to wait for one answer.
    """

    def __init__(self, caller: RelayClient, pause_seconds: float = PAUSE_SECONDS) -> None:
        """Begin."""
        self.accepted = 0
        self.refusals: list[requests.Response] = []
        self.slowest_seconds = 0.0
        self._caller = caller
        self._pause_seconds = pause_seconds
        self._over = Event()
        self._pool = ThreadPoolExecutor(CALLERS)
        self._running = [self._pool.submit(self._post_events) for _ in range(CALLERS)]

    @property
    def answers(self) -> set[tuple[int, str | None]]:
        """With which status, and which ``Retry-After``, callers were refused."""
        return {(answer.status_code, answer.headers.get("Retry-After")) for answer in self.refusals}

    def wait_for_more(self) -> None:
        """Return once some more events were accepted. Raises TimeoutError."""
        wanted = self.accepted + 5 * CALLERS
        wait_until(lambda: self.accepted >= wanted, 30, "events to be accepted")

    def stop(self) -> None:
        """Post no further event; refused posts are repeated until accepted."""
        self._over.set()

    def end(self) -> None:
        """Let each caller finish its event; raises what any of them raised."""
        self.stop()
        for caller in self._running:
            caller.result()

    def _post_events(self) -> None:
        while not self._over.is_set():
            self._post_until_accepted(f"load{next(_names)}")

    def _post_until_accepted(self, name: str) -> None:
        event = {"event_id": f"e-{name}", "user_id": f"u-{name}"}
        while not (response := self._post(event)).ok:
            self.refusals.append(response)
            time.sleep(self._pause_seconds)
        self.accepted += 1
        self._over.wait(self._pause_seconds)

    def _post(self, event: dict[str, str]) -> requests.Response:
        began = time.monotonic()
        response = self._caller.post(event)
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
        return response
