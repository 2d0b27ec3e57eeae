"""Tests of the counts of events by minute, for operators."""

from itertools import pairwise

from app.chats.outcome import Outcome
from app.store.keys import Keys
from app.store.relay_stats import MinuteCounts, RelayStatsReader
from app.store.scripts import Scripts
from tools.model.outcomes import REFUSED, UNKNOWN, created
from tools.model.store_driver import StoreDriver, event_of

TWO_HOURS_MS = 2 * 3600 * 1000


def counts(bench: StoreDriver, count: int = 60) -> list[MinuteCounts]:
    """The newest minutes."""
    return RelayStatsReader(Scripts(bench.client.relay, bench.keys)).recent_minutes(count)


def totals(bench: StoreDriver) -> tuple[int, int, int, int]:
    """The sums over the last hour: accepted, opened, failed, unknown."""
    found = counts(bench)
    return (
        sum(minute.accepted for minute in found),
        sum(minute.opened for minute in found),
        sum(minute.failed for minute in found),
        sum(minute.unknown for minute in found),
    )


def test_each_transition_is_counted_once(bench: StoreDriver) -> None:
    """A duplicate and a repeated settle add nothing."""
    outcomes: list[Outcome] = [created("chat-1"), REFUSED, UNKNOWN]
    for number, outcome in enumerate(outcomes):
        bench.accept(f"e{number}")
        bench.accept(f"e{number}")
        grant = bench.grant()
        bench.worker().settle(grant, outcome)
        bench.worker().settle(grant, outcome)

    assert (3, 1, 1, 1) == totals(bench)


def test_minutes_are_in_order_and_the_current_one_is_last(bench: StoreDriver) -> None:
    """Minutes without events are there as well."""
    bench.accept("e1")

    found = counts(bench, 3)

    assert [60, 60] == [(two.at - one.at).total_seconds() for one, two in pairwise(found)]
    assert 1 == sum(minute.accepted for minute in found[-2:])


def test_a_minute_is_kept_for_two_hours(bench: StoreDriver) -> None:
    """Its key ends by itself."""
    bench.accept("e1")

    keys = [str(key) for key in bench.client.keys(f"{bench.keys.tag}:minute:*")]

    assert [True] == [0 < bench.client.pttl(key) <= TWO_HOURS_MS for key in keys]


def test_an_event_is_accepted_where_minutes_cannot_be_counted(bench: StoreDriver) -> None:
    """Counting changes no answer: the key has a wrong type here."""
    bench.accept("e0")
    (key,) = bench.client.keys(f"{bench.keys.tag}:minute:*")
    bench.client.set(key, "no hash", px=TWO_HOURS_MS)

    _, is_new = bench.intake().accept(event_of("e1"))

    assert is_new
    assert bench.fields("e1")["status"] == "accepted"


def test_two_relays_count_by_themselves(bench: StoreDriver) -> None:
    """Each has a prefix of its own."""
    bench.accept("e1")

    assert (0, 0, 0, 0) == totals(StoreDriver(bench.client, Keys("other")))


def test_a_count_that_may_not_end_is_dropped(bench: StoreDriver) -> None:
    """A user of Redis without PEXPIRE leaves no counts for ever, and accepts all the same."""
    client = bench.client
    client.execute_command("ACL", "SETUSER", "default", "-pexpire")
    try:
        bench.accept("e1")
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+pexpire")

    assert "accepted" == bench.record("e1").status
    assert [] == client.keys(bench.key("minute:*"))
