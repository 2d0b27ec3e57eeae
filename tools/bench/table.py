"""Measured values, their limits, and the table that shows both."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

TIMES = "\N{MULTIPLICATION SIGN}"
HEADINGS = ("what", "against", "median", "spread", "must reach", "aim", "reached", "as measured")


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One row: ``values`` has one value for each round.

    ``must`` and ``aim`` are lower limits or, if ``is_most``, upper limits; None: no limit.
    ``note`` has the figures behind the values.
    """

    what: str
    against: str
    values: tuple[float, ...]
    unit: str = TIMES
    must: float | None = None
    aim: float | None = None
    is_most: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        """Return the median, which the limits apply to."""
        return median(self.values)

    @property
    def verdict(self) -> str:
        """Compare the median with the limits; empty if the row has none."""
        if self.aim is not None and self._is_met(self.aim):
            return "yes, the aim"
        if self.must is None:
            return "" if self.aim is None else "no, the aim"
        return "yes" if self._is_met(self.must) else "NO"

    @property
    def worth(self) -> float | None:
        """Return the ratio of the median to its limit; None without a limit."""
        return self.worth_of(self.median)

    def worth_of(self, value: float | None) -> float | None:
        """Return the ratio of another value to the limit."""
        if self.must is None or value is None:
            return None
        return self.must / value if self.is_most else value / self.must

    def shown(self, value: float | None) -> str:
        """Format a value with its unit."""
        if value is None:
            return ""
        digits = 2 if self.unit == TIMES else 0 if value >= 10 or isinstance(value, int) else 1
        return f"{value:.{digits}f} {self.unit}".rstrip()

    def _is_met(self, limit: float) -> bool:
        return self.median <= limit if self.is_most else self.median >= limit


@dataclass(frozen=True)
class BrokenMeasure:
    """A measure that could not be made, and why."""

    what: str
    why: str


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Divide ours by theirs, round by round: both were measured side by side."""
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


def render(rows: Sequence[BenchRow], broken: Sequence[BrokenMeasure] = ()) -> str:
    """Format the table as text, and the broken measures below it."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*table, *(f"NOT MEASURED: {one.what}: {one.why}" for one in broken)])


def markdown(rows: Sequence[BenchRow]) -> str:
    """Format the table as Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: BenchRow) -> tuple[str, ...]:
    sign = "≤ " if row.is_most else "≥ "
    spread = f"{row.shown(min(row.values))} to {row.shown(max(row.values))}"
    must, aim = ("" if limit is None else sign + row.shown(limit) for limit in (row.must, row.aim))
    return (
        row.what,
        row.against,
        row.shown(row.median),
        spread,
        must,
        aim,
        row.verdict,
        row.note,
    )
