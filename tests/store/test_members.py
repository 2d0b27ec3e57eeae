"""Events with the caller's own id for the user: resolving, the kept user id, look-ups."""

import pytest

from app.chats.grant import NoWork, SettleEffect, Task
from app.chats.outcome import Denied, LookFailed, NotSent, Outcome, Refused, Resolved, Throttled
from app.chats.record import FailureCode
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN, created
from tools.model.store_driver import WAY, StoreDriver

TEN_MINUTES_MS = 600_000
NO_USER = Refused(FailureCode.USER_NOT_FOUND, "There is no such user.", 404, has_acted=False)


def resolve(bench: StoreDriver, user_id: str = "u-1", member_id: str = "m1") -> None:
    """Accept an event of a member, and resolve its user."""
    bench.worker().settle(bench.granted("e1", member_id=member_id), Resolved(user_id))


def test_a_member_is_resolved_before_the_create(bench: StoreDriver) -> None:
    """Its status is accepted meanwhile, and no create is counted."""
    grant = bench.granted("e1", member_id="m1")
    record = bench.record()
    effect = bench.worker().settle(grant, Resolved("u-1")).effect
    create = bench.grant()

    assert (Task.RESOLVE, None, "m1") == (grant.task, grant.user_id, grant.member_id)
    assert ("accepted", False, 0) == (record.status, record.created, record.attempts)
    assert SettleEffect.RESOLVED == effect
    assert (Task.CREATE, "u-1", 2) == (create.task, create.user_id, create.attempt)
    assert 1 == bench.record().attempts


def test_both_ids_are_in_the_record(bench: StoreDriver) -> None:
    """And both find the event."""
    resolve(bench)
    bench.worker().settle(bench.grant(), CREATED)

    record = bench.record()
    assert ("u-1", "m1") == (record.user_id, record.member_id)
    assert [record] == bench.intake().chats_of_user("u-1", limit=5)[0]
    assert [record] == bench.intake().chats_of_member("m1", limit=5)[0]
    assert [] == bench.intake().chats_of_member("u-1", limit=5)[0]


def test_the_user_id_is_kept_for_other_events(bench: StoreDriver) -> None:
    """For ten minutes: the next event of the member needs no request for it."""
    resolve(bench)
    bench.worker().settle(bench.grant(), CREATED)

    grant = bench.granted("e2", member_id="m1")

    assert (Task.CREATE, "u-1") == (grant.task, grant.user_id)
    assert TEN_MINUTES_MS - 60_000 < bench.ttl_ms("member:m1") <= TEN_MINUTES_MS


def test_a_kept_user_that_is_gone_is_resolved_once_more(bench: StoreDriver) -> None:
    """And only once; the kept id goes."""
    resolve(bench, "old")
    bench.worker().settle(bench.grant(), CREATED)
    bench.worker().settle(bench.granted("e2", member_id="m1"), REFUSED)
    kept = bench.client.exists(bench.key("member:m1"))
    again = bench.grant()
    bench.worker().settle(again, Resolved("new"))
    bench.worker().settle(bench.grant(), REFUSED)

    assert (0, Task.RESOLVE) == (kept, again.task)
    record = bench.record("e2")
    assert ("failed", "user_not_found") == (record.status, record.failure and record.failure.code)


def test_a_user_that_was_just_resolved_is_not_resolved_again(bench: StoreDriver) -> None:
    """Its own resolve found it: Channel.io contradicts itself, and the event fails."""
    resolve(bench)

    bench.worker().settle(bench.grant(), REFUSED)

    assert "failed" == bench.record().status
    assert 0 == bench.client.exists(bench.key("member:m1"))


def test_another_kept_id_stays(bench: StoreDriver) -> None:
    """It was found since: only the refused one goes."""
    resolve(bench)
    grant = bench.grant()
    bench.client.set(bench.key("member:m1"), "newer", px=TEN_MINUTES_MS)

    bench.worker().settle(grant, REFUSED)

    assert "newer" == bench.client.get(bench.key("member:m1"))


def test_a_redrive_begins_with_the_resolve(bench: StoreDriver) -> None:
    """It may be resolved once more again."""
    resolve(bench)
    bench.worker().settle(bench.grant(), REFUSED)

    bench.operations().redrive("e1", by="anna")

    assert Task.RESOLVE == bench.grant().task
    assert bench.record().user_id is None


def test_an_unknown_member_fails_the_event(bench: StoreDriver) -> None:
    """Nothing was created."""
    bench.worker().settle(bench.granted("e1", member_id="m1"), NO_USER)

    record = bench.record()
    assert ("failed", False) == (record.status, record.created)
    assert record.failure
    assert ("user_not_found", 404) == (record.failure.code, record.failure.upstream_status)


@pytest.mark.parametrize(
    "outcome",
    [LookFailed("No answer."), NotSent("Refused."), Throttled(1), Denied("The key.", 401)],
    ids=lambda outcome: outcome.kind,
)
def test_a_failed_look_up_is_never_unknown(bench: StoreDriver, outcome: Outcome) -> None:
    """It is repeated; it takes no consent and leaves no doubt."""
    grant = bench.granted("e1", member_id="m1", on_unknown="recreate")

    effect = bench.worker().settle(grant, outcome).effect

    record = bench.record()
    assert SettleEffect.ACCEPTED == effect
    assert ("accepted", False, False) == (record.status, record.created, record.possible_orphan)
    assert not {"unknowns", "consented"} & bench.fields().keys()
    bench.make_due()
    bench.set_gate(**{f"way:{WAY}": 1, "pause_until": 1, "tat": 1})
    assert Task.RESOLVE == bench.grant().task


def test_a_lost_worker_that_resolved_leaves_no_doubt(bench: StoreDriver) -> None:
    """The look-up is repeated."""
    bench.granted("e1", member_id="m1")
    bench.lose_worker()

    taken = bench.reply()

    assert (["e1"], NoWork) == (taken.lost_event_ids, type(taken.decision))
    assert ("accepted", False) == (bench.record().status, bench.record().created)
    bench.make_due()
    assert Task.RESOLVE == bench.grant().task


def test_a_recreate_keeps_the_user(bench: StoreDriver) -> None:
    """It goes on after the resolve."""
    resolve(bench)
    bench.worker().settle(bench.grant(), UNKNOWN)

    bench.operations().recreate("e1", by="anna")

    grant = bench.grant()
    assert (Task.CREATE, "u-1", True) == (grant.task, grant.user_id, grant.is_possible_orphan)


def test_the_published_user_is_that_of_the_call_that_made_the_chat(bench: StoreDriver) -> None:
    """Users were merged in between."""
    resolve(bench, "before")
    first = bench.grant()
    bench.worker().settle(first, UNKNOWN)
    bench.operations().recreate("e1", by="anna")
    bench.set_fields(user_id="after")
    bench.grant()

    bench.worker().settle(first, created("late"))

    assert "before" == bench.record().user_id
    assert ["e1"] == [one.event_id for one in bench.intake().chats_of_user("before", limit=5)[0]]
    assert [] == bench.intake().chats_of_user("after", limit=5)[0]


@pytest.mark.parametrize(
    "member_id", ["한국/1", "a:b{c}", "%2F", '"quoted"', "*?[x]", "\U0001f4ac"]
)
def test_any_member_id_is_found(bench: StoreDriver, member_id: str) -> None:
    """Whatever characters it has."""
    resolve(bench, member_id=member_id)
    bench.worker().settle(bench.grant(), CREATED)

    assert member_id == bench.record().member_id
    assert ["e1"] == [one.event_id for one in bench.intake().chats_of_member(member_id, limit=5)[0]]


def test_a_late_resolve_changes_nothing(bench: StoreDriver) -> None:
    """Its grant was lost, and another one found the user."""
    late = bench.granted("e1", member_id="m1")
    bench.lose_worker()
    bench.take()
    bench.make_due()
    bench.worker().settle(bench.grant(), Resolved("u-1"))
    before = bench.text()

    assert SettleEffect.IGNORED == bench.worker().settle(late, Resolved("u-2")).effect
    assert before == bench.text()
    assert "u-1" == bench.client.get(bench.key("member:m1"))


def test_a_resolve_rebuilds_a_lost_record(bench: StoreDriver) -> None:
    """The worker's copy counts, as for a create."""
    grant = bench.granted("e1", member_id="m1", message={"text": "Hello."})
    bench.client.unlink(*map(bench.key, ("event:e1", "calling", "text:e1")))

    bench.worker().settle(grant, Resolved("u-1"))

    assert ("accepted", "u-1") == (bench.record().status, bench.record().user_id)
