"""Recorder of the seconds that each test file takes."""

import json
from collections import defaultdict
from pathlib import Path

import pytest


class DurationRecorder:
    """pytest plugin that updates a JSON object, seconds by file, once all tests have passed."""

    def __init__(self, path: Path) -> None:
        """``path`` is the file that it writes."""
        self._path = path
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a phase of a test: its set-up, call or tear-down."""
        self._seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Update the file, unless a test failed: such a run may have ended early."""
        if exitstatus == pytest.ExitCode.OK:
            before = json.loads(self._path.read_text()) if self._path.exists() else {}
            taken = {name: round(seconds, 1) for name, seconds in self._seconds.items()}
            text = json.dumps(before | taken, indent=1, sort_keys=True)
            self._path.write_text(text + "\n")
