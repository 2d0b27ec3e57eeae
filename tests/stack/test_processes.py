"""Tests of child processes and of free ports."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tools.stack.processes import start_child
from tools.stack.relay import ROOT, start_process

# A shell may ignore the first in its background processes; Python ignores the others.
NUMBERS = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


@pytest.fixture
def ignored_signals() -> Iterator[None]:
    """The signals, ignored by this process."""
    before = [signal.signal(number, signal.SIG_IGN) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_inherits_no_ignored_signal(ignored_signals: None, tmp_path: Path) -> None:
    """A child has default handlers for signals that its parent ignores."""
    status = tmp_path / "status"
    with status.open("wb") as output:
        assert 0 == start_child(["cat", "/proc/self/status"], output=output).wait(30)

    (ignored,) = re.findall(r"^SigIgn:\s+([0-9a-f]+)$", status.read_text(), re.MULTILINE)
    assert not [number for number in NUMBERS if int(ignored, 16) >> (number - 1) & 1]


def test_a_port_is_given_once() -> None:
    """Two processes never get the same free port, even if they listen later."""
    pick = """
from tools.stack.processes import free_port
print(*(free_port() for _ in range(400)), flush=True)
input()
"""
    command = [sys.executable, "-c", pick]
    ports: list[bytes] = []

    with ExitStack() as living:
        for _ in range(2):
            picking = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            living.enter_context(picking)
            assert picking.stdout is not None
            ports += picking.stdout.readline().split()

    assert 800 == len(ports) == len(set(ports))


def test_the_last_lines_are_those_of_the_process(tmp_path: Path) -> None:
    """Its log may hold lines of earlier runs."""
    log = tmp_path / "worker.log"
    log.write_text("a line of an earlier run\n")

    process = start_process("worker", {}, log)

    assert 2 == process.child.wait(30)
    lines = process.last_lines(50)
    assert [line for line in lines if line.startswith("REDIS_URL: is not set")]
    assert "a line of an earlier run" not in lines
    assert 1 == len(process.last_lines(1))
