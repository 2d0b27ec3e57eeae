"""Notices that events are settled or held: one subscription for a whole process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import gevent
import structlog
from gevent.event import Event
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.store.client import COMMAND_SECONDS, RedisClient, deadline
from app.store.keys import Keys

log = structlog.get_logger("relay.notices")

RECONNECT_SECONDS = 0.5
# After so long without a message the server is sent a PING; after twice as long the line is lost.
SILENT_SECONDS = 5.0
TICK_SECONDS = 1.0


class Notices:
    """Subscribes to ``{relay}:settled``, and wakes the greenlets that wait for an event.

    While the subscription stands nothing polls: a notice wakes, and so does a new subscription,
    since notices before it were missed. While it is lost every waiter looks each
    ``RECONNECT_SECONDS``.
    """

    def __init__(
        self, client: RedisClient, keys: Keys, *, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self._client = client
        self._channel = keys.settled
        self._silent_seconds = silent_seconds
        self._waiting: dict[str, set[Event]] = {}
        self._has_begun = False
        self.is_lost = False

    @contextmanager
    def watch(self, event_id: str) -> Iterator[Event]:
        """Register for ``event_id``, before it is accepted, so that no notice is missed."""
        if not self._has_begun:  # in this process, after any fork
            self._has_begun = True
            gevent.spawn(self._listen)
            gevent.spawn(self._wake_while_lost)
        notice = Event()
        self._waiting.setdefault(event_id, set()).add(notice)
        try:
            yield notice
        finally:
            self._waiting[event_id].remove(notice)
            if not self._waiting[event_id]:
                del self._waiting[event_id]

    @property
    def watched(self) -> int:
        """The number of events that are waited for."""
        return len(self._waiting)

    def _listen(self) -> NoReturn:
        while True:
            try:
                self._follow_subscription()
            except Exception as error:  # noqa: BLE001 - without a listener every wait takes its time
                if not self.is_lost:
                    log.warning("notices_lost", reason=str(error))
                self.is_lost = True
            gevent.sleep(RECONNECT_SECONDS)

    def _wake_while_lost(self) -> NoReturn:
        # A greenlet of its own: connecting anew may take as long as a command.
        while True:
            gevent.sleep(RECONNECT_SECONDS)
            if self.is_lost:
                self._wake_all()

    def _follow_subscription(self) -> None:
        """Wake waiters until a command meets a fail-over. Raises where the line is lost."""
        generation = self._client.generation
        with deadline(COMMAND_SECONDS):
            subscription = self._client.open_subscription(self._channel)
        try:
            received_at = time.monotonic()
            while self._client.generation == generation:
                gevent.sleep(0)  # a flood of notices is read without any wait
                try:
                    kind, *rest = subscription.read_response(
                        timeout=TICK_SECONDS, disconnect_on_error=False
                    )
                except RedisTimeoutError:
                    silent_seconds = time.monotonic() - received_at
                    if silent_seconds > 2 * self._silent_seconds:
                        raise
                    if silent_seconds > self._silent_seconds:
                        subscription.send_command("PING")
                    continue
                received_at = time.monotonic()
                if kind == "subscribe":
                    self.is_lost = False
                    self._wake_all()
                elif kind == "message":
                    self._wake(rest[1])
        finally:
            subscription.disconnect()

    def _wake(self, event_id: str) -> None:
        for notice in self._waiting.get(event_id, ()):
            notice.set()

    def _wake_all(self) -> None:
        for notices in self._waiting.values():
            for notice in notices:
                notice.set()
