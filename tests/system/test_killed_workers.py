"""A worker is lost before, during or after its call: nothing is lost, nothing is called twice."""

from collections.abc import Iterator

import pytest

from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment, Json
from tools.stack.processes import wait_until
from tools.stack.redis_line import GRANT, RedisLine
from tools.stack.relay import Process
from tools.stack.verdict import spooled_ids


@pytest.fixture(scope="module")
def line(deployment: Deployment, no_worker_stays: None) -> Iterator[RedisLine]:
    """The workers' line to Redis."""
    with RedisLine(deployment.valkey.port) as line:
        yield line


@pytest.fixture
def worker(relay: Deployment, line: RedisLine) -> Process:
    """The worker that is to be lost; it may be the one that came to help in the test before."""
    return relay.worker(REDIS_URL=line.url)


def recover(relay: Deployment, line: RedisLine, event_id: str, status: str) -> Json:
    """The record as it is once its lost worker was noticed, and another one is there."""
    line.mend()
    relay.expire_leases()
    relay.worker(REDIS_URL=line.url)
    return relay.caller.wait_for(event_id, status)


def hold_call(relay: Deployment, behaviour: Behaviour, **fields: str) -> None:
    """Have an event called, and the call held by Channel.io until it is released."""
    relay.channel_io.plan(behaviour)
    relay.caller.post({"event_id": "e1", "user_id": "u1", **fields})
    relay.channel_io.wait_for_arrivals()


def lose_disk(relay: Deployment) -> None:
    """Let whatever was spooled be gone."""
    for path in relay.spool.glob("*"):
        path.unlink()


def test_killed_before_its_call_the_event_is_held(
    relay: Deployment, line: RedisLine, worker: Process
) -> None:
    """The grant was stored and nothing was sent: no other worker can know that, so none calls."""
    line.cut_at(GRANT)
    relay.caller.post({"event_id": "e1", "user_id": "u1"})
    line.wait_for_cut()
    worker.kill()

    record = recover(relay, line, "e1", "unknown")

    assert ("worker_lost", 1) == (record["failure"]["code"], record["attempts"])
    assert [] == relay.creates_of("u1")


@pytest.mark.parametrize("behaviour", [Behaviour.WAIT_THEN_CREATE, Behaviour.CREATE_THEN_WAIT])
def test_killed_during_its_call_the_event_is_held(
    relay: Deployment, line: RedisLine, worker: Process, behaviour: Behaviour
) -> None:
    """The event is not called again when a killed worker loses the answer."""
    hold_call(relay, behaviour)
    worker.kill()
    relay.channel_io.release()

    record = recover(relay, line, "e1", "unknown")

    assert ("worker_lost", None) == (record["failure"]["code"], record["created"])
    wait_until(lambda: 1 == len(relay.creates_of("u1")), 20, "the chat without a record")


def test_killed_before_the_settle_the_answer_is_in_the_spool(
    relay: Deployment, line: RedisLine, worker: Process
) -> None:
    """Redis was away when the answer came: the next worker with that directory opens the event."""
    hold_call(relay, Behaviour.CREATE_THEN_WAIT)
    line.cut()
    relay.channel_io.release()
    (chat_id,) = wait_until(lambda: spooled_ids(relay), 20, "the answer in the spool")
    worker.kill()

    record = recover(relay, line, "e1", "opened")

    assert chat_id == record["chat"]["id"]
    wait_until(lambda: not [*relay.spool.iterdir()], 20, "the spool to be empty")


def test_killed_and_its_disk_lost_the_answer_is_in_the_log(
    relay: Deployment, line: RedisLine, worker: Process
) -> None:
    """The event is held, and the id that Channel.io returned can be read from the log."""
    hold_call(relay, Behaviour.CREATE_THEN_WAIT)
    line.cut()
    relay.channel_io.release()
    call = worker.wait_for_line("call", event_id="e1")
    worker.kill()
    lose_disk(relay)

    recover(relay, line, "e1", "unknown")

    assert [call["chat_id"]] == [create.chat_id for create in relay.creates_of("u1")]
    relay.only_logged.add(call["chat_id"])


def test_the_answer_of_a_worker_that_was_only_slow_opens_the_event(
    relay: Deployment, line: RedisLine, worker: Process
) -> None:
    """A call took longer than its lease: its event was held, and then the answer came."""
    hold_call(relay, Behaviour.CREATE_THEN_WAIT)
    recover(relay, line, "e1", "unknown")

    relay.channel_io.release()
    record = relay.caller.wait_for("e1", "opened")

    assert [record["chat"]["id"]] == [create.chat_id for create in relay.creates_of("u1")]


def test_a_late_answer_never_changes_the_published_id(
    relay: Deployment, line: RedisLine, worker: Process
) -> None:
    """By consent a second chat was made and published; the first one's id is kept beside it."""
    hold_call(relay, Behaviour.CREATE_THEN_WAIT, on_unknown="recreate")
    published = recover(relay, line, "e1", "opened")["chat"]

    relay.channel_io.release()
    wait_until(lambda: relay.caller.record("e1")["duplicate_chat_ids"], 20, "the late answer")

    late, _ = relay.creates_of("u1")
    record = relay.caller.record("e1")
    assert (published, [late.chat_id]) == (record["chat"], record["duplicate_chat_ids"])
    worker.wait_for_line("settled", event_id="e1", result="duplicate")
