"""Tests of the default number of web processes."""

from pathlib import Path

import pytest

from config.cores import MOST_WEB_PROCESSES, _quota_cores, usable_cores


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("max 100000\n", MOST_WEB_PROCESSES),
        ("", MOST_WEB_PROCESSES),
        ("1 0", MOST_WEB_PROCESSES),
    ],
)
def test_quota_of_the_container_counts(cpu_max: str, cores: int, tmp_path: Path) -> None:
    """A container that may use two cores of a large host starts two processes, not sixty-four."""
    (tmp_path / "cpu.max").write_text(cpu_max)

    assert cores == _quota_cores(tmp_path / "cpu.max")


def test_without_cgroups_nothing_is_limited(tmp_path: Path) -> None:
    """Outside of a container, and on macOS, there is no quota."""
    assert _quota_cores(tmp_path / "cpu.max") == MOST_WEB_PROCESSES


def test_default_is_one_to_four() -> None:
    """Whatever the machine, the default is a sane number of processes."""
    assert 1 <= usable_cores() <= MOST_WEB_PROCESSES
