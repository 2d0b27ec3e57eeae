"""Tests of a worker's stop: it takes nothing more, finishes its call, and exits 0."""

import signal
import time
from collections.abc import Iterator

import pytest

from tools.stack.channel_io import Behaviour
from tools.stack.deployment import LONG_CALLS, Deployment
from tools.stack.processes import wait_until
from tools.stack.redis_line import RedisLine
from tools.stack.relay import Process
from tools.stack.verdict import spooled_ids

STOP_MARGIN_SECONDS = 2
# A stop may last as long as a call, so these are short; yet a test must let an answer go in time.
SHORT_CALLS = {"CALL_CONNECT_TIMEOUT_SECONDS": "5", "CALL_DEADLINE_SECONDS": "5"}
MAX_STOP_SECONDS = int(SHORT_CALLS["CALL_DEADLINE_SECONDS"]) + STOP_MARGIN_SECONDS


@pytest.fixture(scope="module")
def line(deployment: Deployment, no_worker_stays: None) -> Iterator[RedisLine]:
    """The workers' line to Redis."""
    with RedisLine(deployment.valkey.port) as line:
        yield line


@pytest.fixture
def calls(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of the worker's calls: short ones, unless the test is parametrized."""
    given: dict[str, str] = getattr(request, "param", SHORT_CALLS)
    return given


@pytest.fixture
def worker(relay: Deployment, line: RedisLine, calls: dict[str, str]) -> Iterator[Process]:
    """The worker that is to stop; another one finishes what it leaves."""
    relay.kill_workers()
    line.mend()
    worker = relay.start_worker(REDIS_URL=line.url, **calls)
    worker.wait_for_line("worker_started")
    yield worker
    start_another(relay, line)


def start_another(relay: Deployment, line: RedisLine) -> None:
    """Have a worker run, with Redis there."""
    line.mend()
    relay.worker(REDIS_URL=line.url)


def hold_call(relay: Deployment) -> None:
    """Have an event called, and its answer held."""
    relay.channel_io.plan(Behaviour.CREATE_THEN_WAIT)
    relay.caller.post({"event_id": "e1", "user_id": "u1"})
    relay.channel_io.wait_for_arrivals()


def exit_of(worker: Process, since: float) -> tuple[int, float]:
    """Return the exit code, and how many seconds after ``since`` it came."""
    code = worker.child.wait(30)
    return code, time.monotonic() - since


def send_stop(worker: Process, number: signal.Signals = signal.SIGTERM) -> float:
    """Send the signal; return when, once the worker has noticed."""
    sent_at = time.monotonic()
    worker.child.send_signal(number)
    worker.wait_for_line("worker_stopping")
    return sent_at


def test_a_worker_without_a_call_stops(worker: Process) -> None:
    """Ctrl-C in a terminal does what SIGTERM does."""
    code, seconds = exit_of(worker, send_stop(worker, signal.SIGINT))

    assert 0 == code
    assert MAX_STOP_SECONDS >= seconds


@pytest.mark.parametrize("calls", [LONG_CALLS], indirect=True)
def test_a_stopping_worker_finishes_its_call_and_takes_nothing_more(
    relay: Deployment, worker: Process
) -> None:
    """The call under way is settled; what is accepted from then on waits for another worker."""
    hold_call(relay)
    send_stop(worker)
    relay.caller.post({"event_id": "e2", "user_id": "u2"})
    released_at = time.monotonic()
    relay.channel_io.release()

    code, seconds = exit_of(worker, released_at)

    assert 0 == code
    assert MAX_STOP_SECONDS >= seconds
    assert "opened" == relay.caller.record("e1")["status"]
    assert ("accepted", 0) == tuple(
        relay.caller.record("e2")[key] for key in ("status", "attempts")
    )


def test_a_stop_does_not_wait_for_an_answer_for_ever(relay: Deployment, worker: Process) -> None:
    """At the deadline the call is over, and held."""
    relay.channel_io.plan(Behaviour.SILENCE)
    relay.caller.post({"event_id": "e1", "user_id": "u1"})
    wait_until(lambda: relay.calls_of("u1"), 20, "the call")

    code, seconds = exit_of(worker, send_stop(worker))

    assert 0 == code
    assert MAX_STOP_SECONDS >= seconds
    assert "no_answer" == relay.caller.record("e1")["failure"]["code"]


@pytest.mark.parametrize("calls", [LONG_CALLS], indirect=True)
def test_a_stop_without_redis_leaves_the_answer_in_the_spool(
    relay: Deployment, line: RedisLine, worker: Process
) -> None:
    """Redis is away until the end: the next worker with that directory opens the event."""
    hold_call(relay)
    line.cut()
    sent_at = send_stop(worker)
    relay.channel_io.release()

    code, seconds = exit_of(worker, sent_at)

    assert 0 == code
    assert MAX_STOP_SECONDS >= seconds
    (chat_id,) = spooled_ids(relay)
    start_another(relay, line)
    assert chat_id == relay.caller.wait_for("e1", "opened")["chat"]["id"]
