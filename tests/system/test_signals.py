"""The worker's signals: four stop it gently, whatever Redis does, and two change nothing."""

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from signal import Signals

import pytest

from tools.stack.channel_io import Behaviour
from tools.stack.deployment import LONG_CALLS, Deployment, Json
from tools.stack.processes import kill_child, wait_until
from tools.stack.redis_proxy import Mode, RedisProxy
from tools.stack.relay import Process
from tools.stack.verdict import spooled_ids

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
NAMES = [number.name for number in STOPS]
MAX_STOP_SECONDS = 5  # 3 of them are the promise, the rest ends Python on a busy machine
GIVE_UP_SECONDS = 20
OUTAGE_SECONDS = 3  # after a command failed: whatever follows, such as giving back, fails as well


@dataclass(frozen=True)
class WorkerEnd:
    """A worker's end: its exit code, and the seconds after its signal."""

    code: int
    seconds: float


def stop(worker: Process, number: Signals) -> WorkerEnd:
    """Send a signal, and wait for the end; one that does not come is SIGKILL's."""
    began = time.monotonic()
    worker.child.send_signal(number)
    try:
        code = worker.child.wait(GIVE_UP_SECONDS)
    except subprocess.TimeoutExpired:
        code = kill_child(worker.child)
    return WorkerEnd(code, time.monotonic() - began)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A relay without a worker."""
    with Deployment(tmp_path_factory.mktemp("signals")) as relay:
        relay.start_web().wait_until_ready()
        yield relay


# While calls are in flight


@dataclass(frozen=True)
class StoppedWorker:
    """A worker that was stopped during its call: its end, and the record of its event."""

    end: WorkerEnd
    records: Sequence[Json]


@pytest.fixture(scope="module")
def during_a_call(relay: Deployment) -> Mapping[Signals, StoppedWorker]:
    """A worker for each signal, all of them stopped while Channel.io holds its answers."""
    workers = {number: relay.start_worker(WORKER_CONCURRENCY="1", **LONG_CALLS) for number in STOPS}
    relay.channel_io.plan(*[Behaviour.CREATE_THEN_WAIT] * len(STOPS))
    for number in STOPS:
        relay.caller.post({"event_id": number.name, "user_id": number.name})
    relay.channel_io.wait_for_arrivals(len(STOPS), GIVE_UP_SECONDS)

    with ThreadPoolExecutor() as pool:
        ends = {number: pool.submit(stop, workers[number], number) for number in STOPS}
        for worker in workers.values():
            wait_until(lambda: is_stopping(worker), GIVE_UP_SECONDS, "a worker to stop")  # noqa: B023
        relay.caller.post({"event_id": "later", "user_id": "later"})
        relay.channel_io.release()
    return {
        number: StoppedWorker(ends[number].result(), records_of(relay, worker))
        for number, worker in workers.items()
    }


def is_stopping(worker: Process) -> bool:
    """Return whether the worker has heeded its signal, or has ended."""
    return bool(worker.lines("worker_stopping")) or worker.child.poll() is not None


def records_of(relay: Deployment, worker: Process) -> list[Json]:
    """The records of the events that a worker has logged a call for."""
    return [relay.caller.record(line["event_id"]) for line in worker.lines("call")]


@pytest.mark.parametrize("number", STOPS, ids=NAMES)
def test_a_call_in_flight_is_finished_and_settled(
    during_a_call: Mapping[Signals, StoppedWorker], number: Signals
) -> None:
    """The answer that comes after the signal is stored, and the worker ends well."""
    stopped = during_a_call[number]

    assert 0 == stopped.end.code
    assert ["opened"] == [record["status"] for record in stopped.records]


@pytest.mark.usefixtures("during_a_call")
def test_nothing_is_taken_after_a_signal(relay: Deployment) -> None:
    """Events posted meanwhile wait for another worker, and the spool is empty."""
    record = relay.caller.record("later")

    assert ("accepted", 0) == (record["status"], record["attempts"])
    assert [] == spooled_ids(relay)


# While Redis does not answer


@pytest.fixture(scope="module")
def without_redis(relay: Deployment) -> Mapping[str, WorkerEnd]:
    """Workers without a call whose Redis fell silent, or was frozen, and how each stopped."""
    with ExitStack() as stack:
        line = stack.enter_context(RedisProxy(relay.valkey.port))
        workers = {
            name: relay.start_worker(REDIS_URL=url, **LONG_CALLS)
            for name, url in (
                *((name, line.url) for name in NAMES),
                ("frozen", relay.valkey.url),
            )
        }
        for worker in workers.values():
            worker.wait_for_line("worker_started")
        line.fail(Mode.SILENT)
        relay.valkey.pause()
        stack.callback(relay.valkey.resume)
        for worker in workers.values():
            worker.wait_for_line("redis_unavailable")
        time.sleep(OUTAGE_SECONDS)

        pool = stack.enter_context(ThreadPoolExecutor())
        ends = {
            name: pool.submit(stop, worker, getattr(signal, name, signal.SIGTERM))
            for name, worker in workers.items()
        }
        return {name: end.result() for name, end in ends.items()}


@pytest.mark.parametrize("name", [*NAMES, "frozen"])
def test_a_worker_without_calls_and_redis_stops_in_time(
    without_redis: Mapping[str, WorkerEnd], name: str
) -> None:
    """It waits for no reply, however long a call may last."""
    end = without_redis[name]

    assert 0 == end.code
    assert end.seconds < MAX_STOP_SECONDS


# Others


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2], ids=["SIGUSR1", "SIGUSR2"])
def test_a_signal_that_means_nothing_changes_nothing(relay: Deployment, number: Signals) -> None:
    """The worker goes on working."""
    worker = relay.start_worker()
    worker.wait_for_line("worker_started")

    worker.child.send_signal(number)
    answer = relay.caller.post({"event_id": number.name, "user_id": "u1"}, Prefer="wait=5")

    assert (200, "opened") == (answer.status_code, answer.json()["status"])
    assert worker.child.poll() is None
    worker.kill()
