"""What a child process begins with."""

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.processes import start_child


@pytest.fixture
def ignoring() -> Iterator[None]:
    """What a shell may have us ignore, and what Python ignores, is ignored."""
    numbers = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_signal_is_ignored(ignoring: None, tmp_path: Path) -> None:
    """As a program expects it: what its parent ignores would else be ignored by it."""
    status = tmp_path / "status"
    with status.open("wb") as output:
        assert 0 == start_child(["cat", "/proc/self/status"], output=output).wait(10)

    assert ["0" * 16] == re.findall(r"^SigIgn:\s+(\w+)$", status.read_text(), re.MULTILINE)
