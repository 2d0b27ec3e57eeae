"""Tells who waits for an event that it is settled or held: one subscriber for a whole process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

import structlog
from redis.client import PubSub

from app.store.client import Client
from app.store.connect import MAX_BLOCK_SECONDS
from app.store.keys import Keys

log = structlog.get_logger("relay.notices")

RECONNECT_SECONDS = 0.5
# A notice may be lost: so often whoever waits looks by itself, whether or not the line stands.
LOOK_SECONDS = 0.5
# After so long without a word the server is asked for one; after twice as long the line is dead.
SILENT_SECONDS = 5.0


class Notices:
    """Listens to ``{relay}:settled``. A notice may be lost: look, wait, and look again."""

    def __init__(
        self, blocking_client: Client, keys: Keys, *, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self._client = blocking_client
        self._silent_seconds = silent_seconds
        self._channel = keys.settled
        self._lock = Lock()
        self._waiting: dict[str, list[Event]] = {}
        self._has_begun = False
        self.is_lost = False  # the line; said once, and until it stands again nobody hears anything

    @contextmanager
    def watch(self, event_id: str) -> Iterator["Notice"]:
        """Register for ``event_id``, before it is accepted, so that no notice is missed."""
        self._begin()
        bell = Event()
        with self._lock:
            self._waiting.setdefault(event_id, []).append(bell)
        try:
            yield Notice(bell)
        finally:
            with self._lock:
                self._waiting[event_id].remove(bell)
                if not self._waiting[event_id]:
                    del self._waiting[event_id]

    @property
    def watched(self) -> int:
        """How many events somebody waits for."""
        return len(self._waiting)

    def _begin(self) -> None:
        """Start listening with the first who waits: in this process, after any fork."""
        with self._lock:
            if not self._has_begun:
                self._has_begun = True
                Thread(target=self._listen, name="notices", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                with self._client.pubsub() as subscriber:
                    subscriber.subscribe(self._channel)
                    self._hear(subscriber)
            except Exception as error:  # noqa: BLE001 - without a listener every wait takes longer
                self._say_lost(error)
                self._client.look_again()
            time.sleep(RECONNECT_SECONDS)

    def _hear(self, subscriber: PubSub) -> None:
        heard_at = time.monotonic()
        while True:
            message = subscriber.get_message(timeout=MAX_BLOCK_SECONDS)
            silent_seconds = time.monotonic() - heard_at
            if message is not None:
                heard_at = time.monotonic()
                self._take_in(message)
            elif silent_seconds > 2 * self._silent_seconds:
                raise ConnectionError("the subscription is silent")
            elif silent_seconds > self._silent_seconds:
                subscriber.ping()

    def _take_in(self, message: dict[str, str]) -> None:
        if message["type"] == "subscribe":
            self.is_lost = False
        elif message["type"] == "message":
            with self._lock:
                for bell in self._waiting.get(message["data"], ()):
                    bell.set()

    def _say_lost(self, error: Exception) -> None:
        if not self.is_lost:
            log.warning("notices_lost", reason=str(error))
        self.is_lost = True


class Notice:
    """What one waiter holds."""

    def __init__(self, bell: Event) -> None:
        self._bell = bell

    def wait(self, seconds: float) -> None:
        """Return when it is time to look at the event again, after ``seconds`` at the latest."""
        self._bell.wait(min(seconds, LOOK_SECONDS))
        self._bell.clear()
