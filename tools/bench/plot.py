"""Plot of each row against its limit, run in the peers' environment for matplotlib.

``python plot.py FILE`` reads the rows as JSON from stdin.
"""

import json
import sys
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

BAR_INCHES = 0.3
ENOUGH, SHORT, AIM = "#4878a8", "#c44e52", "#222222"


def draw(rows: list[dict[str, Any]], path: str) -> None:
    """Write the plot: a bar for each row, a line at the limit, a mark at the aim."""
    mpl.rcParams["svg.hashsalt"] = "relay"  # the same rows give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(9, 1 + BAR_INCHES * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [row["name"] + _beside(row["against"]) for row in rows]
    colours = [ENOUGH if row["worth"] >= 1 else SHORT for row in rows]
    axes.barh(names, [row["worth"] for row in rows], color=colours, height=0.6)
    aims = [(row["aim"], name) for row, name in zip(rows, names, strict=True) if row["aim"]]
    axes.plot(*zip(*aims, strict=True), "|", color=AIM, markersize=11, label="aim")
    axes.axvline(1, color=AIM, linewidth=1, label="must be reached")
    axes.invert_yaxis()
    axes.set_xlabel("times as good as it must be")
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, metadata={"Date": None})


def _beside(against: str) -> str:
    return f" / {against}" if against else ""


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
