"""The taker: one grant after the other, and what it does when something goes wrong."""

import time
from datetime import datetime

import pytest

from app.chats.grant import new_token
from app.worker.call import RETRY_SECONDS
from app.worker.taker import FULL_TAKE_SECONDS
from tests.worker.faults import StoreFault
from tests.worker.workbench import PATIENCE_SECONDS, Workbench
from tools.stack.channel_io import Behaviour
from tools.stack.processes import wait_until

# Between two takes of a worker without a free slot; the rest is a busy machine's.
MAX_FULL_TAKE_SECONDS = FULL_TAKE_SECONDS + 1
EXIT_TAKER_ENDED = 1


def hold_call(bench: Workbench, event_id: str, **fields: str) -> None:
    """Have an event called, and its answer held."""
    bench.channel_io.plan(Behaviour.CREATE_THEN_WAIT, user_id=event_id)
    bench.store.accept(event_id, user_id=event_id, **fields)
    bench.channel_io.wait_for_arrivals()


def wait_for_full_takes(bench: Workbench, times: int) -> None:
    """Return once the worker took for want of a slot, so many times more."""
    before = len(bench.worker.lines("store_call", may_grant=False))
    wait_until(
        lambda: len(bench.worker.lines("store_call", may_grant=False)) >= before + times,
        PATIENCE_SECONDS,
        f"{times} takes that grant nothing",
    )


# What is taken


def test_a_probe_comes_before_the_first_call(bench: Workbench) -> None:
    """An untried base URL is probed, and nothing else is sent to it."""
    seen = len(bench.channel_io.requests)
    bench.store.accept("e1", user_id="probed")

    bench.start()

    bench.wait_for("e1", "opened")
    requests = bench.channel_io.requests[seen:]
    assert ["GET", "POST"] == [request.method for request in requests]


def test_nothing_is_called_until_a_probe_was_good(bench: Workbench) -> None:
    """Channel.io does not serve us: that is logged, and the event waits."""
    bench.channel_io.probe_with(Behaviour.UNAUTHORIZED)
    bench.store.accept("e1", user_id="unprobed")

    bench.start()

    bench.worker.wait_for_line("probe_failed")
    assert ("accepted", 0) == (bench.store.record().status, bench.store.record().attempts)
    assert 0 == len(bench.chats_of("unprobed"))


def test_a_take_follows_a_good_probe_at_once(bench: Workbench) -> None:
    """The taker looks at the gate each 200 ms; a probe that ends between wakes it."""
    bench.channel_io.probe_with(Behaviour.CREATE_SLOW, seconds=0.25)
    bench.start(WORKER_CONCURRENCY="2")
    for number in range(3):
        bench.wait_for_call("wait_for_event", times=number + 1)
        bench.client.delete(bench.store.key("gate"))  # the next take is granted a probe
        bench.store.accept(f"e{number}", user_id=f"after-a-probe-{number}")
        bench.wait_for(f"e{number}", "opened")

    probed = [line["timestamp"] for line in bench.worker.lines("probe_succeeded")]
    granted = [line["timestamp"] for line in bench.worker.lines("store_call", name="grant")]
    assert 3 == len(granted)
    gaps = [seconds_between(first, last) for first, last in zip(probed[-3:], granted, strict=True)]
    # 150 ms or more if the taker only looked; a busy machine may delay one of them, not each
    assert 0.075 > min(gaps)


def test_an_event_takes_two_round_trips(bench: Workbench) -> None:
    """One grants its call, one settles it, and nothing comes between them."""
    bench.store.accept("e1", user_id="first")
    bench.store.accept("e2", user_id="second")

    bench.start()

    bench.wait_for_call("settle", times=2)
    assert ["grant", "settle"] * 2 == bench.calls_from("grant")[:4]


def test_an_idle_taker_wakes_at_the_bell(bench: Workbench) -> None:
    """Nothing was due, then an event is accepted."""
    bench.start()
    bench.wait_for_call("wait_for_event")

    bench.store.accept("e1", user_id="awake")

    bench.wait_for("e1", "opened")


def test_while_the_gate_is_shut_the_taker_does_not_listen_to_the_bell(bench: Workbench) -> None:
    """A worker without a free slot leaves the bell to others."""
    bench.grants().take(new_token())  # another one's probe
    bench.store.accept("e1")
    bench.store.accept("e2")

    bench.start()

    bench.wait_for_call("wait", times=4)
    assert "wait_for_event" not in bench.calls
    assert 2 == bench.client.llen(bench.store.key("bell"))


def test_a_long_backlog_of_expired_events_is_cleaned_up_at_once(bench: Workbench) -> None:
    """A take goes a bounded number of steps, and more of them follow without a pause."""
    for number in range(220):
        bench.store.accept(f"e{number}")
        bench.store.set_fields(f"e{number}", accepted_ms=bench.store.now_ms() - 60_000)

    bench.start(EVENT_DEADLINE_SECONDS="30")

    wait_until(lambda: not bench.store.queue("due"), PATIENCE_SECONDS, "all to be expired")
    first, *_, last = bench.worker.lines("event_expired")
    assert seconds_between(first["timestamp"], last["timestamp"]) < 2
    assert [] == bench.worker.lines("redis_unavailable")


# While no slot is free


def test_a_taker_without_a_free_slot_takes_nothing_and_finds_lost_workers(
    bench: Workbench,
) -> None:
    """Each second, so that the process counts as alive; and it leaves the bell to others."""
    bench.start(CALL_DEADLINE_SECONDS="60")
    hold_call(bench, "held")
    bench.store.accept("lost")
    bench.store.grant(bench.grants())
    bench.store.lose_worker("lost")
    bench.store.accept("waiting")
    began = time.monotonic()

    bench.wait_for("lost", "unknown")
    wait_for_full_takes(bench, 3)

    assert time.monotonic() - began < 4 * MAX_FULL_TAKE_SECONDS
    bench.worker.wait_for_line("worker_lost", event_id="lost")
    assert 1 == bench.calls.count("grant")
    assert "wait_for_event" not in bench.calls_from("grant")
    bench.channel_io.release()


def test_a_slot_that_becomes_free_is_used_at_once(bench: Workbench) -> None:
    """Not only after the pause between two takes that grant nothing."""
    bench.start(CALL_DEADLINE_SECONDS="60")
    seconds = []
    for number in range(5):
        hold_call(bench, f"e{number}")
        bench.store.accept(f"next-{number}", user_id=f"next-{number}")
        wait_for_full_takes(bench, 1)
        began = time.monotonic()
        bench.channel_io.release()
        bench.wait_for(f"next-{number}", "opened")
        seconds.append(time.monotonic() - began)

    assert sorted(seconds)[2] < FULL_TAKE_SECONDS / 2


# When something goes wrong


@pytest.mark.parametrize("lost", [1, 2])
def test_a_grant_whose_reply_was_lost_is_given_back(bench: Workbench, lost: int) -> None:
    """The taker does not know what it was granted; it gives it back until Redis confirms it."""
    bench.store.accept("e1", user_id=f"lost-{lost}")

    bench.start(after={"grant": [StoreFault.LOSE], "release": [StoreFault.LOSE] * (lost - 1)})

    record = bench.wait_for("e1", "opened")
    assert ["release"] * lost == bench.calls_from("grant")[1 : 1 + lost]
    assert (1, 1) == (record.attempts, len(bench.chats_of(f"lost-{lost}")))


@pytest.mark.parametrize("name", ["grant", "probe", "wait", "wait_for_event", "release"])
def test_the_taker_survives_unexpected_errors(bench: Workbench, name: str) -> None:
    """It is logged; what was granted is given back, and the next event is worked on."""
    faults = {name: [StoreFault.BREAK]} | (
        {"grant": [StoreFault.LOSE]} if name == "release" else {}
    )
    bench.store.accept("e1", user_id="first")
    bench.start(after=faults)
    bench.wait_for_call(name)

    bench.store.accept("e2", user_id="next")

    assert [1, 1] == [bench.wait_for(event_id, "opened").attempts for event_id in ("e1", "e2")]
    assert 1 == len(bench.worker.lines("taker_failed"))


def test_a_take_that_is_refused_is_not_repeated_at_once(bench: Workbench) -> None:
    """Redis is there, and refuses for as long as its fault lasts."""
    bench.client.set(bench.store.key("workers"), "no sorted set")

    bench.start()
    wait_until(lambda: len(bench.tries("take")) > 2, PATIENCE_SECONDS, "three tries")

    instants = [line["timestamp"] for line in bench.tries("take")]
    assert seconds_between(instants[0], instants[2]) >= 2 * RETRY_SECONDS
    assert 1 == len(bench.worker.lines("redis_unavailable"))


def seconds_between(first: str, last: str) -> float:
    """Return the seconds between two lines of the log."""
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def test_a_taker_that_ends_ends_the_process(bench: Workbench) -> None:
    """The call under way is finished before, and the exit code shows that this was no stop."""
    bench.start(
        after={"wait": [StoreFault.NONE, StoreFault.END_GREENLET]}, CALL_DEADLINE_SECONDS="60"
    )
    hold_call(bench, "e1")

    bench.worker.wait_for_line("taker_ended")
    bench.channel_io.release()

    assert EXIT_TAKER_ENDED == bench.wait_for_end().code
    assert "opened" == bench.store.record("e1").status


# When it stops


def test_a_grant_after_a_stop_is_released(bench: Workbench) -> None:
    """The process may end any moment, and another worker can call at once."""
    bench.store.accept("e1", user_id="last")

    bench.start(after={"grant": [StoreFault.STOP]})

    assert 0 == bench.wait_for_end().code
    assert ["grant", "release"] == bench.calls_from("grant")
    assert ("accepted", 0) == (bench.store.record("e1").status, bench.store.record("e1").attempts)
    assert 0 == len(bench.chats_of("last"))


def test_a_stop_comes_between_grants_that_are_all_lost(bench: Workbench) -> None:
    """However bad Redis is, a worker that is to stop takes nothing more."""
    bench.store.accept("e1")
    bench.start(after={"grant": [StoreFault.LOSE] * 1000})
    bench.wait_for_call("release", times=2)

    assert 0 == bench.stop().code
    assert "accepted" == bench.store.record("e1").status
