"""Barrier that holds requests of the stand-in until the test releases them."""

import threading
from enum import StrEnum, auto


class Withheld(StrEnum):
    """The part of an answer that waits for a release: all of it, or what follows its head."""

    ANSWER = auto()
    BODY = auto()


class Barrier:
    """Holds requests until the next ``release``, or until ``stopping`` is set."""

    def __init__(self, stopping: threading.Event) -> None:
        """Start with no request waiting."""
        self._stopping = stopping
        self._changed = threading.Condition()
        self._releases = 0
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Return how many requests wait now."""
        return self._waiting

    def wait(self) -> None:
        """Return at the next ``release``. Raises ConnectionAbortedError at a stop."""
        with self._changed:
            mine = self._releases
            self._waiting += 1
            self._changed.wait_for(lambda: self._releases > mine or self._stopping.is_set())
            if self._releases == mine:
                self._waiting -= 1
                raise ConnectionAbortedError

    def release(self) -> None:
        """Release all waiting requests."""
        with self._changed:
            self._releases += 1
            # A thread that wakes late would count as a held request of the next test.
            self._waiting = 0
            self._changed.notify_all()

    def wake(self) -> None:
        """Wake waiting requests so that they see ``stopping``."""
        with self._changed:
            self._changed.notify_all()
