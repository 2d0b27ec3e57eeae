"""Denied calls: a wrong key burns no event, and a denied event holds up no other.

A way is all that a worker's calls have in common: base URL, version, key and secret.
"""

from dataclasses import replace

import pytest

from app.chats.grant import Grant, NoWork, Probe
from app.chats.outcome import Outcome
from app.chats.record import FailureCode, Status
from app.store.grants import GrantStore
from tools.model.outcomes import CREATED, DENIED, NOT_SENT, REFUSED, THROTTLED
from tools.model.store_driver import COOLDOWN_MS, LIMITS, StoreDriver

OTHER_WAY = "way-2"
MAX_DELAY_MS = 120_000


def deny(bench: StoreDriver, event_id: str, worker: GrantStore | None = None) -> str:
    """Let the event be called next, and be denied; return what became of it."""
    find_good(bench, worker)
    bench.move("due", event_id, 0)
    grant = bench.grant(worker)
    assert event_id == grant.event_id
    return (worker or bench.worker()).settle(grant, DENIED).effect


def open_another(bench: StoreDriver, event_id: str, worker: GrantStore | None = None) -> None:
    """Let another event succeed."""
    find_good(bench, worker)
    bench.accept(event_id)
    bench.move("due", event_id, 0)
    (worker or bench.worker()).settle(bench.grant(worker), CREATED)


def find_good(bench: StoreDriver, worker: GrantStore | None = None) -> None:
    """Let probes be good and the breaker be closed: only events are denied."""
    used = worker or bench.worker()
    bench.client.hdel(bench.key("gate"), "state", "trial", "trial_until")
    taken = bench.take(worker)
    if isinstance(taken, Probe):
        used.report_probe(taken.token, problem=None)
    elif isinstance(taken, Grant):
        used.release(taken.token)


def test_a_denied_event_stays_accepted(bench: StoreDriver) -> None:
    """It waits for the cool-down, twice as long each time, and for two minutes at most."""
    bench.accept()
    waits = []
    for _ in range(7):
        assert "accepted" == deny(bench, "e1")
        waits.append(bench.queue("due")["e1"] - bench.now_ms())

    assert Status.ACCEPTED is bench.record().status
    assert bench.record().created is False
    expected = [COOLDOWN_MS * 2**times for times in range(5)] + [MAX_DELAY_MS] * 2
    assert all(ms - 1000 < wait <= ms for wait, ms in zip(waits, expected, strict=True))


def test_a_first_denial_is_followed_by_a_probe_of_its_way(bench: StoreDriver) -> None:
    """A first denial does not yet blame the event or the key."""
    bench.accept()
    other = bench.worker(way=OTHER_WAY)
    find_good(bench, other)
    deny(bench, "e1")
    bench.accept("e2")

    assert isinstance(bench.take(), Probe)
    assert isinstance(bench.take(other), Grant), "workers with another key go on"
    assert "state" not in bench.gate()


def test_two_denials_in_a_row_open_the_breaker_for_a_second(bench: StoreDriver) -> None:
    """Of any events; and the cool-down does not double."""
    worker = bench.worker()
    for event_id in ("e1", "e2"):
        bench.accept(event_id)
    grants = [bench.grant(), bench.grant()]

    changes = [worker.settle(grant, DENIED).breaker for grant in grants]

    assert [None, "open"] == changes
    gate = bench.gate()
    assert ("open", "credentials") == (gate["state"], gate["reason"])
    assert 0 < int(gate["open_until"]) - bench.now_ms() <= 1200
    assert "cooldown_ms" not in gate


@pytest.mark.parametrize("success", [CREATED, REFUSED], ids=["created", "refused"])
def test_a_success_between_two_denials_keeps_the_breaker_closed(
    bench: StoreDriver, success: Outcome
) -> None:
    """They are not in a row."""
    worker = bench.worker()
    for event_id in ("e1", "e2", "e3"):
        bench.accept(event_id)
    grants = [bench.grant() for _ in range(3)]

    changes = [
        worker.settle(grant, outcome).breaker
        for grant, outcome in zip(grants, (DENIED, success, DENIED), strict=True)
    ]

    assert [None, None, None] == changes


def test_a_denied_trial_behind_a_good_probe_opens_the_breaker_again(bench: StoreDriver) -> None:
    """For one second: other events may do better."""
    bench.accept()
    bench.set_gate(state="half_open", cooldown_ms=COOLDOWN_MS)

    assert "open" == bench.worker().settle(bench.grant(), DENIED).breaker

    gate = bench.gate()
    assert 0 < int(gate["open_until"]) - bench.now_ms() <= 250
    assert str(COOLDOWN_MS) == gate["cooldown_ms"]


def test_the_second_denial_of_its_own_fails_the_event(bench: StoreDriver) -> None:
    """Own is a denial where another event succeeded on the way since the last one."""
    bench.accept()
    assert "accepted" == deny(bench, "e1")
    open_another(bench, "e2")
    assert "accepted" == deny(bench, "e1")
    assert "accepted" == deny(bench, "e1"), "nothing succeeded meanwhile"
    open_another(bench, "e3")

    assert "failed" == deny(bench, "e1")

    record = bench.record()
    assert record.failure
    assert (FailureCode.REJECTED, 401) == (record.failure.code, record.failure.upstream_status)
    assert record.created is False
    assert "denied" not in bench.fields()


def test_an_own_denial_is_neutral_to_the_breaker(bench: StoreDriver) -> None:
    """The way stays good, and no denials are counted."""
    bench.accept()
    deny(bench, "e1")
    open_another(bench, "e2")
    before = bench.gate()

    deny(bench, "e1")

    changed = {"tat", "newest"}
    assert {name: text for name, text in before.items() if name not in changed} == {
        name: text for name, text in bench.gate().items() if name not in changed
    }
    assert isinstance(bench.take(), NoWork), "only the denied one waits"


def test_successes_on_another_way_prove_nothing(bench: StoreDriver) -> None:
    """One of two workers has an old key: its denials are never the event's own."""
    old = bench.worker(way=OTHER_WAY)
    bench.accept()

    for number in range(4):
        assert "accepted" == deny(bench, "e1", old)
        open_another(bench, f"good-{number}")

    assert 0 == bench.fields()["denied"]["own"]


def test_denials_on_two_ways_are_counted_apart(bench: StoreDriver) -> None:
    """The record keeps the way of the last one."""
    old = bench.worker(way=OTHER_WAY)
    bench.accept()
    deny(bench, "e1")
    open_another(bench, "e2")

    assert "accepted" == deny(bench, "e1", old)
    open_another(bench, "e3", old)
    assert "accepted" == deny(bench, "e1", old)

    assert (OTHER_WAY, 1) == (bench.fields()["denied"]["way"], bench.fields()["denied"]["own"])


def test_a_redriven_event_begins_with_no_denials(bench: StoreDriver) -> None:
    """The operator has mended what was denied."""
    bench.accept()
    deny(bench, "e1")
    for number in range(2):
        open_another(bench, f"good-{number}")
        last = deny(bench, "e1")
    assert "failed" == last
    bench.operations().redrive("e1", by="anna")

    assert "accepted" == deny(bench, "e1")


@pytest.mark.parametrize("outcome", [NOT_SENT, THROTTLED], ids=lambda outcome: outcome.kind)
def test_other_delays_keep_the_denials(bench: StoreDriver, outcome: Outcome) -> None:
    """Other outcomes may come between two denials of an event."""
    bench.accept()
    deny(bench, "e1")
    open_another(bench, "e2")
    bench.move("due", "e1", 0)
    bench.worker().settle(bench.grant(), outcome)
    bench.client.hdel(bench.key("gate"), "pause_until", "tat")

    deny(bench, "e1")

    assert (1, 2) == (bench.fields()["denied"]["own"], bench.fields()["denied"]["times"])


def test_a_way_that_was_denied_and_probed_well_calls_on(bench: StoreDriver) -> None:
    """Events behind the denied one wait for a probe, not for its cool-down."""
    worker = bench.worker(limits=replace(LIMITS, cooldown_ms=60_000))
    bench.accept("e1")
    worker.settle(bench.grant(), DENIED)
    bench.accept("e2")
    taken = bench.take(worker)
    assert isinstance(taken, Probe)

    worker.report_probe(taken.token, problem=None)

    assert isinstance(bench.take(worker), Grant)
