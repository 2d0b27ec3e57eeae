"""W3C trace context: parse and format ``traceparent``. https://www.w3.org/TR/trace-context/"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

# Version 00 is exactly this; a later one may go on after the flags, and is understood so far.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span_id>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """One step of a trace: all steps share ``trace_id``, and each has a ``span_id`` of its own.

    ``parent_id`` is the step that led to this one, if it is known. ``is_sampled``: whether the
    system that began the trace records it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    is_sampled: bool = True

    @classmethod
    def from_traceparent(cls, traceparent: str | None) -> "Trace":
        """Return a step after the one that ``traceparent`` names, or the first of a new trace."""
        named = traceparent and _TRACEPARENT.fullmatch(traceparent)
        if not named or (named["version"] == "00" and named["rest"]):
            return cls(f"{_random_id(128):032x}", f"{_random_id(64):016x}")
        is_sampled = bool(int(named["flags"], 16) & SAMPLED)
        return cls(named["trace_id"], f"{_random_id(64):016x}", named["span_id"], is_sampled)

    @property
    def traceparent(self) -> str:
        """The header's value, which names this step to the next one."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


@dataclass(frozen=True, slots=True)
class Span:
    """A step that is over, for a trace collector; times are Unix time, in seconds.

    ``kind`` is the relay's side of the request. ``attributes`` have the names of
    https://opentelemetry.io/docs/specs/semconv/ or begin with ``relay.``; none holds personal data.
    """

    trace: Trace
    name: str
    kind: Literal["server", "client"]
    began_at: float
    ended_at: float
    attributes: Mapping[str, str | int]
    has_failed: bool


# Takes a span that is over. It returns at once, and raises nothing.
ExportSpan = Callable[[Span], None]


def _random_id(bits: int) -> int:
    """Return a random id that is not zero; it is no secret."""
    return random.getrandbits(bits) or 1
