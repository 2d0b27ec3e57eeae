"""What a proof is, what it found out, and the table that shows all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one proof found: every event is accounted for, and `faults` says what broke a promise.

    `faults` are sentences of the oracle, and none is good. `recovery_seconds` is from the end of
    the trouble until everything was settled, and None where that is not meant.
    """

    name: str
    times: int
    accepted: int
    opened: int
    failed: int
    unknown: int
    created_twice: int
    lost: int
    recovery_seconds: float | None = None
    faults: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Proof:
    """One thing that is broken, in plain words, and what breaks it and looks at what came of it.

    `run` gets a directory of its own and a seeded random. A short proof runs in `.ci/run` too.
    """

    name: str
    run: Callable[[Path, Random], Row]
    is_short: bool
