"""Releasing: a grant that was not used is given back, be it known, unknown or yet to come."""

from typing import Any

import pytest

from app.chats.event import OnUnknown
from app.chats.grant import Grant, NoWork, Probe, new_token
from app.chats.record import Status
from tools.model.outcomes import CREATED, OUTCOMES
from tools.model.store_driver import HOUR_MS, THRESHOLD, UNREADABLE, StoreDriver

NOTHING = NoWork(0, is_idle=False)
TOMBSTONE_MS = 400_000


def test_a_released_event_is_due_at_once_ahead_of_later_ones(bench: StoreDriver) -> None:
    """It keeps the place that it had, and rings the bell."""
    grant = bench.granted("e1")
    bench.take()
    bench.client.zadd(bench.key("due"), {"e2": bench.now_ms()})
    bench.accept("e2")

    result = bench.worker().release(grant.token)

    assert result == "released"
    assert bench.client.llen(bench.keys.bell) == 2
    assert bench.grant().event_id == "e1"


def test_a_released_grant_was_no_attempt_and_leaves_no_doubt(bench: StoreDriver) -> None:
    """`attempts` counts it not, but its number is never given again."""
    grant = bench.granted()

    bench.worker().release(grant.token)

    record = bench.record()
    assert (record.status, record.attempts, record.created) == (Status.ACCEPTED, 0, False)
    assert bench.history() == ["released"]
    assert (bench.grant().attempt, bench.record().attempts) == (2, 1)


def test_a_released_token_gets_nothing(bench: StoreDriver) -> None:
    """A take that arrives after it, delayed on the way, is not granted anything."""
    grant = bench.granted()
    bench.worker().release(grant.token)

    assert bench.worker().take(grant.token).decision == NOTHING


def test_an_unknown_token_is_released_beforehand(bench: StoreDriver) -> None:
    """The take may still be on its way; when it comes it gets nothing."""
    bench.accept()
    token = new_token()

    result = bench.worker().release(token)

    assert result == "ignored"
    assert bench.worker().take(token).decision == NOTHING
    assert bench.record().status is Status.ACCEPTED
    assert TOMBSTONE_MS - 5000 < bench.ttl_ms(f"taken:{token}") <= TOMBSTONE_MS


def test_the_same_release_twice_is_one_release(bench: StoreDriver) -> None:
    """It does not take the event from a worker that was granted it meanwhile."""
    grant = bench.granted()
    bench.worker().release(grant.token)
    bench.grant()
    before = bench.fields()

    result = bench.worker().release(grant.token)

    assert (result, bench.fields()) == ("ignored", before)


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_settled_grant_is_not_released(bench: StoreDriver, kind: str) -> None:
    """A release after the settle changes nothing."""
    grant = bench.granted()
    bench.worker().settle(grant, OUTCOMES[kind])
    before = bench.fields()

    result = bench.worker().release(grant.token)

    assert (result, bench.fields()) == ("ignored", before)


def test_a_late_release_takes_the_doubt_away(bench: StoreDriver) -> None:
    """A worker that counted as lost reports that it sent nothing: that is proof."""
    grant = bench.granted()
    bench.lose_worker()
    bench.reply()

    bench.worker().release(grant.token)

    record = bench.record()
    assert (record.status, record.created, record.failure) == (Status.ACCEPTED, False, None)
    assert bench.grant().attempt == 2
    assert bench.record().possible_orphan is False


def test_a_late_release_after_consent_changes_nothing(bench: StoreDriver) -> None:
    """The event is called again already, and it is not this token's to give back."""
    worker = bench.worker(on_unknown=OnUnknown.RECREATE)
    first = bench.granted()
    bench.lose_worker()
    bench.reply(worker)
    bench.make_due()
    second = bench.grant(worker)

    result = bench.worker().release(first.token)

    assert result == "ignored"
    assert bench.fields()["grant_token"] == second.token


def test_a_release_takes_no_doubt_away_from_an_earlier_attempt(bench: StoreDriver) -> None:
    """Only the given-back grant is proven not to have called."""
    worker = bench.worker(on_unknown=OnUnknown.RECREATE)
    bench.granted()
    bench.lose_worker()
    bench.reply(worker)
    bench.make_due()

    bench.worker().release(bench.grant().token)

    record = bench.record()
    assert (record.status, record.created) == (Status.ACCEPTED, None)
    assert record.possible_orphan is True


def test_a_release_for_a_record_that_is_gone_changes_nothing(bench: StoreDriver) -> None:
    """There is nothing to give back."""
    grant = bench.granted()
    bench.client.delete(bench.keys.event("e1"), bench.key("calling"))

    assert bench.worker().release(grant.token) == "ignored"
    assert bench.intake().find("e1") is None


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_another_releases_record_is_left_alone(
    bench: StoreDriver, content: dict[str, Any] | str
) -> None:
    """Its own overdue instant brings it to a worker that can read it."""
    grant = bench.granted()
    before = bench.make_unreadable(content)

    result = bench.worker().release(grant.token)

    assert (result, bench.text()) == ("ignored", before)
    assert bench.queue("calling").keys() == {"e1"}


def test_a_release_is_neutral_to_the_breaker(bench: StoreDriver) -> None:
    """Releases have no limit, and blame no event."""
    bench.set_gate(failures=THRESHOLD - 1)
    bench.accept()
    before = bench.gate()["failures"]

    for _ in range(THRESHOLD):
        bench.worker().release(bench.grant().token)

    assert (bench.gate()["failures"], bench.gate().get("state")) == (before, None)


def test_a_release_lets_the_next_trial_begin(bench: StoreDriver) -> None:
    """Half-open, one create at a time; a trial that is given back is over."""
    bench.accept()
    bench.set_gate(state="half_open")

    bench.worker().release(bench.grant().token)

    assert isinstance(bench.take(), Grant)
    assert bench.gate()["state"] == "half_open"


def test_a_release_frees_the_probe_of_the_base_url(new_bench: StoreDriver) -> None:
    """A probe that was not made is granted to the next worker, before its lease ends."""
    token = new_token()
    assert new_bench.worker().take(token).decision == Probe(token)

    new_bench.worker().release(token)

    assert isinstance(new_bench.take(), Probe)


def test_a_release_frees_the_probe_of_the_breaker(bench: StoreDriver) -> None:
    """As above, and another's lease is left alone."""
    bench.accept()
    bench.set_gate(state="open", open_until=1)
    token = new_token()
    assert bench.worker().take(token).decision == Probe(token)

    bench.worker().release(new_token())
    assert isinstance(bench.take(), NoWork)
    bench.worker().release(token)

    assert isinstance(bench.take(), Probe)


def test_an_acceptance_by_a_clock_ahead_delays_no_released_event(bench: StoreDriver) -> None:
    """Due at once means now, also after a failover to a host whose clock is behind."""
    grant = bench.granted()
    bench.set_fields(accepted_ms=bench.now_ms() + HOUR_MS)

    bench.worker().release(grant.token)

    assert bench.queue("due")["e1"] <= bench.now_ms()


def test_with_memory_full_a_grant_is_given_back(
    bench: StoreDriver, request: pytest.FixtureRequest
) -> None:
    """A worker never waits for memory to be rid of what it cannot use."""
    grant = bench.granted()
    request.getfixturevalue("full_memory")

    assert bench.worker().release(grant.token) == "released"


def test_nothing_is_published_by_a_release(bench: StoreDriver) -> None:
    """The event can still be opened, by the next grant."""
    bench.worker().release(bench.granted().token)

    bench.worker().settle(bench.grant(), CREATED)

    assert bench.record().status is Status.OPENED
