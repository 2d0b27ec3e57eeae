"""Redis' clock goes back: calls go on, in their order, and no rate is exceeded."""

from dataclasses import replace

import pytest

from app.chats.grant import Grant, NoWork, Probe
from app.chats.outcome import Throttled
from tools.model.store_driver import COOLDOWN_MS, LIMITS, StoreDriver

JUMP_MS = 40_000
RATE = replace(LIMITS, rate_per_second=10, burst=2)


def go_back(bench: StoreDriver, ms: int = JUMP_MS) -> None:
    """Let the clock have been so far ahead until now: all instants that it wrote are."""
    for name in ("due", "calling"):
        for event_id, at in bench.queue(name).items():
            bench.move(name, event_id, at + ms)
    gate = bench.gate()
    ahead = {
        name: float(text) + ms
        for name, text in gate.items()
        if name in {"tat", "newest"} or "until" in name
    }
    bench.set_gate(**{name: f"{at:.3f}" for name, at in ahead.items()})


@pytest.mark.parametrize("ms", [1500, JUMP_MS, 3_600_000])
def test_events_are_due_as_before(bench: StoreDriver, ms: int) -> None:
    """All that were due by the newest instant that a take had seen."""
    for number in range(120):
        bench.accept(f"e{number:03}")
    bench.take()
    go_back(bench, ms)

    granted = [bench.grant().event_id for _ in range(119)]

    assert [f"e{number:03}" for number in range(1, 120)] == granted


def test_the_bucket_goes_back_as_well(bench: StoreDriver) -> None:
    """It was empty: the next call is due as soon as it would have been, and no sooner."""
    worker = bench.worker(limits=RATE)
    for number in range(4):
        bench.accept(f"e{number}")
    assert [Grant, Grant] == [type(bench.take(worker)) for _ in range(2)]
    go_back(bench)

    taken = bench.take(worker)

    assert isinstance(taken, NoWork)
    assert 0 < taken.wait_ms <= 100


def test_a_bucket_far_ahead_is_clamped_without_a_newest_instant(bench: StoreDriver) -> None:
    """A fail-over may land on a host whose clock is behind: at most one full bucket is waited."""
    worker = bench.worker(limits=RATE)
    bench.accept()
    bench.client.hdel(bench.key("gate"), "newest")
    bench.set_gate(tat=bench.now_ms() + JUMP_MS)

    taken = bench.take(worker)

    assert isinstance(taken, NoWork)
    assert 0 < taken.wait_ms <= 100


def test_a_pause_goes_back(bench: StoreDriver) -> None:
    """A pause keeps its remaining time when the clock jumps."""
    bench.accept("e1")
    bench.accept("e2")
    bench.worker().settle(bench.grant(), Throttled(500))
    go_back(bench)

    taken = bench.take()

    assert isinstance(taken, NoWork)
    assert 0 < taken.wait_ms <= 510
    assert 0 < float(bench.gate()["pause_until"]) - bench.now_ms() <= 510


def test_an_open_breaker_and_a_leased_probe_go_back(bench: StoreDriver) -> None:
    """The cool-down and the lease end when they would have."""
    bench.accept()
    bench.set_gate(state="open", cooldown_ms=COOLDOWN_MS, open_until=bench.now_ms() - 1)
    assert isinstance(bench.take(), Probe)
    lease_ms = int(bench.gate()["probe_until:breaker"]) - bench.now_ms()
    go_back(bench)

    bench.take()

    left_ms = float(bench.gate()["probe_until:breaker"]) - bench.now_ms()
    assert lease_ms - 2000 < left_ms <= lease_ms + 10


def test_a_clock_that_goes_on_moves_nothing(bench: StoreDriver) -> None:
    """An event that is not due stays so when the clock jumps."""
    bench.accept()
    later = bench.now_ms() + 30_000
    bench.move("due", "e1", later)

    bench.take()
    bench.take()

    assert later == bench.queue("due")["e1"]
