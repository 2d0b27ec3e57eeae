"""Tells who waits for an event that it is settled or held: one subscriber for a whole process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

import structlog
from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

from app.store.connect import MAX_BLOCK_SECONDS, look_again
from app.store.keys import Keys

log = structlog.get_logger("relay.notices")

RECONNECT_SECONDS = 0.5
# While nobody tells, and in case a notice was lost: how often whoever waits looks by itself.
POLL_SECONDS = 0.5
PING_SECONDS = 5.0


class Notices:
    """Listens to ``{relay}:settled``. A notice may be lost: look, wait, and look again."""

    def __init__(self, blocking_client: Redis, keys: Keys) -> None:
        self._client = blocking_client
        self._channel = keys.settled
        self._lock = Lock()
        self._waiting: dict[str, list[Event]] = {}
        self._is_listening = False
        self._has_begun = False

    @contextmanager
    def watch(self, event_id: str) -> Iterator["Notice"]:
        """Register for ``event_id``, before it is accepted, so that no notice is missed."""
        self._begin()
        bell = Event()
        with self._lock:
            self._waiting.setdefault(event_id, []).append(bell)
        try:
            yield Notice(self, bell)
        finally:
            with self._lock:
                self._waiting[event_id].remove(bell)
                if not self._waiting[event_id]:
                    del self._waiting[event_id]

    @property
    def is_listening(self) -> bool:
        """Whether notices come at this moment."""
        return self._is_listening

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
            except (RedisError, OSError) as error:
                self._is_listening = False
                log.warning("notices_lost", reason=str(error))
                look_again(self._client)
            # What was told meanwhile was missed: everybody looks.
            self._wake(list(self._waiting))
            time.sleep(RECONNECT_SECONDS)

    def _hear(self, subscriber: PubSub) -> None:
        heard_at = time.monotonic()
        while True:
            message = subscriber.get_message(timeout=MAX_BLOCK_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard_at = now
                self._take_in(message)
            elif now - heard_at > 2 * PING_SECONDS:
                raise ConnectionError("the subscription is silent")
            elif now - heard_at > PING_SECONDS:
                subscriber.ping()

    def _take_in(self, message: dict[str, str]) -> None:
        if message["type"] == "subscribe":
            self._is_listening = True
            self._wake(list(self._waiting))
        elif message["type"] == "message":
            self._wake([message["data"]])

    def _wake(self, event_ids: list[str]) -> None:
        with self._lock:
            for event_id in event_ids:
                for bell in self._waiting.get(event_id, ()):
                    bell.set()


class Notice:
    """What one waiter holds."""

    def __init__(self, notices: Notices, bell: Event) -> None:
        self._notices = notices
        self._bell = bell

    def wait(self, seconds: float) -> None:
        """Return when it is time to look at the event again, after ``seconds`` at the latest."""
        self._bell.wait(seconds if self._notices.is_listening else min(seconds, POLL_SECONDS))
        self._bell.clear()
