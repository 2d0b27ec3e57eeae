"""Faults of a worker's parts, as a test plans them for a process of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class StoreFault(StrEnum):
    """A fault around one call of the store."""

    NONE = "none"
    LOSE = "lose"  # the reply, or the command where it comes before the call
    BREAK = "break"  # raises what is expected nowhere
    END_GREENLET = "end greenlet"
    STOP = "stop"  # SIGTERM to the own process
    DELAY = "delay"  # for a bit more than half of a second
    HANG = "hang"


class Stall(StrEnum):
    """A target that blocks while a file of that name is in the plan's ``stalls``."""

    LOG = "log"  # lines of calls are not taken within a second
    DISK = "disk"  # syncs hang
    REDIS = "redis"  # no command is confirmed


@dataclass(frozen=True, slots=True)
class Plan:
    """Faults before and after the calls of the store, by their names, one after the other.

    A take is named by its decision, ``grant``, ``probe`` or ``wait``; before it, ``take``.
    """

    stalls: str
    before: Mapping[str, Sequence[StoreFault]] = field(default_factory=dict)
    after: Mapping[str, Sequence[StoreFault]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read it."""
        return cls(**json.loads(text))

    def is_stalled(self, stall: Stall) -> bool:
        """Return whether it takes nothing now."""
        return (Path(self.stalls) / stall).exists()
