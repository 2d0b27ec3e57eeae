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
    ("pattern", "old", "new", "message"),
    [
        ("app/store/lua/*.lua", "end_lease", "finish_lease", "no script calls end_lease()"),
        ("app/store/lua/*.lua", "'LPUSH'", "'RPUSH'", "no script calls LPUSH"),
    ],
)
def test_a_renamed_call_is_refused(
    tmp_path: Path, pattern: str, old: str, new: str, message: str
) -> None:
    """The run would try less than it seems to."""
    copy_files(tmp_path)
    for path in tmp_path.glob(pattern):
        path.write_text(path.read_text().replace(old, new))

    with pytest.raises(MissingError) as raised:
        check_names(tmp_path, [])

    assert message == str(raised.value)


@pytest.mark.parametrize(
    "name", ["app/store/lua/pause.lua", "tests/store/test_settle.py", "tests/store/test_notices.py"]
)
def test_a_removed_file_is_refused(tmp_path: Path, name: str) -> None:
    """A script that is listed, a test file that is likely to notice, or one that is left out."""
    copy_files(tmp_path)
    (tmp_path / name).unlink()

    with pytest.raises(MissingError) as raised:
        check_names(tmp_path, [])

    assert f"{name} does not exist" == str(raised.value)


def copy_files(directory: Path) -> None:
    """Copy all that the run looks at."""
    for part in ("app/store/lua", "tests/store", "tests/operate"):
        shutil.copytree(ROOT / part, directory / part, ignore=shutil.ignore_patterns("*.pyc"))


def test_a_script_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and its path."""
    assert 2 == guards.main(["gone"])

    assert "app/store/lua/gone.lua does not exist\n" == capsys.readouterr().out
