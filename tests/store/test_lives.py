"""Lives of an id: it is free again after its window, so a late answer may be an earlier life's."""

from dataclasses import replace

import pytest

from app.chats.grant import Grant
from app.chats.outcome import Outcome
from app.chats.record import Status
from tools.model.outcomes import CREATED, OUTCOMES
from tools.model.store_driver import TTL_SECONDS, StoreDriver

WINDOW_MS = TTL_SECONDS * 1000


def begin_again(bench: StoreDriver, *, ms_later: int, **fields: str) -> Grant:
    """Let an event be granted, its record end, and its id be accepted again; return the grant."""
    earlier = bench.granted(user_id="alice")
    bench.client.unlink(bench.keys.event("e1"), bench.key("calling"))
    bench.accept(user_id="alice", **fields) if not fields else bench.accept(**fields)
    bench.set_fields(accepted_ms=earlier.life_ms + ms_later)
    return earlier


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_an_answer_to_an_earlier_life_changes_nothing(bench: StoreDriver, outcome: Outcome) -> None:
    """The id now belongs to another event: its record, its place in line and its look-ups stay."""
    earlier = begin_again(bench, ms_later=1, user_id="bob")
    before = bench.text()

    assert "stale" == bench.worker().settle(earlier, outcome).effect

    assert before == bench.text()
    assert ["e1"] == list(bench.queue("due"))
    assert ([], False) == bench.intake().chats_of_user("alice", limit=1)


def test_the_same_event_a_window_later_is_another_life(bench: StoreDriver) -> None:
    """It was accepted anew, with the same payload, when the first record was over."""
    earlier = begin_again(bench, ms_later=WINDOW_MS)

    assert "stale" == bench.worker().settle(earlier, CREATED).effect

    assert Status.ACCEPTED is bench.record().status


@pytest.mark.parametrize("ms_later", [WINDOW_MS - 1, 1 - WINDOW_MS])
def test_the_same_event_within_the_window_is_one_life(bench: StoreDriver, ms_later: int) -> None:
    """Redis lost the first acceptance, and the caller repeated it: the answer is the event's."""
    earlier = begin_again(bench, ms_later=ms_later)

    assert "opened" == bench.worker().settle(earlier, CREATED).effect

    assert Status.OPENED is bench.record().status


def test_a_life_whose_record_is_gone_is_rebuilt(bench: StoreDriver) -> None:
    """A received answer is not lost."""
    earlier = bench.granted()
    bench.client.unlink(bench.keys.event("e1"), bench.key("calling"))

    assert "opened" == bench.worker().settle(earlier, CREATED).effect


@pytest.mark.parametrize("kind", [kind for kind in OUTCOMES if kind != "created"])
def test_a_life_that_is_over_does_not_begin_again(bench: StoreDriver, kind: str) -> None:
    """A settle that is repeated from a spool after the window has nothing called again."""
    earlier = bench.granted()
    bench.client.unlink(bench.keys.event("e1"), bench.key("calling"))
    ended = earlier.stored_fields | {"accepted_ms": earlier.life_ms - WINDOW_MS}

    settled = bench.worker().settle(replace(earlier, stored_fields=ended), OUTCOMES[kind])

    assert "stale" == settled.effect
    assert bench.text() is None


def test_a_stale_answer_ends_its_trial(bench: StoreDriver) -> None:
    """Else no call would be granted before the trial's lease is over."""
    bench.set_gate(state="half_open")
    earlier = begin_again(bench, ms_later=1, user_id="bob")

    bench.worker().settle(earlier, CREATED)

    assert isinstance(bench.take(), Grant)


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_a_forgotten_life_stays_forgotten(bench: StoreDriver, outcome: Outcome) -> None:
    """Its answer comes late, or from a spool: nothing of the person is written again."""
    grant = bench.granted()
    bench.client.set(bench.key("forgotten:e1"), f"{grant.life_ms} token", px=60_000)

    assert "stale" == bench.worker().settle(grant, outcome).effect
    bench.client.unlink(bench.keys.event("e1"), bench.key("calling"))
    assert "stale" == bench.worker().settle(grant, outcome).effect

    assert bench.text() is None


def test_a_forgotten_life_is_hidden_at_once(bench: StoreDriver) -> None:
    """From look-ups and takes, before its record is removed; its id may be accepted again."""
    bench.accept()
    life_ms = bench.fields()["accepted_ms"]
    bench.client.set(bench.key("forgotten:e1"), f"{life_ms} token", px=60_000)
    intake = bench.intake()

    assert intake.find("e1") is None
    assert bench.take().__class__.__name__ == "NoWork"
    assert bench.intake(min_replicas_acked=0).event_of_chat("chat-1") is None

    bench.accept(user_id="u2")
    assert "u2" == bench.record().user_id
