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


def run_pytest(directory: Path, body: str, *options: str) -> int:
    """Run two files of one test each; return the exit code."""
    (directory / "conftest.py").write_text(CONFTEST)
    for name in ("test_a.py", "test_b.py"):
        (directory / name).write_text(f"def test_it():\n    {body}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    # Plugins of the environment would take seconds to import.
    environ = {"PYTHONPATH": str(ROOT), "PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=directory, env=environ, timeout=60, check=False).returncode


def test_each_file_is_recorded(tmp_path: Path) -> None:
    """Files of a run in two processes are updated, others stay."""
    path = tmp_path / "durations.json"
    path.write_text('{"test_a.py": 7, "test_c.py": 8}')

    assert 0 == run_pytest(tmp_path, "pass", "-p", "xdist", "-n", "2")

    recorded = json.loads(path.read_text())
    assert ["test_a.py", "test_b.py", "test_c.py"] == list(recorded)
    assert 7 > recorded["test_a.py"]
    assert 8 == recorded["test_c.py"]


def test_a_failed_run_records_nothing(tmp_path: Path) -> None:
    """A failed run may have ended early, so the file is not written."""
    assert 1 == run_pytest(tmp_path, "assert False")

    assert not (tmp_path / "durations.json").exists()
