"""Tests of the mutation run: its mutants, and its refusal of names that do not exist."""

import shutil
from pathlib import Path

import pytest

from tools import guards
from tools.guards import MissingError, check_names, mutants

ROOT = Path(__file__).parents[1]


def changes(line: str) -> list[str]:
    """Return the mutated line of each mutant of a script of one line."""
    return [text.rstrip("\n") for _, text in mutants(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("if a == 1 then", ["if true then", "if false then"]),
        (
            "if not a and (b or c) then",
            [
                *("if not true and (b or c) then", "if not false and (b or c) then"),
                *("if not a and (true or c) then", "if not a and (false or c) then"),
                *("if not a and (b or true) then", "if not a and (b or false) then"),
            ],
        ),
        ("  return a == b", ["  return true", "  return false"]),
        ("  redis.call('ZADD', DUE, 1, id)", ["  "]),
        ("  ring_bell()", ["  "]),
        ("local at = math.min(a, b)", ["local at = math.max(a, b)"]),
        ("local found = redis.call('GET', id)", []),
        ("-- if a then", []),
    ],
)
def test_mutants_of_a_line(line: str, expected: list[str]) -> None:
    """Conditions are true and false once, writes left out, bounds reversed, comments kept."""
    assert expected == changes(line)


def test_all_names_exist() -> None:
    """The run looks for nothing that a change of the scripts has removed."""
    check_names(ROOT, ["take", "settle"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FIRST", {"gone": "store/test_gate.py"}, "app/store/lua/gone.lua does not exist"),
        ("FIRST", {"take": "store/test_gone.py"}, "tests/store/test_gone.py does not exist"),
        ("WITHOUT_SCRIPTS", ("gone",), "tests/store/test_gone.py does not exist"),
        ("COMMANDS", ("ZADD", "RPUSH"), "no script calls RPUSH"),
        ("STEPS", ("update", "ring_gong"), "no script calls ring_gong()"),
    ],
)
def test_a_name_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    """The run would try less than it seems to."""
    monkeypatch.setattr(guards, name, value)

    with pytest.raises(MissingError) as raised:
        check_names(ROOT, [])

    assert message == str(raised.value)


def test_a_script_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and its path."""
    assert 2 == guards.main(["gone"])

    assert "app/store/lua/gone.lua does not exist\n" == capsys.readouterr().out


def test_a_renamed_step_is_refused(tmp_path: Path) -> None:
    """A function that is renamed in the scripts is missed here."""
    shutil.copytree(ROOT / "app" / "store" / "lua", tmp_path / "app" / "store" / "lua")
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    for path in (tmp_path / "app" / "store" / "lua").glob("*.lua"):
        path.write_text(path.read_text().replace("end_lease", "finish_lease"))

    with pytest.raises(MissingError, match=r"end_lease\(\)"):
        check_names(tmp_path, [])
