"""Proofs, their findings, and the table that shows them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random


@dataclass(frozen=True, kw_only=True)
class ProofRow:
    """Result of one proof: counts of events, and ``faults`` that broke a promise.

    `faults` are sentences, empty if every promise held. `recovery_seconds` is the time from the end
    of the trouble until everything was settled; None if it was not measured. `times` is 0 if the
    proof could not run; `note` has the reason.
    """

    name: str
    times: int
    accepted: int = 0
    opened: int = 0
    failed: int = 0
    unknown: int = 0
    created_twice: int = 0
    lost: int = 0
    recovery_seconds: float | None = None
    faults: tuple[str, ...] = ()
    note: str = ""

    def with_faults(self, faults: Iterable[str]) -> "ProofRow":
        """Return the row with further faults."""
        return replace(self, faults=(*self.faults, *faults))


@dataclass(frozen=True)
class Proof:
    """A named fault, and the function that causes it and checks the result.

    `run` gets a directory of its own and a seeded random. `.ci/run` runs short proofs only.
    """

    name: str
    run: Callable[[Path, Random], ProofRow]
    is_short: bool


HEADINGS = (
    "what was broken",
    "times",
    "accepted",
    "opened",
    "failed",
    "unknown",
    "created twice",
    "lost",
    "recovered in",
)


def render(rows: Sequence[ProofRow]) -> str:
    """Format the table, and the sentences of all faults below it."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    table.insert(1, "  ".join("-" * width for width in widths))
    faults = [f"FAULT in {row.name!r}: {fault}" for row in rows for fault in row.faults]
    return "\n".join([*table, *([""] if faults else []), *faults])


def _cells(row: ProofRow) -> tuple[str, ...]:
    recovery = "" if row.recovery_seconds is None else f"{row.recovery_seconds:.1f} s"
    counts = (row.times, row.accepted, row.opened, row.failed, row.unknown)
    numbers = (*counts, row.created_twice, row.lost)
    name = f"{row.name} ({row.note})" if row.note else row.name
    return (name, *map(str, numbers), recovery)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Align the name to the left, and numbers to the right."""
    name, *numbers = line
    return [
        name.ljust(widths[0]),
        *(number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)),
    ]
