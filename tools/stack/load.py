"""Clients that post events during a fault."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import requests

from tools.stack.processes import wait_until
from tools.stack.relay import Json, RelayClient

CALLERS = 4
TEXT = "a text that only its key and the chat may have"
_names = count()
PAUSE_SECONDS = 0.05


def plain_event(name: str) -> Json:
    """Build an event without tasks, of a user of its own."""
    return {"event_id": f"e-{name}", "user_id": f"u-{name}"}


def event_with_tasks(name: str) -> Json:
    """Build an event with all tasks, of a member of its own."""
    message = {"text": f"{TEXT}: {name}"}
    return {"event_id": f"e-{name}", "member_id": f"m-{name}", "message": message, "open": True}


class EventPoster:
    """Threads that post one event after the other, each until it is accepted.

    ``refusals`` are the answers that accept no event; ``slowest_seconds`` is the longest time to an
    answer. ``event_of`` builds an event from a name.
    """

    def __init__(
        self,
        caller: RelayClient,
        pause_seconds: float = PAUSE_SECONDS,
        *,
        event_of: Callable[[str], Json] = plain_event,
    ) -> None:
        """Start the threads."""
        self._event_of = event_of
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
        """Return the status and ``Retry-After`` of the refusals."""
        return {(answer.status_code, answer.headers.get("Retry-After")) for answer in self.refusals}

    def wait_for_more(self) -> None:
        """Return once 20 more events were accepted. Raises TimeoutError."""
        wanted = self.accepted + 5 * CALLERS
        wait_until(lambda: self.accepted >= wanted, 30, "events to be accepted")

    def stop(self) -> None:
        """Post no further event; refused posts are repeated until accepted."""
        self._over.set()

    def end(self) -> None:
        """Wait until each thread has finished its event; raise the first error of a thread."""
        self.stop()
        for caller in self._running:
            caller.result()

    def _post_events(self) -> None:
        while not self._over.is_set():
            self._post_until_accepted(f"load{next(_names)}")

    def _post_until_accepted(self, name: str) -> None:
        event = self._event_of(name)
        while not (response := self._post(event)).ok:
            self.refusals.append(response)
            time.sleep(self._pause_seconds)
        self.accepted += 1
        self._over.wait(self._pause_seconds)

    def _post(self, event: Json) -> requests.Response:
        began = time.monotonic()
        response = self._caller.post(event)
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
        return response
