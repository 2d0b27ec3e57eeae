"""Writer of ``docs/benchmarks.md``: the machine, the table and the plot."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tools.bench.table import BenchRow, BrokenMeasure, markdown
from tools.stack.relay import ROOT
from tools.stack.valkey import find_binary

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "benchmarks.svg"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
PACKAGES = ("gunicorn", "gevent", "flask", "redis", "requests")
_PLOTTER = Path(__file__).with_name("plot.py")


def write(
    rows: Sequence[BenchRow],
    broken: Sequence[BrokenMeasure],
    programs: Path,
    *,
    rounds: int,
    is_quick: bool,
) -> None:
    """Write the rows and the broken measures between the marks, and draw the plot."""
    how = " of --quick: short and small, only a hint" if is_quick else ""
    plot = f"![How many times as good as it must be]({PLOT.name})"
    missing = "".join(f"\n\nNot measured: {one.what}: {one.why}" for one in broken)
    measured = f"{_machine()} {rounds} rounds{how}.\n\n{markdown(rows)}{missing}\n\n{plot}\n"
    DOCUMENT.write_text(replace_measured(DOCUMENT.read_text(), measured))
    bars = [
        {"name": row.what, "against": row.against, "worth": row.worth, "aim": row.worth_of(row.aim)}
        for row in rows
        if row.worth is not None
    ]
    command = [str(programs / "python"), str(_PLOTTER), str(PLOT)]
    subprocess.run(command, input=json.dumps(bars), text=True, check=True)


def replace_measured(document: str, measured: str) -> str:
    """Return the document with ``measured`` between its marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{measured}\n{END}{after}"


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores of {_processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, {_valkey()}, {packages}."
    )


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _valkey() -> str:
    output = subprocess.run(
        [str(find_binary()), "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"v=([\d.]+)", output)
    return f"Valkey {found[1]}" if found else "Valkey"
