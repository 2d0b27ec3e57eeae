"""``make bench``: benchmarks of the relay and its alternatives, in one table.

Contenders take turns, so other load on the machine affects all of them; the median of the turns'
ratios counts. The exit code is 1 if a row misses its limit, or could not be measured.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.bench import drain, growth, intake, memory, wait, waiters
from tools.bench.document import write
from tools.bench.load import Invalid, require_wrk
from tools.bench.scene import BenchRun, Measure
from tools.bench.table import BenchRow, BrokenMeasure, render

MODULES = (intake, wait, waiters, drain, growth, memory)
LEAST_ROUNDS = 3
PEERS = Path(f"{sys.prefix}-bench") / "bin"


def main(measures: Sequence[Measure], arguments: Sequence[str]) -> int:
    """Run the chosen ``measures``, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.write and options.only:
        _print("--write needs the whole table; leave --only out")
        return 2
    chosen = [one for one in measures if options.only.lower() in one.name.lower()]
    if not chosen:
        _print(f"no measure has {options.only!r} in its name")
        return 1
    rows: list[BenchRow] = []
    broken: list[BrokenMeasure] = []
    for measure in chosen:
        match _make(measure, options):
            case BrokenMeasure() as failure:
                broken.append(failure)
            case made:
                rows.extend(made)
    _print(f"\n{render(rows, broken)}")
    if options.write:
        write(rows, broken, PEERS, rounds=options.rounds, is_quick=options.quick)
    return int(bool(broken) or any(row.verdict == "NO" for row in rows))


def all_measures() -> list[Measure]:
    """Return all measures, in the order of the table."""
    return [measure for module in MODULES for measure in module.measures()]


def _make(measure: Measure, options: argparse.Namespace) -> list[BenchRow] | BrokenMeasure:
    _print(f"{measure.name} …", end="")
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="relay-bench-"))
    scene = BenchRun(directory, PEERS, options.rounds, is_quick=options.quick)
    try:
        require_wrk()
        rows = measure.run(scene)
    except (Invalid, TimeoutError) as error:
        _print(f" could not be measured; logs are in {directory}")
        return BrokenMeasure(measure.name, str(error))
    shutil.rmtree(directory, ignore_errors=True)
    _print(f" {time.monotonic() - began:.0f} s")
    return rows


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return rounds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.bench", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="WORD", help="only measures with WORD in their name"
    )
    parser.add_argument("--rounds", type=_rounds, default=LEAST_ROUNDS, help="default: 3")
    parser.add_argument("--quick", action="store_true", help="short and small, for a trial")
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md and its plot"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(all_measures(), sys.argv[1:]))
