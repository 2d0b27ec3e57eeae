"""Taking: the same token the same grant, lost workers, the first due event, its age, the gate, the
grant; in this order.
"""

from typing import Any

import pytest

from app.chats.event import OnUnknown
from app.chats.grant import Grant, NoWork, TakeResult, new_token
from app.chats.outcome import Outcome
from app.chats.record import FailureCode, Status
from app.store.grants import GrantStore
from tools.model.outcomes import CREATED, NOT_SENT, REFUSED, UNKNOWN
from tools.model.store_driver import (
    CALL_DEADLINE_MS,
    EVENT_DEADLINE_MS,
    HOUR_MS,
    LEASE_MS,
    TTL_SECONDS,
    UNREADABLE,
    Stored,
    StoreDriver,
    event_of,
)

IDLE = NoWork(1000, is_idle=True)
MAX_STEPS = 50


def test_a_grant_is_stored_before_its_reply(bench: StoreDriver) -> None:
    """I1: the record is calling, with its fence, its lease and its token."""
    bench.accept()

    grant = bench.grant()

    assert (grant.event_id, grant.user_id, grant.attempt, grant.attempts) == ("e1", "u1", 1, 1)
    assert grant.stored_fields == bench.fields()
    record = bench.record()
    assert (record.status, record.created, record.attempts) == (Status.CALLING, None, 1)
    assert bench.queue("due") == {}
    assert LEASE_MS - 5000 < bench.queue("calling")["e1"] - bench.now_ms() <= LEASE_MS
    assert bench.client.get(bench.key(f"taken:{grant.token}")) == "1 e1"


def test_the_oldest_due_event_is_granted_first(bench: StoreDriver) -> None:
    """By the instant at which it may be called, not by name or arrival."""
    for event_id in ("e1", "e2", "e3"):
        bench.accept(event_id)
    bench.move("due", "e2", 1)
    bench.move("due", "e3", 2)

    assert [bench.grant().event_id for _ in range(3)] == ["e2", "e3", "e1"]


def test_an_event_that_is_not_due_yet_waits(bench: StoreDriver) -> None:
    """Backoff is kept to, and the reply names how long to sleep."""
    bench.accept()
    bench.move("due", "e1", bench.now_ms() + 500)

    taken = bench.take()

    assert isinstance(taken, NoWork)
    assert taken.is_idle
    assert 0 < taken.wait_ms <= 500


def test_with_nothing_to_do_a_worker_sleeps_for_a_second_at_most(bench: StoreDriver) -> None:
    """So that a lost ring costs no more, and an overdue call is found."""
    assert bench.take() == IDLE

    bench.granted()

    assert bench.take() == IDLE


def test_an_idle_worker_wakes_when_a_call_is_overdue(bench: StoreDriver) -> None:
    """The next lost worker is found when its instant comes."""
    bench.granted()
    bench.move("calling", "e1", bench.now_ms() + 300)

    taken = bench.take()

    assert isinstance(taken, NoWork)
    assert 0 < taken.wait_ms <= 300


def test_idle_takes_empty_the_bell(bench: StoreDriver) -> None:
    """Rings for finished events wake no worker; rings for waiting events stay."""
    bench.granted()
    bench.accept("e2")
    bench.grant()
    rings = bench.client.llen(bench.keys.bell)

    bench.take()

    assert (rings, bench.client.llen(bench.keys.bell)) == (2, 0)


def test_a_repeated_take_gets_the_same_grant(bench: StoreDriver) -> None:
    """Its reply was lost; nothing else is granted for it, and nothing is counted twice."""
    bench.accept("e1")
    bench.accept("e2")
    first = bench.grant()

    repeated = bench.worker().take(first.token).decision

    assert repeated == first
    assert bench.queue("due").keys() == {"e2"}


def test_the_token_is_remembered_longer_than_its_call_may_last(bench: StoreDriver) -> None:
    """A minute past the deadline, and no longer than it takes."""
    grant = bench.granted()

    left_ms = bench.ttl_ms(f"taken:{grant.token}")

    assert CALL_DEADLINE_MS + 60_000 < left_ms <= LEASE_MS + 60_000


def test_a_settled_token_gets_nothing(bench: StoreDriver) -> None:
    """A take that was delayed until after its own settling must not call again."""
    grant = bench.granted()
    bench.worker().settle(grant, CREATED)
    bench.accept("e2")

    assert bench.worker().take(grant.token).decision == NoWork(0, is_idle=False)


def test_a_token_whose_event_is_called_by_another_gets_nothing(bench: StoreDriver) -> None:
    """The event's later grant is not this token's."""
    worker = bench.worker(on_unknown=OnUnknown.RECREATE)
    first = bench.granted()
    bench.lose_worker()
    bench.reply(worker)
    bench.make_due()
    second = bench.grant(worker)

    assert worker.take(first.token).decision == NoWork(0, is_idle=False)
    assert second == worker.take(second.token).decision


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_token_whose_grant_is_over_gets_nothing(bench: StoreDriver, *, is_deleted: bool) -> None:
    """Lost or gone: what the token once stood for is not called any more."""
    grant = bench.granted()
    bench.lose_worker()
    bench.reply()
    if is_deleted:
        bench.client.delete(bench.keys.event("e1"), bench.key("held"))

    assert bench.worker().take(grant.token).decision == NoWork(0, is_idle=False)


def test_an_overdue_call_is_a_lost_worker(bench: StoreDriver) -> None:
    """It is unknown whether it created a chat: the event is held, and never called again."""
    bench.granted()
    bench.lose_worker()

    reply = bench.reply()

    assert (reply.lost_event_ids, reply.decision) == (["e1"], IDLE)
    record = bench.record()
    assert (record.status, record.created) == (Status.UNKNOWN, None)
    assert record.failure is not None
    assert record.failure.code is FailureCode.WORKER_LOST
    assert bench.history() == ["worker_lost"]
    assert abs(bench.now_ms() - bench.queue("held")["e1"]) < 5000


def test_a_call_that_is_not_overdue_is_left_alone(bench: StoreDriver) -> None:
    """Its worker may still be at it."""
    bench.granted()

    assert bench.reply().lost_event_ids == []
    assert bench.record().status is Status.CALLING


SHUT_GATES = {
    "paused": {"pause_until": "{later}"},
    "open": {"state": "open", "open_until": "{later}"},
    "on trial": {"state": "half_open", "trial": "other", "trial_until": "{later}"},
    "empty bucket": {"tat": "{later}"},
}


@pytest.mark.parametrize("shut", SHUT_GATES.values(), ids=SHUT_GATES.keys())
def test_a_closed_gate_hides_no_lost_worker_or_expiry(
    bench: StoreDriver, shut: dict[str, str]
) -> None:
    """A shut gate hides nothing, and grants nothing."""
    bench.granted("lost")
    bench.lose_worker("lost")
    for event_id in ("old", "young"):
        bench.accept(event_id)
    bench.set_fields("old", accepted_ms=bench.now_ms() - EVENT_DEADLINE_MS - 1)
    later = bench.now_ms() + 60_000
    bench.set_gate(**{name: text.format(later=later) for name, text in shut.items()})

    reply = bench.reply()

    assert (reply.lost_event_ids, reply.expired_event_ids) == (["lost"], ["old"])
    assert isinstance(reply.decision, NoWork)
    assert not reply.decision.is_idle
    assert 0 < reply.decision.wait_ms <= 1000
    assert bench.record("young").status is Status.ACCEPTED


def test_a_lost_worker_is_found_beside_a_grant(bench: StoreDriver) -> None:
    """A backlog does not hide it."""
    bench.granted("lost")
    bench.lose_worker("lost")
    bench.accept("next")

    reply = bench.reply()

    assert reply.lost_event_ids == ["lost"]
    assert isinstance(reply.decision, Grant)
    assert reply.decision.event_id == "next"


def test_an_event_past_its_deadline_fails_when_its_turn_comes(bench: StoreDriver) -> None:
    """Nothing was ever sent for it, so it is settled, `created: false`, on the operator's list."""
    bench.accept()
    bench.set_fields(accepted_ms=bench.now_ms() - EVENT_DEADLINE_MS - 1)

    reply = bench.reply()

    assert (reply.expired_event_ids, reply.decision) == (["e1"], IDLE)
    record = bench.record()
    assert (record.status, record.created) == (Status.FAILED, False)
    assert record.failure is not None
    assert record.failure.code is FailureCode.EXPIRED
    assert bench.history() == ["expired"]
    assert 0 < bench.ttl_ms("event:e1") <= TTL_SECONDS * 1000
    assert bench.queue("failed").keys() == {"e1"}


def test_an_event_just_within_its_deadline_is_called(bench: StoreDriver) -> None:
    """The deadline counts from when it was accepted, not from when it became due."""
    bench.accept()
    bench.set_fields(accepted_ms=bench.now_ms() - EVENT_DEADLINE_MS + 60_000)

    assert bench.grant().event_id == "e1"


def test_expiry_after_an_unknown_attempt_keeps_created_null(bench: StoreDriver) -> None:
    """`created` stays null: an earlier call may have made a chat."""
    bench.granted()
    bench.lose_worker()
    bench.reply(bench.worker(on_unknown=OnUnknown.RECREATE))
    bench.make_due()
    bench.set_fields(accepted_ms=bench.now_ms() - EVENT_DEADLINE_MS - 1)

    bench.reply()

    assert (bench.record().status, bench.record().created) == (Status.FAILED, None)


def test_failures_whose_records_ended_leave_the_list(bench: StoreDriver) -> None:
    """Each record ends by the window that it was accepted under, and not by the latest event's."""
    bench.accept("kept")
    bench.set_fields("kept", accepted_ms=1)
    bench.reply()
    bench.client.zadd(bench.key("failed"), {"gone": bench.now_ms() - 1})
    bench.intake(record_ttl_seconds=60).accept(event_of())
    bench.set_fields(accepted_ms=1)

    bench.reply()

    assert bench.queue("failed").keys() == {"kept", "e1"}


def test_cleaning_up_is_bounded_and_goes_on_with_the_next_take(bench: StoreDriver) -> None:
    """One take never holds Redis for long, and what it left over is at once the next one's."""
    for number in range(MAX_STEPS + 1):
        bench.accept(f"e{number}")
        bench.set_fields(f"e{number}", accepted_ms=1)

    first, second = bench.reply(), bench.reply()

    assert (len(first.expired_event_ids), len(second.expired_event_ids)) == (MAX_STEPS, 1)
    assert first.decision == NoWork(0, is_idle=True)


def test_lost_workers_are_found_in_bounded_steps(bench: StoreDriver) -> None:
    """The rest is the next take's."""
    for number in range(MAX_STEPS + 1):
        bench.granted(f"e{number}")
    for number in range(MAX_STEPS + 1):
        bench.lose_worker(f"e{number}")

    first, second = bench.reply(), bench.reply()

    assert (len(first.lost_event_ids), len(second.lost_event_ids)) == (MAX_STEPS, 1)


@pytest.mark.parametrize("queue", ["due", "calling"])
def test_an_id_without_a_record_is_cleaned_up(bench: StoreDriver, queue: str) -> None:
    """Half of a lost write does not stand in the way of the next event."""
    bench.client.zadd(bench.key(queue), {"nothing": 1})
    bench.accept()

    assert bench.grant().event_id == "e1"
    assert bench.queue(queue).keys() - {"e1"} == set()


@pytest.mark.parametrize("outcome", [CREATED, REFUSED, UNKNOWN], ids=lambda outcome: outcome.kind)
@pytest.mark.parametrize("queue", ["due", "calling"])
def test_a_settled_or_held_event_is_never_called_or_lost(
    bench: StoreDriver, queue: str, outcome: Outcome
) -> None:
    """A member that belongs in the queue no longer is dropped from it."""
    bench.worker().settle(bench.granted(), outcome)
    before = bench.fields()
    bench.client.zadd(bench.key(queue), {"e1": 1})

    reply = bench.reply()

    assert (reply.lost_event_ids, reply.expired_event_ids, reply.decision) == ([], [], IDLE)
    assert bench.fields() == before
    assert bench.queue(queue) == {}


def test_a_clock_that_was_ahead_hides_no_lost_worker(bench: StoreDriver) -> None:
    """A lease from a host whose clock was ahead ends after the longest lease there is."""
    bench.granted()
    bench.move("calling", "e1", bench.now_ms() + HOUR_MS)

    bench.reply()

    assert 0 < bench.queue("calling")["e1"] - bench.now_ms() <= 305_000


def test_a_clock_that_was_ahead_delays_no_event_for_long(bench: StoreDriver) -> None:
    """It becomes due after the longest backoff there is."""
    bench.accept()
    bench.move("due", "e1", bench.now_ms() + HOUR_MS)

    bench.reply()

    assert 0 < bench.queue("due")["e1"] - bench.now_ms() <= 120_000


def test_legal_instants_are_not_moved(bench: StoreDriver) -> None:
    """Only what no clock of ours can have meant is pulled in."""
    bench.granted("e1")
    bench.accept("e2")
    ahead = {"calling": bench.now_ms() + 300_000, "due": bench.now_ms() + 119_000}
    bench.move("calling", "e1", ahead["calling"])
    bench.move("due", "e2", ahead["due"])

    bench.reply()

    assert bench.queue("calling") == {"e1": ahead["calling"]}
    assert bench.queue("due") == {"e2": ahead["due"]}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("queue", ["due", "calling"])
def test_another_releases_record_is_looked_at_again_later(
    bench: StoreDriver, queue: str, content: dict[str, Any] | str
) -> None:
    """It is neither called, lost nor dropped, and others go past it."""
    bench.accept("newer")
    if queue == "calling":
        bench.grant()
    bench.set_fields("newer", accepted_ms=1)
    before = bench.make_unreadable(content, "newer")
    bench.move(queue, "newer", 1)
    bench.accept("e1")

    reply = bench.reply()

    assert isinstance(reply.decision, Grant)
    assert (reply.decision.event_id, reply.lost_event_ids, reply.expired_event_ids) == (
        "e1",
        [],
        [],
    )
    assert bench.text("newer") == before
    assert 4000 < bench.queue(queue)["newer"] - bench.now_ms() <= 5000


def test_with_memory_full_grants_go_on(bench: StoreDriver, request: pytest.FixtureRequest) -> None:
    """Accepted events are still called; only intake waits for memory."""
    bench.accept()
    request.getfixturevalue("full_memory")

    assert isinstance(bench.take(), Grant)


def test_with_memory_full_lost_workers_are_found(
    bench: StoreDriver, request: pytest.FixtureRequest
) -> None:
    """No event is stuck for want of memory, not even one whose instant must be pulled in."""
    bench.granted("e1")
    bench.granted("e2")
    bench.lose_worker("e1")
    bench.move("calling", "e2", bench.now_ms() + HOUR_MS)
    request.getfixturevalue("full_memory")

    assert bench.reply().lost_event_ids == ["e1"]


def test_a_later_attempt_of_the_same_event_has_a_higher_fence(bench: StoreDriver) -> None:
    """Attempts distinguish grants; `attempts` counts those that were used."""
    worker = bench.worker()
    worker.settle(bench.granted(), NOT_SENT)
    bench.make_due()

    second = bench.grant()

    assert (second.attempt, second.attempts) == (2, 2)
    assert bench.record().possible_orphan is False


def test_tokens_are_long_and_random() -> None:
    """128 bits, so that no take ever meets another's grant."""
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) == 22 for token in tokens)


# A take that grants nothing


def take_nothing(bench: StoreDriver, worker: GrantStore | None = None) -> TakeResult:
    """Take as a worker does that has no free slot."""
    return (worker or bench.worker()).take(new_token(), may_grant=False)


# By every take, of its own process and clock.
NOTED = {"newest", "min_replicas_acked"}


def state_of(bench: StoreDriver) -> object:
    """Everything that a grant or a probe would change."""
    tokens = sorted(bench.client.keys(bench.key("taken:*")))
    gate = {name: text for name, text in bench.gate().items() if name not in NOTED}
    return bench.text(), bench.queue("due"), bench.queue("calling"), gate, tokens


def test_a_take_without_a_free_slot_grants_nothing(bench: StoreDriver) -> None:
    """The event stays due, no token is spent or remembered, and its rings stay for others."""
    bench.accept()
    before = state_of(bench)

    reply = take_nothing(bench)

    assert NoWork(1000, is_idle=False) == reply.decision
    assert before == state_of(bench)
    assert 1 == bench.client.llen(bench.keys.bell)


@pytest.mark.parametrize("is_due", [True, False])
def test_a_take_without_a_free_slot_probes_nothing(new_bench: StoreDriver, *, is_due: bool) -> None:
    """Neither an unseen base URL, nor a breaker that has cooled down: no lease is taken."""
    if is_due:
        new_bench.accept()
    breakers: list[dict[str, Stored]] = [{"open_until": 1}, {"state": "open"}]
    for breaker in breakers:
        new_bench.set_gate(**breaker)
        before = state_of(new_bench)

        reply = take_nothing(new_bench)

        assert NoWork(1000, is_idle=not is_due) == reply.decision
        assert before == state_of(new_bench)


def test_a_take_without_a_free_slot_finds_lost_workers_and_expired_events(
    bench: StoreDriver,
) -> None:
    """However long all slots of all workers are taken."""
    bench.granted("far")
    bench.granted("lost")
    for event_id in ("old", "young"):
        bench.accept(event_id)
    bench.set_fields("old", accepted_ms=1)
    bench.lose_worker("lost")
    bench.move("calling", "far", bench.now_ms() + HOUR_MS)

    reply = take_nothing(bench)

    assert (["lost"], ["old"]) == (reply.lost_event_ids, reply.expired_event_ids)
    assert bench.record("young").status is Status.ACCEPTED
    assert bench.queue("calling")["far"] - bench.now_ms() <= 305_000


def test_a_take_without_a_free_slot_consents_as_any_other(bench: StoreDriver) -> None:
    """A lost worker's event is accepted again where its configuration consents."""
    bench.granted()
    bench.lose_worker()

    reply = take_nothing(bench, bench.worker(on_unknown=OnUnknown.RECREATE))

    assert ["e1"] == reply.lost_event_ids
    assert bench.record().status is Status.ACCEPTED


def test_an_idle_take_without_a_slot_returns_the_next_instant(bench: StoreDriver) -> None:
    """As any idle take."""
    bench.accept()
    bench.move("due", "e1", bench.now_ms() + 500)

    taken = take_nothing(bench).decision

    assert isinstance(taken, NoWork)
    assert taken.is_idle
    assert 0 < taken.wait_ms <= 500


def test_a_take_without_a_free_slot_repeats_no_grant(bench: StoreDriver) -> None:
    """Also under a token that has one."""
    grant = bench.granted()

    reply = bench.worker().take(grant.token, may_grant=False)

    assert NoWork(1000, is_idle=True) == reply.decision


def test_a_silent_worker_is_not_counted(bench: StoreDriver) -> None:
    """Each process has one entry, by when it last took."""
    gone, here = bench.worker(), bench.worker()
    bench.take(gone)
    entries = bench.queue("workers")
    for entry in entries:
        bench.move("workers", entry, bench.now_ms() - 16_000)

    bench.take(here)
    bench.take(here)

    assert 1 == len(bench.queue("workers"))
    assert entries.keys().isdisjoint(bench.queue("workers"))
