"""Tests of the recorder of durations, on a pytest run of its own."""

import json
import subprocess
import sys
from pathlib import Path

CONFTEST = """
from pathlib import Path
from tests.durations import DurationRecorder

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(DurationRecorder(Path("durations.json")))
"""
ROOT = Path(__file__).parents[1]


def run_pytest(directory: Path, body: str) -> int:
    """Run two files of one test each, in two processes; return the exit code."""
    (directory / "conftest.py").write_text(CONFTEST)
    for name in ("test_a.py", "test_b.py"):
        (directory / name).write_text(f"def test_it():\n    {body}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2"]
    environ = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, cwd=directory, env=environ, timeout=60, check=False).returncode


def test_each_file_is_recorded(tmp_path: Path) -> None:
    """Files of this run are updated, others stay."""
    path = tmp_path / "durations.json"
    path.write_text('{"test_a.py": 7, "test_c.py": 8}')

    assert 0 == run_pytest(tmp_path, "pass")

    recorded = json.loads(path.read_text())
    assert ["test_a.py", "test_b.py", "test_c.py"] == list(recorded)
    assert 7 > recorded["test_a.py"]
    assert 8 == recorded["test_c.py"]


def test_a_failed_run_records_nothing(tmp_path: Path) -> None:
    """It may have ended early."""
    assert 1 == run_pytest(tmp_path, "assert False")

    assert not (tmp_path / "durations.json").exists()
