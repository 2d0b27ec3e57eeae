"""Settling one call and taking the next in one script: each as by itself, in this order."""

import pytest

from app.chats.errors import RecordFromNewerRelease
from app.chats.grant import Grant, Wait, new_token
from app.chats.outcome import Outcome
from app.chats.record import Status
from app.store.scripts import NotAcknowledged
from tests.store.bench import Bench
from tests.store.outcomes import CREATED, DENIED, NOT_SENT, OUTCOMES, REFUSED, THROTTLED

TOKEN = new_token()


@pytest.fixture
def grant(bench: Bench) -> Grant:
    """A call of ``e1`` under way, while ``e2`` waits."""
    granted = bench.granted("e1")
    bench.accept("e2")
    return granted


@pytest.mark.parametrize("outcome", [CREATED, REFUSED, NOT_SENT])
def test_one_is_settled_and_the_next_granted(bench: Bench, grant: Grant, outcome: Outcome) -> None:
    """Both replies are those of the two by themselves."""
    settled, reply = bench.worker().settle_and_take(grant, outcome, TOKEN)

    repeated = bench.worker().take(TOKEN)
    assert settled.result == bench.record("e1").status
    assert isinstance(reply.taken, Grant)
    assert (reply.taken.event_id, reply.taken) == ("e2", repeated.taken)


@pytest.mark.parametrize("outcome", [DENIED, THROTTLED])
def test_what_came_of_the_call_counts_for_the_next(
    bench: Bench, grant: Grant, outcome: Outcome
) -> None:
    """A gate that this outcome has shut lets nothing pass."""
    _, reply = bench.worker().settle_and_take(grant, outcome, TOKEN)

    assert isinstance(reply.taken, Wait)
    assert not reply.taken.is_idle
    assert Status.ACCEPTED is bench.record("e2").status


@pytest.mark.parametrize("is_late", [False, True])
def test_a_lost_reply_leaves_nothing_behind(bench: Bench, grant: Grant, *, is_late: bool) -> None:
    """What is settled again and given back is as it was, also where the lost command comes last."""
    worker = bench.worker()
    if not is_late:
        worker.settle_and_take(grant, CREATED, TOKEN)
    worker.release(TOKEN)
    worker.settle(grant, CREATED)
    if is_late:
        worker.settle_and_take(grant, CREATED, TOKEN)

    assert Status.OPENED is bench.record("e1").status
    assert () == bench.record("e1").duplicate_chat_ids
    assert (Status.ACCEPTED, 0) == (bench.record("e2").status, bench.record("e2").attempts)


def test_a_settle_that_is_refused_takes_nothing_along(bench: Bench, grant: Grant) -> None:
    """A newer release has changed the record of the call meanwhile."""
    bench.set_fields("e1", v="2")

    with pytest.raises(RecordFromNewerRelease):
        bench.worker().settle_and_take(grant, CREATED, TOKEN)

    assert (Status.ACCEPTED, 0) == (bench.record("e2").status, bench.record("e2").attempts)


def test_neither_is_confirmed_without_acknowledgement(bench: Bench, grant: Grant) -> None:
    """I1 and I4: the grant is not handed out, and the answer is kept."""
    worker = bench.worker(min_replicas_acked=1)

    with pytest.raises(NotAcknowledged):
        worker.settle_and_take(grant, CREATED, TOKEN)

    assert "released" == worker.release(TOKEN)


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_with_memory_full_both_go_on(
    bench: Bench, grant: Grant, outcome: Outcome, request: pytest.FixtureRequest
) -> None:
    """No answer is lost for want of memory, and no event is stuck."""
    request.getfixturevalue("full_memory")

    _, reply = bench.worker().settle_and_take(grant, outcome, TOKEN)

    assert isinstance(reply.taken, Grant) == (outcome not in {DENIED, THROTTLED})
