"""The plot of the last hour: a row of bars for each count, a bar for each minute."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.store.relay_stats import MinuteCounts

MINUTES = 60
BAR_WIDTH = 10
HEIGHT = 40
COUNTS = ("accepted", "opened", "failed", "unknown")


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of one minute, in units of the drawing; ``title`` is shown when it is pointed at."""

    x: int
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class PlotRow:
    """The bars of one count, its sum, and the most in a minute, which fills the height."""

    name: str
    total: int
    peak: int
    bars: list[Bar]


def draw_rows(minutes: Sequence[MinuteCounts]) -> list[PlotRow]:
    """Draw the rows; a minute without an event has no bar."""
    return [_draw_row(name, minutes) for name in COUNTS]


def _draw_row(name: str, minutes: Sequence[MinuteCounts]) -> PlotRow:
    counts = [getattr(minute, name) for minute in minutes]
    peak = max(counts, default=0)
    bars = []
    for place, (minute, count) in enumerate(zip(minutes, counts, strict=True)):
        if count:
            height = max(HEIGHT * count / peak, 1)  # one among thousands is seen, too
            title = f"{minute.at:%H:%M}: {count} {name}"
            bars.append(Bar(place * BAR_WIDTH, HEIGHT - height, height, title))
    return PlotRow(name, sum(counts), peak, bars)
