"""``make run``: one command, a relay to try, and nothing left behind when it ends."""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.stack.processes import free_port, kill_child, start_child, wait_until
from tests.stack.relay import ROOT

READY = "Ctrl-C stops everything."
OF_ANOTHER_STACK = ("REDIS_URL", "CHANNEL_ACCESS_KEY", "SUBMIT_TOKENS", "READ_TOKENS", "SPOOL_DIR")

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and PR_SET_PDEATHSIG")


class Stack:
    """A local stack, as ``make run`` starts it, but with its data in ``data``."""

    def __init__(self, data: Path, port: int | str) -> None:
        """Start it."""
        self.data = data
        self.port = port
        self._output = data.parent / f"output-{port}-{len([*data.parent.iterdir()])}"
        # with SIGINT ignored, as a shell starts what it puts in the background
        shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "-"]
        command = [*shell, sys.executable, "-m", "tests.stack", "--data", str(data)]
        ours = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_STACK}
        with self._output.open("wb") as output:
            self.child = start_child(
                command, env={**ours, "PORT": str(port)}, cwd=ROOT, output=output
            )

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text()

    def wait_until_ready(self) -> None:
        """Return once it has said how to go on."""
        wait_until(lambda: READY in self.output or self.child.poll() is not None, 60, READY)
        assert READY in self.output, self.output

    def refusal(self) -> tuple[int, str]:
        """How it ended, since it could not run."""
        return self.child.wait(60), self.output

    def processes(self) -> set[Path]:
        """Its own process and all below it."""
        parents = {stat.parent: parent_of(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
        found = {Path(f"/proc/{self.child.pid}")}
        while more := {path for path, parent in parents.items() if parent in found} - found:
            found |= more
        return found


def parent_of(stat: Path) -> Path | None:
    """The parent of a process, https://www.man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    try:
        return Path("/proc") / stat.read_text().rpartition(")")[2].split()[1]
    except OSError:
        return None  # it has just ended


def run_curl(line: str) -> requests.Response:
    """Do what a ``curl`` line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("url")
    told = parser.parse_args(shlex.split(line)[1:])
    headers = dict(header.split(": ", 1) for header in told.H)
    with requests.Session() as session:
        session.trust_env = False
        method = "POST" if told.d else "GET"
        return session.request(method, told.url, headers=headers, data=told.d, timeout=10)


@contextmanager
def running(data: Path) -> Iterator[Stack]:
    """A stack that is started here, and surely ends here."""
    stack = Stack(data, free_port())
    try:
        yield stack
    finally:
        kill_child(stack.child)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that runs; in the end Ctrl-C stops everything, in order, and no process stays."""
    with running(tmp_path_factory.mktemp("stack") / "data") as stack:
        stack.wait_until_ready()
        yield stack
        processes = stack.processes()
        stack.child.send_signal(signal.SIGINT)

        assert 0 == stack.child.wait(60)
        ended = "Stopping: the calls under way are finished first.\nStopped.\n"
        assert stack.output.endswith(ended)
        assert [] == [path for path in processes if path.exists()]


def test_it_shows_a_chat_and_how_to_get_one(stack: Stack) -> None:
    """The sample's record has its ids, and each line with ``curl`` does what it promises."""
    sample: dict[str, Any]
    sample, _ = json.JSONDecoder().raw_decode(stack.output, stack.output.index("{"))
    lines = stack.output.replace("\\\n", "").splitlines()

    answers = [run_curl(line) for line in lines if line.startswith("  curl")]
    (operate,) = (line for line in lines if line.endswith("-m app.operate status"))

    assert ("opened", True) == (sample["status"], sample["created"])
    posted, of_event, of_user, of_chat, *open_to_all = answers
    assert (202, "refund-7731") == (posted.status_code, posted.json()["event_id"])
    assert sample == of_event.json() == of_chat.json()
    assert sample in of_user.json()["chats"]
    assert [200] * 6 == [answer.status_code for answer in open_to_all]
    status = subprocess.run(["/bin/sh", "-c", operate], cwd=ROOT, capture_output=True, check=True)
    assert b"held" in status.stdout


def test_a_taken_port_is_told(stack: Stack, tmp_path: Path) -> None:
    """And what to do about it."""
    refused = Stack(tmp_path / "data", stack.port)

    beside = 'for a second relay: make run PORT=8010 ARGS="--data .data-2"'
    sentence = f"port {stack.port} is in use; {beside}\n"
    assert (1, sentence) == refused.refusal()


def test_what_is_no_port_is_told(tmp_path: Path) -> None:
    """In the words of web's own settings."""
    refused = Stack(tmp_path / "data", "http")

    assert (1, "PORT: must be a whole number from 1 to 65535\n") == refused.refusal()


def test_a_second_stack_on_the_same_data_is_refused(stack: Stack) -> None:
    """Two servers never write the same files; the first one goes on."""
    refused = Stack(stack.data, free_port())

    code, output = refused.refusal()

    assert (1, 1) == (code, len(output.splitlines()))
    assert f"another Valkey uses {stack.data}" in output
    assert stack.child.poll() is None


@only_linux
def test_a_supervisor_may_stop_it_while_it_starts(tmp_path: Path) -> None:
    """SIGTERM is as good as Ctrl-C."""
    with running(tmp_path / "data") as starting:
        wait_until(lambda: len(starting.processes()) > 1, 30, "its first child")
        processes = starting.processes()

        starting.child.terminate()

        assert 0 == starting.child.wait(60)
        assert starting.output.endswith("Stopped.\n")
        wait_until(lambda: not [path for path in processes if path.exists()], 30, "the end of all")


def test_a_stop_is_heeded_wherever_it_comes() -> None:
    """Libraries swallow what is raised in a few places."""
    told = """
import signal
from contextlib import suppress
from tests.stack import __main__ as stack
stack._heed_signals()
with suppress(BaseException):
    signal.raise_signal(signal.SIGTERM)
stack._watch([])
"""
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, capture_output=True, timeout=60, check=False
    )

    assert b"Stopped" in done.stderr


@only_linux
def test_once_it_runs_both_signals_are_taken(stack: Stack) -> None:
    """SIGINT too, although whoever started it had that ignored."""
    status = Path(f"/proc/{stack.child.pid}/status").read_text()

    (caught,) = re.findall(r"^SigCgt:\s+([0-9a-f]+)$", status, re.MULTILINE)
    assert all(int(caught, 16) >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))


@only_linux
def test_killed_it_leaves_nothing_behind(stack: Stack, tmp_path: Path) -> None:
    """The kernel ends what the supervisor could not; another stack with its own data goes on."""
    with running(tmp_path / "data") as another:
        another.wait_until_ready()
        processes = another.processes()
        assert len(processes) >= len(["supervisor", "valkey", "web", "web's process", "worker"])

        another.child.kill()
        another.child.wait()

        wait_until(lambda: not [path for path in processes if path.exists()], 30, "the end of all")
    assert stack.child.poll() is None
