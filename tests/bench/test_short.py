"""Tests of the bench: its input, its table and its exit code. Nothing is measured."""

import pytest

from tools.bench.__main__ import all_measures, main
from tools.bench.document import BEGIN, END, replace_measured
from tools.bench.load import Invalid, read_load
from tools.bench.scene import BenchRun, Measure
from tools.bench.table import BenchRow, BrokenMeasure, markdown, ratios, render
from tools.bench.waiters import Wave, build_rows

FLOOR = BenchRow(
    what="intake",
    against="echo",
    values=(0.58, 0.9, 0.66),
    must=0.6,
    aim=0.8,
    note="660 and 1000 a second",
)
CEILING = BenchRow(
    what="memory", against="", values=(710.0,), unit="bytes", must=700, aim=450, is_most=True
)

OUTPUT = """\
Running 2s test @ http://127.0.0.1:1/
  1 threads and 16 connections
{"answers": 1300, "seconds": 2.0, "p99_ms": 15.1, "refused": %d, "broken": %d}
"""


def test_the_last_line_of_wrk_is_read() -> None:
    """Earlier lines of the output are ignored."""
    load = read_load(OUTPUT % (0, 0))

    assert (1300, 650, 15.1) == (load.answers, load.rate, load.p99_ms)


@pytest.mark.parametrize("errors", [(1, 0), (0, 1)])
def test_a_load_with_errors_is_invalid(errors: tuple[int, int]) -> None:
    """Refusals are quicker than answers, so they would flatter the rate."""
    with pytest.raises(Invalid, match="counts for nothing"):
        read_load(OUTPUT % errors)


def test_contenders_are_compared_round_by_round() -> None:
    """Noise of one round affects both contenders."""
    assert (0.5, 2) == ratios([10, 40], [20, 20])


@pytest.mark.parametrize(
    ("values", "is_most", "verdict"),
    [
        ((0.5, 0.6, 0.9), False, "yes"),
        ((0.5, 0.59, 0.9), False, "NO"),
        ((0.8,), False, "yes, the aim"),
        ((0.6,), True, "yes"),
        ((0.81,), True, "NO"),
    ],
)
def test_the_median_decides(values: tuple[float, ...], is_most: bool, verdict: str) -> None:  # noqa: FBT001 - a parameter
    """The median is compared with a lower or an upper limit."""
    must, aim = (0.6, 0.5) if is_most else (0.6, 0.8)
    row = BenchRow(what="", against="", values=values, must=must, aim=aim, is_most=is_most)

    assert verdict == row.verdict


def test_row_without_limits_has_no_verdict() -> None:
    """A row without limits is for information only."""
    row = BenchRow(what="settled to answered", against="", values=(2.0,), unit="ms")

    assert ("", None) == (row.verdict, row.worth)


def test_row_with_an_aim_alone_is_no_must() -> None:
    """A missed aim is no failure."""
    row = BenchRow(what="p99", against="echo", values=(2.5,), aim=2.0, is_most=True)

    assert ("no, the aim", None) == (row.verdict, row.worth)


@pytest.mark.parametrize(
    ("least", "slowest_ms", "verdicts"),
    [(4, 9.0, ["yes", "", "", "yes"]), (3, 301.0, ["NO", "", "", "NO"])],
)
def test_every_waiting_caller_must_get_its_ids(
    least: int, slowest_ms: float, verdicts: list[str]
) -> None:
    """A single wave fails the row: a caller without ids, or a slow ``/livez``."""
    waves = [Wave([2.0] * 4, [1.0, slowest_ms], 4.1) for _ in range(2)]

    found = build_rows([*waves, Wave([2.0] * least, [1.0], 4.1)], callers=4)

    assert verdicts == [row.verdict for row in found]


def test_wave_without_ids_is_invalid() -> None:
    """A wave without ids has no delay to measure."""
    with pytest.raises(Invalid, match="at most one caller"):
        build_rows([Wave([], [1.0], 4.1)], callers=4)


def test_a_row_shows_its_ratio() -> None:
    """The ratio is 1 at the limit, whether it is a lower or an upper one."""
    assert FLOOR.worth == pytest.approx(1.1)
    assert CEILING.worth == pytest.approx(700 / 710)


def test_the_table_has_median_spread_and_verdict() -> None:
    """The broken measures are listed below the table."""
    heading, _, floor, ceiling, broken = render(
        [FLOOR, CEILING], [BrokenMeasure("drain", "no wrk")]
    ).splitlines()

    assert heading.startswith("what    against  median")
    assert ["0.66", "×", "0.58", "×", "to", "0.90", "×", "≥", "0.60", "×"] == floor.split()[2:12]  # noqa: RUF001 - as shown
    assert "≤ 700 bytes" in ceiling
    assert ceiling.endswith("NO")
    assert "NOT MEASURED: drain: no wrk" == broken


def test_the_document_keeps_the_text_around_the_table() -> None:
    """Writing the table again changes nothing else."""
    document = f"Before\n{BEGIN}{END}After\n"

    once = replace_measured(document, markdown([FLOOR]))

    assert once.startswith("Before\n")
    assert once.endswith("After\n")
    assert "| intake | echo | 0.66" in once
    assert once == replace_measured(once, markdown([FLOOR]))


@pytest.mark.parametrize(("row", "code"), [(FLOOR, 0), (CEILING, 1)])
def test_the_exit_code_is_the_verdict(
    row: BenchRow, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 1 if a row misses its limit."""
    monkeypatch.setattr("tools.bench.__main__.require_wrk", lambda: None)

    assert code == main([Measure("intake", lambda _scene: [row])], [])
    assert row.what in capsys.readouterr().out


def test_a_failed_measure_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other measures still run."""
    monkeypatch.setattr("tools.bench.__main__.require_wrk", lambda: None)

    def fail(_scene: BenchRun) -> list[BenchRow]:
        raise Invalid("an answer was an error")

    assert 1 == main([Measure("drain", fail), Measure("intake", lambda _scene: [FLOOR])], [])

    out = capsys.readouterr().out
    assert "NOT MEASURED: drain: an answer was an error\n" in out
    assert "660 and 1000 a second" in out


def test_names_of_measures_are_unique() -> None:
    """``--only`` chooses by name; a word that matches no name is an error."""
    names = [measure.name for measure in all_measures()]

    assert len(names) == len(set(names)) > 0
    assert 1 == main(all_measures(), ["--only", "no such measure"])
