"""State of one request: its deadline, if bytes were sent, and its response."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field


class TooLateError(Exception):
    """The deadline has passed: nothing may be sent."""


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """Channel.io's answer; ``body`` is ``None`` unless it came whole.

    ``charset`` is the one that ``Content-Type`` names, or the default of its type.
    Headers and body may hold personal data, so they stay out of ``repr``.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    charset: str | None = None


@dataclass(slots=True)
class CallContext:
    """All requests of one grant, until ``deadline``, in seconds on ``time.monotonic``.

    ``traceparent`` names the call to Channel.io: https://www.w3.org/TR/trace-context/
    ``requests`` counts those that were sent.
    """

    deadline: float
    traceparent: str | None = None
    requests: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """The headers that each request has besides."""
        return {} if self.traceparent is None else {"traceparent": self.traceparent}


@dataclass(slots=True)
class CallAttempt:
    """The right to send one request until ``deadline``, in seconds on ``time.monotonic``.

    ``is_sent``: bytes of the request were handed to a socket that leads to Channel.io.
    ``is_at_proxy``: a proxy is connected to, and has not opened the way yet; ``proxy_status`` is
    what it refused a tunnel with. ``response``: the answer as far as
    it has come; kept here the moment it is there, so that no later error loses it. ``error_class``:
    the class name of what broke the attempt, or ``None``; the text may quote headers or the answer.
    """

    deadline: float
    is_sent: bool = False
    is_at_proxy: bool = False
    proxy_status: int | None = None
    response: UpstreamResponse | None = None
    error_class: str | None = None

    @property
    def seconds_left(self) -> float:
        """The time until the deadline; zero or less once it has passed."""
        return self.deadline - time.monotonic()

    def check_deadline(self) -> None:
        """Raise ``TooLateError`` once the deadline has passed."""
        if self.seconds_left <= 0:
            raise TooLateError

    def mark_sent(self) -> None:
        """Record that bytes are about to be sent. Raises ``TooLateError`` after the deadline.

        I2: while a process stands still no timer fires, so the clock is read right before each
        send, that of a body too: half a request is never executed.
        """
        self.check_deadline()
        self.is_sent = True
