"""Tests of the prover: it runs the chosen proofs, finds faults, and reports them."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from random import Random

import pytest

from tools.prove.__main__ import all_proofs, main
from tools.prove.crash_points import DurableStep, Edge, Hold, Holder
from tools.prove.crash_table import PROCESS_ENDS, REDIS_GONE, Way, crashes_at
from tools.prove.outages import mean_displacement
from tools.prove.rate import find_overruns
from tools.prove.table import Proof, ProofRow, render

GOOD = ProofRow(
    name="nothing was broken",
    times=3,
    accepted=60,
    opened=57,
    failed=1,
    unknown=2,
    created_twice=0,
    lost=0,
    recovery_seconds=2.55,
    note="5 probes",
)
BAD = GOOD.with_faults(["e1 was accepted, and is gone"])


def proof_of(row: ProofRow, *, is_short: bool = True) -> Proof:
    """Build a proof with this row."""
    return Proof(row.name, lambda _directory, _random: row, is_short)


def broken(_directory: Path, _random: Random) -> ProofRow:
    """Raise, like a proof that cannot be completed."""
    raise TimeoutError("waited for 30 s")


def test_the_table_has_all_counts() -> None:
    """The table has one line for each proof, under the headings."""
    heading, _, line = render([GOOD]).splitlines()

    assert heading.split("  ")[0] == "what was broken"
    assert ["nothing", "was", "broken", "(5", "probes)"] == line.split()[:5]
    assert ["3", "60", "57", "1", "2", "0", "0", "2.5", "s"] == line.split()[5:]


def test_faults_are_listed_below_the_table() -> None:
    """Each fault is listed with the name of its proof."""
    assert render([GOOD, BAD]).endswith(
        "\n\nFAULT in 'nothing was broken': e1 was accepted, and is gone"
    )


@pytest.mark.parametrize(("row", "code"), [(GOOD, 0), (BAD, 1)])
def test_the_exit_code_is_the_verdict(
    row: ProofRow, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1 for any fault; the seed is always printed."""
    assert code == main([proof_of(row)], ["--seed", "7"])
    assert capsys.readouterr().out.endswith("\nseed 7\n")


def test_a_proof_that_cannot_be_completed_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """The other proofs still run."""
    assert 1 == main([Proof("it hangs", broken, is_short=True), proof_of(GOOD)], [])

    out = capsys.readouterr().out
    assert "FAULT in 'it hangs': the proof could not be completed: TimeoutError: waited" in out
    assert "nothing was broken … good" in out


def test_only_chosen_proofs_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Proofs are chosen by length, by name, or both."""
    proofs = [proof_of(GOOD), Proof("it hangs", broken, is_short=False)]

    assert 0 == main(proofs, ["--short"])
    assert 0 == main(proofs, ["--only", "Nothing"])
    assert 1 == main(proofs, ["--only", "no such proof"])
    assert "no proof has 'no such proof' in its name\n" in capsys.readouterr().out


def test_a_seed_repeats_the_choices_of_each_proof() -> None:
    """A proof makes the same choices whichever proofs run before it."""
    chosen: list[float] = []

    def choose(_directory: Path, random: Random) -> ProofRow:
        chosen.append(random.random())
        return GOOD

    chooses = Proof("it chooses", choose, is_short=True)
    for seed, proofs in (("1", [chooses]), ("1", [proof_of(GOOD), chooses]), ("2", [chooses])):
        main(proofs, ["--seed", seed])

    assert chosen[0] == chosen[1] != chosen[2]


def test_names_of_proofs_are_unique() -> None:
    """``--only`` chooses by name, so no two proofs share one."""
    names = [proof.name for proof in all_proofs()]

    assert len(names) == len(set(names)) > 0


def test_the_table_of_crashes_has_every_cell() -> None:
    """The table has each step, both sides, each way, and every kind that reaches it."""
    crashes = [
        crash for step in DurableStep for ways in (PROCESS_ENDS, REDIS_GONE)
        for crash in crashes_at(step, ways)
    ]  # fmt: skip
    cells = [(crash.edge, crash.step, crash.way, kind) for crash in crashes for kind in crash.kinds]

    assert 320 == len(cells) == len(set(cells))
    assert set(product(Edge, DurableStep, Way)) == {cell[:3] for cell in cells}


def test_calls_are_held_at_one_point_after_the_other(tmp_path: Path) -> None:
    """A hold counts its calls, and ends with its mark; other points hold no call."""
    first = Hold(Edge.BEFORE, DurableStep.SETTLED, 2, tmp_path / "first")
    second = Hold(Edge.AFTER, DurableStep.SPOOLED, 1, tmp_path / "second")
    holder = Holder([first, second])

    holder.pass_point(second.edge, second.step)
    assert [False, False] == [holder.arrive(first.edge, first.step), first.mark.exists()]
    assert [True, True] == [holder.arrive(first.edge, first.step), first.mark.exists()]
    with ThreadPoolExecutor() as calls:
        held = calls.submit(holder.wait, first.edge, first.step)
        assert not held.done()
        first.mark.unlink()
        held.result()
    assert [True, True] == [holder.arrive(second.edge, second.step), second.mark.exists()]


def test_too_many_calls_in_a_window_are_found() -> None:
    """A window may begin at any call."""
    steady = [number / 10 for number in range(100)]
    bunched = [*steady, *[steady[-1] + 0.1] * 8]

    assert [] == [*find_overruns(steady, rate_per_second=10, burst=3, calls_in_flight=2)]
    (fault,) = find_overruns(bunched, rate_per_second=10, burst=3, calls_in_flight=2)
    assert "at most" in fault


def test_displacement_is_the_mean_distance_from_the_turn() -> None:
    """Names that only one list has do not count."""
    assert 0 == mean_displacement(["a", "b", "c"], ["a", "x", "c"])
    assert 2 == mean_displacement(["a", "b", "c", "d"], ["d", "c", "b", "a"])
    assert 0 == mean_displacement([], ["a"])
