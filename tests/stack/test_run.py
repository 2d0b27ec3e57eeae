"""Tests of ``make run``: its output works when pasted, and no process outlives it."""

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from app.chats.event import OpenChatEvent
from app.store.events import EventStore
from app.store.keys import Keys
from tests.scraped import samples
from tools.stack.channel_io.cards import CARDS
from tools.stack.data import DATA
from tools.stack.greeting import fresh_command, operate_command
from tools.stack.processes import free_port, kill_child, start_child, wait_until
from tools.stack.redis_client import connect_to
from tools.stack.relay import ROOT, RelayClient
from tools.stack.valkey import Valkey

READY = "Ctrl-C stops everything."
OF_ANOTHER_STACK = {
    *("REDIS_URL", "CHANNEL_ACCESS_KEY", "SUBMIT_TOKENS", "READ_TOKENS", "SPOOL_DIR"),
    *("METRICS_PORT", "BIND"),
}
USUAL_METRICS_PORT = 9100

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and PR_SET_PDEATHSIG")


class Stack:
    """Local stack, as ``make run`` starts it, with its data in ``data``."""

    def __init__(self, data: Path, port: int | str, *options: str, **settings: str) -> None:
        """Start the stack with these options and environment variables."""
        self.data = data
        self.port = port
        self._output = data.parent / f"output-{port}-{len([*data.parent.iterdir()])}"
        # SIGINT is ignored, as by a shell that starts the stack in the background.
        shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "-"]
        command = [*shell, sys.executable, "-m", "tools.stack", "--data", str(data), *options]
        inherited = {k: v for k, v in os.environ.items() if k not in OF_ANOTHER_STACK}
        with self._output.open("wb") as output:
            self.child = start_child(
                command, env={**inherited, "PORT": str(port), **settings}, cwd=ROOT, output=output
            )

    @property
    def output(self) -> str:
        """Return the printed text."""
        return self._output.read_text()

    def post(self, event: dict[str, str], **headers: str) -> requests.Response:
        """Post an event with the token that the stack prints."""
        caller = RelayClient(
            f"http://127.0.0.1:{self.port}", "local-submit-token", "local-read-token"
        )
        return caller.post(event, **headers)

    def wait_until_ready(self) -> None:
        """Return once the stack has printed its guide."""
        wait_until(lambda: READY in self.output or self.child.poll() is not None, 60, READY)
        assert READY in self.output, self.output

    def refusal(self) -> tuple[int, str]:
        """Wait for the end of a stack that cannot start; return exit code and output."""
        return self.child.wait(60), self.output

    def processes(self) -> set[Path]:
        """Return the stack's process and all of its descendants."""
        parents = {stat.parent: parent_of(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
        found = {Path(f"/proc/{self.child.pid}")}
        while more := {path for path, parent in parents.items() if parent in found} - found:
            found |= more
        return found


def parent_of(stat: Path) -> Path | None:
    """Return the parent, https://www.man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    try:
        return Path("/proc") / stat.read_text().rpartition(")")[2].split()[1]
    except OSError:
        return None  # the process has ended


def run_curl(line: str) -> requests.Response:
    """Send the request of a ``curl`` line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("url")
    parsed = parser.parse_args(shlex.split(line)[1:])
    headers = dict(header.split(": ", 1) for header in parsed.H)
    with requests.Session() as session:
        session.trust_env = False
        method = "POST" if parsed.d else "GET"
        return session.request(method, parsed.url, headers=headers, data=parsed.d, timeout=10)


def paste(line: str) -> str:
    """Run a printed line in a shell without REDIS_URL; return its output."""
    done = subprocess.run(
        ["/usr/bin/env", "-u", "REDIS_URL", "/bin/sh", "-c", line],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


@contextmanager
def running(data: Path, *options: str, **settings: str) -> Iterator[Stack]:
    """Run a stack until the end of the block."""
    stack = Stack(data, free_port(), *options, **{"METRICS_PORT": str(free_port())} | settings)
    try:
        yield stack
    finally:
        kill_child(stack.child)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; in the end Ctrl-C stops it, and no process remains.

    Port 9100, the default of the worker's metrics, is in use.
    """
    with ExitStack() as ends:
        with suppress(OSError):
            ends.enter_context(socket.create_server(("127.0.0.1", USUAL_METRICS_PORT)))
        directory = tmp_path_factory.mktemp("stack") / "data"
        stack = ends.enter_context(running(directory, METRICS_PORT=""))
        stack.wait_until_ready()
        yield stack
        processes = stack.processes()
        stack.child.send_signal(signal.SIGINT)

        assert 0 == stack.child.wait(60)
        ended = "Stopping: calls in progress are finished first.\nStopped.\n"
        assert stack.output.endswith(ended)
        assert [] == [path for path in processes if path.exists()]


def test_printed_commands_work_when_pasted(stack: Stack) -> None:
    """Each printed ``curl`` line and the operator's command find the sample's record."""
    sample: dict[str, Any]
    sample, _ = json.JSONDecoder().raw_decode(stack.output, stack.output.index("{"))
    lines = re.sub(r"\\\n|(?<=,)\n +(?=\"message\")", "", stack.output).splitlines()

    answers = [run_curl(line) for line in lines if line.startswith("  curl")]
    (operate,) = (line for line in lines if line.endswith("-m app.operate status"))

    assert ("opened", True) == (sample["status"], sample["created"])
    posted, of_event, of_user, of_member, of_chat, *open_to_all = answers
    assert (202, "refund-7731") == (posted.status_code, posted.json()["event_id"])
    assert sample == of_event.json() == of_chat.json()
    assert sample in of_user.json()["chats"]
    assert "customer-8841" == posted.json()["member_id"] == of_member.json()["member_id"]
    assert [200] * 7 == [answer.status_code for answer in open_to_all]
    assert "held" in paste(operate)


def test_printed_metrics_addresses_serve_web_and_worker(stack: Stack) -> None:
    """The worker counts its calls there; where 9100 is in use, the output names another port."""
    lines = re.findall(r"^  (curl http://127.0.0.1:\d+/metrics)$", stack.output, re.MULTILINE)

    for user_id in ("stand-in-user-not-found", "stand-in-create-then-close"):
        event = {"event_id": user_id, "user_id": user_id, "on_unknown": "recreate"}
        assert 200 == stack.post(event, Prefer="wait=30").status_code

    of_web, of_worker = (samples(run_curl(line).text) for line in lines)
    port = re.findall(r":(\d+)/metrics", lines[1])[0]
    notice = f"Port 9100 is in use: the worker serves its metrics on port {port}.\n"
    assert notice in stack.output
    assert 1 <= of_web["relay_held_events"]
    assert 1 <= of_worker['relay_calls_total{outcome="refused",task="create"}']
    assert 1 <= of_worker["relay_possible_orphans_total"]


def test_test_users_are_printed(stack: Stack) -> None:
    """The output has every test user."""
    shown = re.findall(r"^  (stand-in-[a-z0-9-]+)  ", stack.output, re.MULTILINE)

    assert [card.user_id for card in CARDS] == shown


@pytest.mark.parametrize("page", ["README.md", "docs/integrating.md"])
def test_curl_lines_of_a_page_work_when_pasted(stack: Stack, page: str) -> None:
    """A reader pastes the lines of the page in order after ``make run``."""
    text = (ROOT / page).read_text().replace(":8000", f":{stack.port}")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()

    answers = [run_curl(line) for line in lines if line.startswith("curl ")]

    assert [] == [answer.text for answer in answers if not answer.ok]


def test_a_taken_port_is_reported(stack: Stack, tmp_path: Path) -> None:
    """The message names the port, and the command for a second relay."""
    refused = Stack(tmp_path / "data", stack.port)

    remedy = 'for a second relay: make run PORT=8010 ARGS="--data .data-2"'
    sentence = f"port {stack.port} is in use; {remedy}\n"
    assert (1, sentence) == refused.refusal()


def test_an_invalid_port_is_reported(tmp_path: Path) -> None:
    """The message is that of web's settings."""
    refused = Stack(tmp_path / "data", "http")

    assert (1, "PORT: must be a whole number from 1 to 65535\n") == refused.refusal()


def test_a_second_stack_on_the_same_data_is_refused(stack: Stack) -> None:
    """Two servers never write the same files; the first stack continues."""
    refused = Stack(stack.data, free_port())

    code, output = refused.refusal()

    assert (1, 1) == (code, len(output.splitlines()))
    assert f"another Valkey uses {stack.data}" in output
    assert stack.child.poll() is None


# Data of an earlier run

NEWER = "a-newer-release"


@pytest.fixture(scope="module")
def leftovers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data with an event of another release, one that will be held, and one that will be denied."""
    data = tmp_path_factory.mktemp("leftovers") / "data"
    users = {NEWER: "u1", "closed": "stand-in-create-then-close", "denied": "stand-in-forbidden"}
    with Valkey(data) as valkey, connect_to(valkey.url) as client:
        events = EventStore(client.relay, Keys("relay"), record_ttl_seconds=60, max_backlog=9)
        for event_id, user_id in users.items():
            events.accept(OpenChatEvent(event_id=event_id, user_id=user_id))
        key = f"{{relay}}:event:{NEWER}"
        client.set(key, json.dumps(json.loads(client.get(key)) | {"v": 99}))
    (data / "notes.txt").write_text("not the stack's")
    return data


def test_events_of_an_earlier_run_are_listed(leftovers: Path) -> None:
    """The output explains why the sample waits, and has a command for each leftover event.

    The rate allows one call, which an earlier event uses.
    """
    slow = {"RATE_LIMIT_PER_SECOND": "0.01", "RATE_LIMIT_BURST": "1"}
    with running(leftovers, **slow) as stack:
        stack.wait_until_ready()

        output = stack.output
        commands = re.findall(
            r"^ +(REDIS_URL=.* -m app.operate (?:explain|list).*)$", output, re.MULTILINE
        )
        pasted = "".join(map(paste, commands))

    assert '"status": "accepted"' in output
    assert "It waits; `explain` shows why:" in output
    assert "denied for stand-in-forbidden waits for its call:" in output
    assert "1 held, because their calls had no answer:" in output
    assert "1 written by another release:" in output
    assert f"make run ARGS='--fresh --data {leftovers}'" in output
    assert "stand-in-forbidden" in pasted
    assert "stand-in-create-then-close" in pasted


def test_a_refused_sample_is_reported(leftovers: Path) -> None:
    """Events of an earlier run fill the backlog: the sample is refused, the stack continues."""
    with running(leftovers, MAX_BACKLOG="1") as stack:
        stack.wait_until_ready()

        assert "A sample event was refused with 429: " in stack.output
        assert stack.child.poll() is None


@pytest.fixture(scope="module")
def fresh(leftovers: Path) -> Iterator[Stack]:
    """A stack that was started with ``--fresh`` on that data."""
    with running(leftovers, "--fresh") as fresh:
        fresh.wait_until_ready()
        yield fresh


def test_fresh_starts_with_empty_data(fresh: Stack) -> None:
    """The sample is opened; files that no stack wrote remain."""
    assert '"status": "opened"' in fresh.output
    assert "of an earlier run" not in fresh.output
    assert "not the stack's" == (fresh.data / "notes.txt").read_text()


def test_fresh_keeps_the_data_of_a_running_stack(stack: Stack) -> None:
    """It is refused like any second stack."""
    before = sorted(stack.data.rglob("*"))

    code, output = Stack(stack.data, free_port(), "--fresh").refusal()

    assert (1, True) == (code, f"another Valkey uses {stack.data}" in output)
    assert before == sorted(stack.data.rglob("*"))


@pytest.mark.parametrize(
    ("name", "options", "settings", "sentence"),
    [
        ("file", (), {}, "{data} cannot be used"),
        ("dangling", (), {}, "{data} cannot be used"),
        ("locked", (), {}, "{data}/valkey.lock"),
        ("foreign", ("--fresh",), {}, "nothing was removed: {data} has no valkey.lock"),
        ("own", ("--fresh",), {"REDIS_URL": "redis://127.0.0.1:1"}, "not the Redis of REDIS_URL"),
    ],
)
def test_unusable_data_is_refused(
    tmp_path: Path, name: str, options: Sequence[str], settings: Mapping[str, str], sentence: str
) -> None:
    """The message is one line, and no file changes."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "locked" / "valkey.lock").mkdir(parents=True)  # a directory, which cannot be opened
    kept = [tmp_path / name / "spool" / "answers.jsonl" for name in ("foreign", "own")]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("one")
    data = tmp_path / name

    code, output = Stack(data, free_port(), *options, **settings).refusal()

    assert (1, 1) == (code, len(output.splitlines())), output
    assert sentence.format(data=data) in output
    assert ["one", "one"] == [path.read_text() for path in kept]


def test_unreadable_data_is_reported(tmp_path: Path) -> None:
    """The message has this run's end of Valkey's log, and the command for empty data."""
    data = tmp_path / "data"
    (data / "appendonlydir").mkdir(parents=True)
    (data / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")
    (data / "valkey.log").write_text("a line of an earlier run\n")

    code, output = Stack(data, free_port()).refusal()

    assert 1 == code
    assert f"\nTo start with empty data: make run ARGS='--fresh --data {data}'\n" in output
    assert "valkey-server on port" in output
    assert "a line of an earlier run" not in output


def test_default_data_is_removed_by_a_short_command() -> None:
    """The README has the same command."""
    assert "make run ARGS=--fresh" == fresh_command(DATA)
    assert "`make run ARGS=--fresh`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("redis://127.0.0.1:6400/0", "REDIS_URL=redis://127.0.0.1:6400/0 "),
        ("redis://h/0?ssl=1&x=2", "REDIS_URL='redis://h/0?ssl=1&x=2' "),
        ("redis://:secret@h/0", ""),
    ],
)
def test_operate_command_has_the_redis_url(url: str, prefix: str) -> None:
    """The command is quoted for a shell, and contains no password."""
    command = operate_command({"REDIS_URL": url})

    assert command.startswith(prefix)
    assert command.removeprefix(prefix).endswith("python -m app.operate")
    assert "secret" not in command


@only_linux
def test_sigterm_stops_a_starting_stack(tmp_path: Path) -> None:
    """SIGTERM has the effect of Ctrl-C, and no process remains."""
    with running(tmp_path / "data") as starting:
        wait_until(lambda: len(starting.processes()) > 1, 30, "its first child")
        processes = starting.processes()

        starting.child.terminate()

        assert 0 == starting.child.wait(60)
        assert starting.output.endswith("Stopped.\n")
        wait_until(lambda: not [path for path in processes if path.exists()], 30, "the end of all")


def test_a_stop_signal_survives_swallowed_exceptions() -> None:
    """A signal that arrives where a library suppresses exceptions still stops the stack."""
    program = """
import signal
from contextlib import suppress
from tools.stack import __main__ as stack
stack._record_signals()
with suppress(BaseException):
    signal.raise_signal(signal.SIGTERM)
stack._watch_processes([])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False
    )

    assert b"StopRequested" in done.stderr


@only_linux
def test_a_running_stack_catches_both_signals(stack: Stack) -> None:
    """SIGINT is caught although the parent ignored it."""
    status = Path(f"/proc/{stack.child.pid}/status").read_text()

    (caught,) = re.findall(r"^SigCgt:\s+([0-9a-f]+)$", status, re.MULTILINE)
    assert all(int(caught, 16) >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))


@only_linux
def test_a_killed_stack_leaves_no_process(stack: Stack, fresh: Stack) -> None:
    """The kernel ends its children; another stack with its own data continues."""
    processes = fresh.processes()
    assert len(processes) >= len(["supervisor", "valkey", "web", "web's process", "worker"])

    fresh.child.kill()
    fresh.child.wait()

    wait_until(lambda: not [path for path in processes if path.exists()], 30, "the end of all")
    assert stack.child.poll() is None
