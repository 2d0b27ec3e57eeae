"""A worker whose ``SPOOL_DIR`` cannot be written says so, works on, and loses no id.

Real processes: Redis goes while a call is out, the disk takes nothing, and the worker is killed.
What is left is its log, and that is enough.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from app.bootstrap.operate import build_cli_context
from app.chats.record import as_json
from app.operate.commands import cli
from app.store.keys import Keys
from tests.worker.conftest import OpenSpool
from tests.worker.disks import HangingDisk, full_after
from tests.worker.results import result_of
from tests.worker.test_spool_disk import MAX_KEEP_SECONDS, drained
from tools.model.store_driver import StoreDriver
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.processes import start_child
from tools.stack.relay import PYTHON, ROOT, Process

# The program's log goes through a pipe: on this disk nothing can be written, and that is its own.
FULL = 'ulimit -S -f 0; "$@" | (ulimit -S -f unlimited; cat >> "$LOG")'


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Deployment]:
    """A relay with a Redis of its own, and no process yet."""
    with Deployment(tmp_path / "relay", CALL_DEADLINE_SECONDS="60") as relay:
        yield relay


@pytest.fixture
def no_directory(tmp_path: Path) -> Path:
    """Something else is where it should be."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "spool"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that may only be read; root may write to any, unless the whole disk is so."""
    directory = tmp_path / "read-only"
    directory.mkdir(mode=0o500)
    if os.getuid() != 0:
        yield directory
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("root may write everywhere here, and mount nothing")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)  # noqa: S607 - the system's own


def start_worker(relay: Deployment, spool: Path) -> Process:
    """A worker with that directory."""
    return relay.start_worker(SPOOL_DIR=str(spool))


def start_on_full_disk(relay: Deployment) -> Process:
    """A worker that cannot make any file longer than nothing."""
    log = relay.directory / "worker-full.log"
    log.touch()
    environ = {**relay.environ, "LOG": str(log), "PATH": os.defpath}
    command = ["sh", "-c", FULL, "sh", PYTHON, "-m", "app.worker"]
    process = Process(start_child(command, env=environ, cwd=ROOT), log)
    relay.processes.append(process)
    return process


def lose_answer(relay: Deployment, worker: Process) -> str:
    """Let a chat be made whose answer is neither in Redis nor in a file; its id."""
    relay.channel_io.plan(Behaviour.CREATE_THEN_WAIT)
    with relay.connect() as client:
        StoreDriver(client, Keys("relay")).accept("e1", user_id="u1")
    relay.channel_io.wait_for_arrivals(timeout_seconds=30)
    relay.valkey.kill()
    relay.channel_io.release()
    worker.wait_for_line("answer_not_spooled", event_id="e1")
    worker.kill()
    relay.valkey.start()
    (create,) = relay.creates
    return create.chat_id


def recover(relay: Deployment, log: Path) -> tuple[int, list[dict[str, str]]]:
    """Run ``recover``: its exit code, and what became of the lines."""
    done = CliRunner().invoke(
        cli,
        ["recover", "--from-log", str(log), "--json"],
        obj=build_cli_context({"REDIS_URL": relay.valkey.url}),
        catch_exceptions=False,
    )
    return done.exit_code, json.loads(done.stdout)


def look_up(relay: Deployment, chat_id: str) -> dict[str, Any] | None:
    """Look the event up by its chat."""
    with relay.connect() as client:
        record = StoreDriver(client, Keys("relay")).intake().event_of_chat(chat_id)
        return as_json(record) if record else None


def test_no_directory_loses_no_id(relay: Deployment, no_directory: Path) -> None:
    """Said at the start; read back from the log; twice is once."""
    worker = start_worker(relay, no_directory)
    check_said_and_recovered(relay, worker, str(no_directory), "Not a directory")


def test_a_read_only_disk_loses_no_id(relay: Deployment, read_only: Path) -> None:
    """Said at the start; read back from the log; twice is once."""
    worker = start_worker(relay, read_only)
    denied = "Read-only file system" if os.getuid() == 0 else "Permission denied"
    check_said_and_recovered(relay, worker, str(read_only), denied)


def test_a_full_disk_loses_no_id(relay: Deployment) -> None:
    """Said at the start; read back from the log; twice is once."""
    worker = start_on_full_disk(relay)
    check_said_and_recovered(relay, worker, str(relay.spool), "File too large")


def check_said_and_recovered(relay: Deployment, worker: Process, path: str, reason: str) -> None:
    """The whole way: what is said at the start, and what is left after everything has failed."""
    worker.wait_for_line("worker_started")
    (said,) = worker.lines("spool_unusable", level="error")
    assert (path, reason) == (said["path"], said["reason"])
    assert "recover --from-log" in said["advice"]

    chat_id = lose_answer(relay, worker)
    assert look_up(relay, chat_id) is None
    code, results = recover(relay, worker.log)
    record = look_up(relay, chat_id)
    code_again, again = recover(relay, worker.log)

    assert (0, ["opened"]) == (code, [result["result"] for result in results])
    assert record is not None
    assert ("e1", "opened", chat_id) == (record["event_id"], record["status"], record["chat"]["id"])
    assert (1, ["ignored"]) == (code_again, [result["result"] for result in again])
    assert record == look_up(relay, chat_id)
    assert 1 == len(relay.creates)
    assert [] == worker.lines("greenlet_failed")


def test_a_usable_directory_is_no_word_worth(tmp_path: Path, open_spool: OpenSpool) -> None:
    """It is made, and nothing stays in it."""
    spool = open_spool(tmp_path / "var" / "spool")

    with capture_logs() as lines:
        spool.check()

    assert [] == lines
    assert [] == [*(tmp_path / "var" / "spool").iterdir()]


def test_a_disk_that_hangs_at_the_start_is_given_up(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that comes meanwhile must not wait for it."""
    spool = open_spool(tmp_path)
    disk = HangingDisk(monkeypatch)
    began = time.monotonic()

    with capture_logs() as lines:
        spool.check()

    assert time.monotonic() - began < MAX_KEEP_SECONDS
    assert ["the disk does not respond"] == [line["reason"] for line in lines]
    disk.go_on()


@pytest.mark.parametrize("room_bytes", [0, 1, 4096])
def test_a_disk_that_is_nearly_full_is_said(
    tmp_path: Path, open_spool: OpenSpool, room_bytes: int
) -> None:
    """Room for a name, or for half an answer, is none; and what was tried is removed."""
    spool = open_spool(tmp_path)

    with full_after(room_bytes), capture_logs() as lines:
        spool.check()

    assert ["spool_unusable"] == [line["event"] for line in lines]
    assert [] == [*tmp_path.iterdir()]


def test_what_cannot_be_removed_is_settled_once(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that became read-only: its files are not adopted again every second."""
    open_spool(tmp_path / "source").keep(result_of("e1"))
    (file,) = (tmp_path / "source").iterdir()
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "left.jsonl").write_bytes(file.read_bytes())
    spool = open_spool(tmp_path / "left")

    def refuse(_: Path, *, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with capture_logs() as lines:
        settled = [drained(spool), drained(spool)]

    assert [[result_of("e1")], []] == settled
    assert 1 == [line["event"] for line in lines].count("spool_file_stays")
