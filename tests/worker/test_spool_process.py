"""Tests of workers with spooled results: real processes, and stores that fail.

Kept results are settled before the next take, which would declare their calls lost. A worker whose
``SPOOL_DIR`` cannot be written reports it, works on, and loses no id: its log is enough.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import requests
from click.testing import CliRunner
from gevent.event import Event
from gevent.pool import Pool

from app.bootstrap.operate import build_cli_context
from app.channel.tasks import ChannelTasks
from app.chats.errors import StoreUnavailable
from app.chats.grant import SettleEffect, SettleResult, TakeResult
from app.chats.record import as_json
from app.operate.commands import cli
from app.store.grants import GrantStore
from app.store.keys import Keys
from app.worker.call import CallRunner
from app.worker.metrics import WorkerMetrics
from app.worker.reporter import CallReporter
from app.worker.spool import CallResult
from app.worker.taker import Taker
from tests.channel.calls import client_of
from tests.scraped import samples
from tests.worker.conftest import OpenSpool, close
from tests.worker.faults import StoreFault
from tests.worker.results import TRACE, result_of, take_line
from tests.worker.workbench import PATIENCE_SECONDS, Workbench
from tools.model.outcomes import CREATED, created
from tools.model.store_driver import StoreDriver
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.processes import free_port, start_child
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


CONSENTING = {"on_unknown": "recreate"}


def overdue_result(store: StoreDriver, event_id: str = "e1") -> CallResult:
    """The result of a call whose worker counts as lost by now."""
    grant = store.granted(event_id, **CONSENTING)
    store.lose_worker(event_id)
    return CallResult(grant, created(f"chat-of-{event_id}"), TRACE, 0.1)


def leave(directory: Path, open_spool: OpenSpool, *results: CallResult) -> None:
    """Let a process end that has kept these."""
    dead = open_spool(directory)
    for result in results:
        dead.keep(result)
    close(dead)


def make_newer(bench: Workbench, event_id: str) -> None:
    """Let a newer release have written the record."""
    bench.store.set_fields(event_id, v=4)


def make_wrong(bench: Workbench, event_id: str) -> None:
    """Let something that is no index be in the place of its user's."""
    bench.client.set(bench.store.key(f"user:user-of-{event_id}"), "no index")


def assert_settled_once(bench: Workbench, event_id: str = "e1") -> None:
    """It is opened, nothing was found to be lost, and nothing was called."""
    record = bench.wait_for(event_id, "opened")
    assert [] == bench.store.history(event_id)
    assert (1, False) == (record.attempts, record.possible_orphan)
    assert 0 == len(bench.chats_of("u1"))


def test_results_of_a_dead_process_are_settled_before_the_first_take(
    bench: Workbench, open_spool: OpenSpool
) -> None:
    """Its event is not called again by consent: the result was there all the time.

    What else may be there stops no worker.
    """
    bench.store.open_gate()
    leave(bench.spool, open_spool, overdue_result(bench.store))
    os.mkfifo(bench.spool / "a.jsonl")
    (bench.spool / "z.jsonl").symlink_to(bench.spool / "a.jsonl")

    bench.start()

    assert_settled_once(bench)


class StoreInOutage(GrantStore):
    """A store whose ``takes`` fail; a process with one result ends during the first.

    ``done`` has what was done, in order.
    """

    def __init__(self, directory: Path, open_spool: OpenSpool, stopping: Event) -> None:
        """Be there at first."""
        self.done: list[str] = []
        self._directory = directory
        self._open_spool = open_spool
        self._stopping = stopping

    def take(self, *_: Any, **__: Any) -> TakeResult:
        """Fail."""
        if self.done:
            self._stopping.set()
        else:
            leave(self._directory, self._open_spool, result_of("e1"))
        self.done.append("take")
        raise StoreUnavailable("away")

    def release(self, *_: Any) -> str:
        """Release."""
        return "ignored"

    def settle(self, *_: Any, **__: Any) -> SettleResult:
        """Settle."""
        self.done.append("settle")
        return SettleResult(SettleEffect.OPENED, None)


def test_files_left_in_an_outage_are_settled_before_the_next_take(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """Another process ended meanwhile, and its calls are overdue."""
    stopping = Event()
    store, spool = StoreInOutage(tmp_path, open_spool, stopping), open_spool(tmp_path)
    reporter = CallReporter(WorkerMetrics(), take_line)
    channel = client_of("http://unused")
    tasks = ChannelTasks(channel, key_prefix="relay", bot_name=None)
    calls = CallRunner(store, channel, tasks, spool, reporter, deadline_seconds=5)
    taker = Taker(store, calls, spool, reporter, Pool(1), deadline_seconds=5, stopping=stopping)

    gevent.spawn(taker.run).join(PATIENCE_SECONDS)

    assert ["take", "settle", "take"] == store.done


def test_nothing_is_taken_while_redis_does_not_confirm_what_is_kept(
    bench: Workbench, open_spool: OpenSpool
) -> None:
    """It fails for a moment, and would confirm a take in the next one."""
    bench.store.open_gate()
    leave(bench.spool, open_spool, overdue_result(bench.store))

    bench.start(before={"settle": [StoreFault.LOSE]})

    assert_settled_once(bench)


@pytest.mark.parametrize("refuse", [make_newer, make_wrong], ids=["newer", "wrong type"])
def test_a_result_that_is_never_taken_holds_up_no_other(
    bench: Workbench, open_spool: OpenSpool, refuse: Callable[[Workbench, str], None]
) -> None:
    """Redis refuses it for as long as its record is so: others are settled and called meanwhile."""
    bench.store.open_gate()
    refused = CallResult(
        bench.store.granted("refused", user_id="user-of-refused"), CREATED, TRACE, 0.1
    )
    refuse(bench, "refused")
    leave(bench.spool, open_spool, refused, overdue_result(bench.store))
    bench.store.accept("e2", user_id="called")

    bench.start()

    bench.wait_for("e2", "opened")
    assert_settled_once(bench)
    assert refused.grant.token in bench.spooled()


def test_a_kept_result_of_an_earlier_life_changes_nothing(
    bench: Workbench, open_spool: OpenSpool
) -> None:
    """Its event is over, and another user's has its id: that one is called, and gets its own chat.

    The late answer is logged and counted, and its file is gone.
    """
    bench.store.open_gate()
    grant = bench.store.granted("e1", user_id="alice")
    bench.client.flushall()
    bench.store.accept("e1", user_id="bob")
    leave(bench.spool, open_spool, CallResult(grant, created("chat-of-alice"), TRACE, 0.1))
    port = free_port()

    bench.start_ordinary(METRICS_PORT=str(port))

    record = bench.wait_for("e1", "opened")
    assert ("bob", bench.chats_of("bob")) == (record.user_id, [record.chat and record.chat.id])
    line = bench.worker.wait_for_line("stale_answer", level="warning")
    assert (grant.token, grant.life_ms, "chat-of-alice") == (
        line["token"],
        line["life"],
        line["chat_id"],
    )
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS).text
    assert 1 == samples(text)["relay_stale_answers_total"]
    assert "" == bench.spooled()
