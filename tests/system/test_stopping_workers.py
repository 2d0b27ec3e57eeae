"""A worker that is told to stop takes nothing more, finishes its call, and exits 0 in time."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.stack.channel_io import Behaviour
from tests.stack.processes import wait_until
from tests.stack.relay import Process
from tests.system.deployment import Deployment
from tests.system.redis_line import RedisLine
from tests.system.verdict import spooled_ids

CALL_DEADLINE_SECONDS = 3  # so long may a busy machine take to let a held answer go
MAX_STOP_SECONDS = CALL_DEADLINE_SECONDS + 2


@pytest.fixture(scope="module")
def line(deployment: Deployment, no_worker_stays: None) -> Iterator[RedisLine]:
    """The workers' line to Redis."""
    with RedisLine(deployment.valkey.port) as line:
        yield line


@pytest.fixture
def worker(relay: Deployment, line: RedisLine) -> Iterator[Process]:
    """The worker that is to stop; what it leaves is done by another one."""
    worker = start_one(relay, line)
    worker.wait_for_line("worker_started")
    yield worker
    start_one(relay, line)


def start_one(relay: Deployment, line: RedisLine) -> Process:
    """A worker, with Redis there."""
    line.mend()
    deadline = str(CALL_DEADLINE_SECONDS)
    return relay.worker(
        REDIS_URL=line.url, CALL_DEADLINE_SECONDS=deadline, CALL_CONNECT_TIMEOUT_SECONDS=deadline
    )


def hold_call(relay: Deployment, behaviour: Behaviour) -> None:
    """Have an event called, and the call held."""
    relay.channel_io.plan(behaviour)
    relay.caller.post({"event_id": "e1", "user_id": "u1"})
    wait_until(lambda: relay.calls_of("u1"), 20, "the call")


def exit_of(worker: Process, told_at: float) -> tuple[int, bool]:
    """The exit code, and whether it came in time."""
    code = worker.child.wait(30)
    return code, time.monotonic() - told_at <= MAX_STOP_SECONDS


def tell_to_stop(worker: Process, number: signal.Signals = signal.SIGTERM) -> float:
    """Send the signal; when that was."""
    told_at = time.monotonic()
    worker.child.send_signal(number)
    worker.wait_for_line("worker_stopping")
    return told_at


def test_a_worker_without_a_call_stops(worker: Process) -> None:
    """Ctrl-C in a terminal does what SIGTERM does."""
    assert (0, True) == exit_of(worker, tell_to_stop(worker, signal.SIGINT))


def test_it_finishes_its_call_and_takes_nothing_more(relay: Deployment, worker: Process) -> None:
    """The call under way is settled; what is accepted from then on waits for another worker."""
    hold_call(relay, Behaviour.CREATE_THEN_WAIT)
    told_at = tell_to_stop(worker)
    relay.caller.post({"event_id": "e2", "user_id": "u2"})
    relay.channel_io.release()

    assert (0, True) == exit_of(worker, told_at)

    assert "opened" == relay.caller.record("e1")["status"]
    assert ("accepted", 0) == tuple(
        relay.caller.record("e2")[key] for key in ("status", "attempts")
    )


def test_it_does_not_wait_for_an_answer_for_ever(relay: Deployment, worker: Process) -> None:
    """At the deadline the call is over, and held."""
    hold_call(relay, Behaviour.SILENCE)

    assert (0, True) == exit_of(worker, tell_to_stop(worker))

    assert "no_answer" == relay.caller.record("e1")["failure"]["code"]


def test_without_redis_the_answer_is_left_in_the_spool(
    relay: Deployment, line: RedisLine, worker: Process
) -> None:
    """Redis is away until the end: the next worker with that directory opens the event."""
    hold_call(relay, Behaviour.CREATE_THEN_WAIT)
    line.cut()
    told_at = tell_to_stop(worker)
    relay.channel_io.release()

    assert (0, True) == exit_of(worker, told_at)

    (chat_id,) = spooled_ids(relay)
    start_one(relay, line)
    assert chat_id == relay.caller.wait_for("e1", "opened")["chat"]["id"]
