"""One request to Channel.io, shared by the caller that waits and the thread that speaks.

The thread cannot be stopped while it resolves a name or waits for a socket, so the caller does not
wait for the thread but for the deadline. Whether the request went out is decided under one lock:
either the thread says "I begin" first, or the caller gives up first, and then it never begins.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from socket import SHUT_RDWR, socket
from threading import Event, Lock


@dataclass(frozen=True, slots=True)
class Answer:
    """What Channel.io said; ``body`` is ``None`` unless it came as announced.

    Headers and body may hold personal data, so they stay out of ``repr``.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: whether bytes of it went out, and what is known of the answer.

    ``fault`` is the class name of what broke the call, ``None`` if nothing broke in time.
    """

    sent: bool
    answer: Answer | None = None
    fault: str | None = None


class TooLate(Exception):
    """The deadline has passed or the caller has given up, so nothing may be sent."""


class Call:
    """The right to send one request until ``deadline`` (seconds on ``time.monotonic``)."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._lock = Lock()
        self._over = Event()
        self._ending = Ending(sent=False)
        self._given_up = False
        self._line: socket | None = None

    @property
    def remaining_seconds(self) -> float:
        """How long the call may still take; zero or less once it is too late."""
        return self._deadline - time.monotonic()

    def run(self, speak: Callable[["Call"], None]) -> None:
        """Speak with Channel.io, in the thread; whatever breaks becomes the call's fault."""
        fault = None
        try:
            speak(self)
        except Exception as error:  # noqa: BLE001 - a lost exception would be a lost call
            fault = _root_cause(error)
        with self._lock:
            self._ending = replace(self._ending, fault=fault)
            self._drop_line()
        self._over.set()

    def watch(self, line: socket) -> None:
        """Have ``line`` shut down when the caller gives up.

        A duplicate is kept, so that a descriptor that the thread closes, and another call gets,
        cannot be hit.
        """
        duplicate = line.dup()
        with self._lock:
            self._line = duplicate

    def begin(self) -> None:
        """Record that bytes go out from here on; raises ``TooLate`` if they must not."""
        with self._lock:
            if self._given_up or self.remaining_seconds <= 0:
                raise TooLate
            self._ending = Ending(sent=True)

    def hear(self, answer: Answer) -> None:
        """Keep the answer as far as it is known."""
        with self._lock:
            self._ending = replace(self._ending, answer=answer)

    def wait(self) -> Ending:
        """Return when the thread is done or the deadline has passed, whichever is first.

        Nothing is sent after that.
        """
        self._over.wait(self.remaining_seconds)
        with self._lock:
            self._given_up = True
            self._hang_up()
            return self._ending

    def _hang_up(self) -> None:
        """Wake the thread out of whatever it waits for on the socket."""
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(SHUT_RDWR)

    def _drop_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _root_cause(error: BaseException) -> str:
    """The class name only: the text of an exception may quote headers or the answer."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return type(error).__name__
