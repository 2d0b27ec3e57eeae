"""``make prove``: fault proofs, and one table of their results.

The exit code is 1 if any promise was broken. ``--seed`` repeats a run's choices, not its timing.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom

from tools.prove import (
    clocks,
    crashes,
    edges,
    ha,
    model,
    old_primary,
    outages,
    rate,
    redis_faults,
    tasks,
    virtual,
)
from tools.prove.table import Proof, ProofRow, render

MODULES = (
    outages,
    rate,
    redis_faults,
    ha,
    old_primary,
    edges,
    clocks,
    crashes,
    tasks,
    model,
    virtual,
)


def main(proofs: Sequence[Proof], arguments: Sequence[str]) -> int:
    """Run the chosen ``proofs``, and return the exit code."""
    options = _parser().parse_args(arguments)
    chosen = [proof for proof in proofs if _is_chosen(proof, options)]
    if not chosen:
        _print(f"no proof has {options.only!r} in its name")
        return 1
    rows = [_run(proof, options.seed) for proof in chosen]
    _print(f"\n{render(rows)}\n\nseed {options.seed}")
    return int(any(row.faults for row in rows))


def all_proofs() -> list[Proof]:
    """Return all proofs, in the order of the table."""
    return [proof for module in MODULES for proof in module.proofs()]


def _is_chosen(proof: Proof, options: argparse.Namespace) -> bool:
    return (proof.is_short or not options.short) and options.only.lower() in proof.name.lower()


def _run(proof: Proof, seed: int) -> ProofRow:
    """Run a proof, and return its row; an exception of the proof is a fault too."""
    _print(f"{proof.name} …", end="")
    began = time.monotonic()
    # A proof makes the same choices whichever others run.
    random = Random(f"{seed} {proof.name}")  # noqa: S311 - no secret
    directory = Path(tempfile.mkdtemp(prefix="relay-proof-"))
    try:
        row = proof.run(directory, random)
    except Exception as error:  # noqa: BLE001 - the other proofs must still run
        row = _broken(proof, error)
    if not row.faults:
        shutil.rmtree(directory, ignore_errors=True)
    _print(f" {_verdict(row, directory)} ({time.monotonic() - began:.0f} s)")
    return row


def _verdict(row: ProofRow, directory: Path) -> str:
    if row.faults:
        return f"FAULT, see {directory}"
    return "good" if row.times else row.note


def _broken(proof: Proof, error: Exception) -> ProofRow:
    fault = f"the proof could not be completed: {type(error).__name__}: {error}"
    return ProofRow(name=proof.name, times=0, faults=(fault,))


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.prove", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only what fits in 100 seconds")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument(
        "--only", default="", metavar="WORD", help="only proofs with WORD in their name"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(all_proofs(), sys.argv[1:]))
