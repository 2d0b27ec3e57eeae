"""Tasks of an event: order, grants, lost answers, refusals, and what becomes of the text."""

from dataclasses import replace
from typing import Any

import pytest

from app.chats.grant import Grant, NoWork, SettleEffect, Task, new_token
from app.chats.outcome import (
    Denied,
    Done,
    LookFailed,
    NotFound,
    NotSent,
    Outcome,
    Refused,
    Throttled,
    Unknown,
)
from app.chats.record import FailureCode, Record, TaskState
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN, created
from tools.model.store_driver import (
    CALL_DEADLINE_MS,
    EVENT_DEADLINE_MS,
    LEASE_MS,
    LIMITS,
    TTL_SECONDS,
    WAY,
    StoreDriver,
    event_of,
)

TEXT = "Your refund is on its way."
MESSAGE = {"text": TEXT, "bot_name": "Refunds"}
BOTH: dict[str, Any] = {"message": MESSAGE, "open": True}
ONLY_OPEN: dict[str, Any] = {"open": True}
SENT = Done(has_acted=True, message_id="m-1")
OPENED = Done(has_acted=True)
FOUND = Done(has_acted=False, message_id="m-0")
LOST = Unknown(FailureCode.NO_ANSWER, "No answer came.")
NOT_FOUND = NotFound("The message is not in the chat.")
LOOK_FAILED = LookFailed("A read had no answer.")
REJECTED = Refused(FailureCode.REJECTED, "Channel.io answered 422.", 422)
NO_BOT = Refused(FailureCode.BOT_NOT_FOUND, "There is no such bot.", 422)
NO_CHAT = Refused(FailureCode.CHAT_NOT_FOUND, "There is no such chat.", 404, has_acted=False)
MINUTE_MS = 60_000


def open_event(bench: StoreDriver, event_id: str = "e1", **fields: Any) -> Grant:
    """Accept an event and have its chat created; return the create's grant."""
    grant = bench.granted(event_id, **(fields or BOTH))
    bench.worker().settle(grant, created(f"chat-{event_id}"))
    return grant


def settle_next(bench: StoreDriver, outcome: Outcome, event_id: str = "e1") -> SettleEffect:
    """Let the event's wait end, take its grant, and settle it."""
    bench.make_due(event_id)
    return bench.worker().settle(bench.grant(), outcome).effect


def state(bench: StoreDriver, name: str = "message", event_id: str = "e1") -> TaskState:
    """Return the state of a task."""
    tasks = bench.record(event_id).tasks
    assert tasks is not None
    return tasks[name]


def statuses(bench: StoreDriver, event_id: str = "e1") -> dict[str, str]:
    """Return the status of each task."""
    return {name: task.status for name, task in (bench.record(event_id).tasks or {}).items()}


def code(bench: StoreDriver, name: str = "message") -> str | None:
    """Return the code with which a task failed."""
    failure = state(bench, name).failure
    return failure.code if failure else None


def has_text(bench: StoreDriver, event_id: str = "e1") -> bool:
    """Return whether the text is kept."""
    return bench.client.exists(bench.key(f"text:{event_id}")) == 1


# Order and grants.


def test_each_task_has_a_grant_in_its_order(bench: StoreDriver) -> None:
    """The create, the message with its text, the open; each raises the fence."""
    grants = [bench.granted("e1", **BOTH)]
    for outcome in (CREATED, SENT):
        bench.worker().settle(grants[-1], outcome)
        grants.append(bench.grant())
    bench.worker().settle(grants[-1], OPENED)

    texts = [grant.text and grant.text.get_secret_value() for grant in grants]
    assert [Task.CREATE, Task.MESSAGE, Task.OPEN] == [grant.task for grant in grants]
    assert [None, TEXT, None] == texts
    assert [1, 2, 3] == [grant.attempt for grant in grants]
    assert ["chat-1"] * 2 == [grant.chat_id for grant in grants[1:]]
    assert isinstance(bench.take(), NoWork)
    record = bench.record()
    assert record.is_complete
    assert (1, {"message": "done", "open": "done"}) == (record.attempts, statuses(bench))
    assert "m-1" == state(bench).id


def test_the_chat_is_published_before_its_tasks(bench: StoreDriver) -> None:
    """The status speaks of the create alone; look-ups find the chat meanwhile."""
    open_event(bench)

    record = bench.record()

    assert ("opened", True, False) == (record.status, record.created, record.is_complete)
    assert record.settled_at is not None
    assert (None, None) == (record.completed_at, record.expires_at)
    found = bench.intake().event_of_chat("chat-e1")
    assert found is not None
    assert record == found
    assert [record] == bench.intake().chats_of_user("u1", limit=5)[0]


def test_tasks_pass_before_newer_events(bench: StoreDriver) -> None:
    """By the instant at which their event was accepted."""
    bench.accept("e1", **BOTH)
    bench.accept("e2", user_id="u2")
    bench.move("due", "e2", bench.now_ms())
    first = bench.grant()
    bench.worker().settle(first, CREATED)

    assert ("e1", Task.MESSAGE) == (bench.grant().event_id, first.task and Task.MESSAGE)


def test_a_repeated_take_gets_task_and_text(bench: StoreDriver) -> None:
    """After a lost reply, under the same token."""
    open_event(bench)
    token = new_token()
    grant = bench.worker().take(token).decision

    again = bench.worker().take(token).decision

    assert isinstance(grant, Grant)
    assert isinstance(again, Grant)
    assert grant == again
    assert (Task.MESSAGE, grant.text) == (again.task, again.text)


def test_a_repeated_take_hands_out_no_message_without_its_text(bench: StoreDriver) -> None:
    """Redis lost the text between the two: nothing was sent, and nothing will be."""
    open_event(bench)
    token = new_token()
    bench.worker().take(token)
    bench.client.unlink(bench.key("text:e1"))

    again = bench.worker().take(token).decision

    assert isinstance(again, NoWork)
    assert {"message": "failed", "open": "skipped"} == statuses(bench)
    assert (FailureCode.TEXT_LOST, 0) == (code(bench), state(bench).attempts)
    assert {} == bench.queue("calling")


def test_a_released_task_is_granted_again(bench: StoreDriver) -> None:
    """Nothing was sent: no attempt of the create is taken back."""
    open_event(bench)
    bench.worker().release(bench.grant().token)

    assert 1 == bench.record().attempts
    assert (Task.MESSAGE, 0) == (bench.grant().task, state(bench).attempts)


def test_an_event_without_tasks_has_no_new_field(bench: StoreDriver) -> None:
    """Its record is of the version before, which the release before reads."""
    bench.worker().settle(bench.granted("e1"), CREATED)

    fields = bench.fields()
    assert 2 == fields["v"]
    assert not {"tasks", "task", "completed_ms", "look_from_ms", "deadline_from_ms"} & fields.keys()
    record = bench.record()
    assert record.completed_at == record.settled_at is not None


def test_a_record_with_tasks_is_of_a_higher_version(bench: StoreDriver) -> None:
    """The release before leaves it alone."""
    bench.accept("e1", **BOTH)
    bench.accept("e2", member_id="m1")

    assert [3, 3] == [bench.fields(event_id)["v"] for event_id in ("e1", "e2")]


# Life of records, indexes and texts.


def test_the_window_begins_when_the_event_is_complete(bench: StoreDriver) -> None:
    """For the record and the chat's entry together."""
    open_event(bench)
    names = ("event:e1", "chat:chat-e1")
    before = [bench.ttl_ms(name) for name in names]
    settle_next(bench, SENT)
    settle_next(bench, OPENED)

    after = [bench.ttl_ms(name) for name in names]

    assert [-1, -1] == before
    assert all(TTL_SECONDS * 1000 - MINUTE_MS < left <= TTL_SECONDS * 1000 for left in after)
    record = bench.record()
    assert record.completed_at
    assert record.expires_at
    assert TTL_SECONDS == (record.expires_at - record.completed_at).total_seconds()


def test_the_users_index_outlives_the_tasks(bench: StoreDriver) -> None:
    """They have the event's deadline again, which is no longer than the window."""
    open_event(bench)

    assert TTL_SECONDS * 1000 < bench.ttl_ms("user:u1")


@pytest.mark.parametrize("outcome", [SENT, FOUND])
def test_the_text_goes_once_the_message_is_there(bench: StoreDriver, outcome: Outcome) -> None:
    """Sent now, or found."""
    open_event(bench)
    before = has_text(bench)

    settle_next(bench, outcome)

    assert (True, False) == (before, has_text(bench))


def test_the_text_stays_for_a_redrive_as_long_as_the_record(bench: StoreDriver) -> None:
    """Of a failed message."""
    open_event(bench)
    settle_next(bench, REJECTED)

    left_ms = bench.ttl_ms("event:e1")
    assert 0 < bench.ttl_ms("text:e1") <= left_ms


@pytest.mark.parametrize("ending", ["refused", "cancelled", "expired"])
def test_the_text_of_a_failed_event_stays_for_a_redrive(bench: StoreDriver, ending: str) -> None:
    """Its tasks are skipped, and pending again."""
    bench.accept("e1", **BOTH)
    if ending == "refused":
        bench.worker().settle(bench.grant(), REFUSED)
    elif ending == "cancelled":
        bench.operations().cancel("e1", by="anna")
    else:
        bench.take(bench.worker(event_deadline_ms=-1))

    assert ("failed", {"skipped"}) == (bench.record().status, {*statuses(bench).values()})
    left_ms = bench.ttl_ms("event:e1")
    assert 0 < bench.ttl_ms("text:e1") <= left_ms
    bench.operations().redrive("e1", by="anna")
    assert {"pending"} == {*statuses(bench).values()}
    assert -1 == bench.ttl_ms("text:e1")


def test_the_text_goes_where_nothing_may_redrive_it(bench: StoreDriver) -> None:
    """The event is given up, and there may be a chat."""
    bench.worker().settle(bench.granted("e1", **BOTH), UNKNOWN)
    bench.operations().give_up("e1", by="anna")

    assert not has_text(bench)
    assert {"skipped"} == {*statuses(bench).values()}


def test_an_entry_without_a_record_takes_its_text_along(bench: StoreDriver) -> None:
    """An acceptance was stopped half-way."""
    bench.accept("e1", **BOTH)
    bench.client.unlink(bench.keys.event("e1"))

    assert isinstance(bench.take(), NoWork)

    assert not has_text(bench)


def test_a_lost_text_fails_the_message(bench: StoreDriver) -> None:
    """And skips the open behind it."""
    open_event(bench)
    bench.client.unlink(bench.key("text:e1"))

    assert isinstance(bench.take(), NoWork)

    assert "text_lost" == code(bench)
    assert {"message": "failed", "open": "skipped"} == statuses(bench)
    assert bench.record().is_complete


# Lost answers.


def test_a_lost_message_waits_until_it_can_be_seen(bench: StoreDriver) -> None:
    """However early the loss was noticed: its lease, and three deadlines."""
    open_event(bench)
    bench.make_due()
    before = bench.now_ms()
    grant = bench.grant()
    effect = bench.worker().settle(grant, LOST).effect

    due = bench.queue("due")["e1"]

    wait_ms = LEASE_MS + 3 * CALL_DEADLINE_MS
    assert SettleEffect.TASK_WAITING == effect
    assert before + wait_ms <= due <= bench.now_ms() + wait_ms
    assert isinstance(bench.take(), NoWork)  # nor is it pulled in
    assert due == bench.queue("due")["e1"]
    assert ("pending", 1) == (state(bench).status, state(bench).attempts)


def test_a_worker_with_a_short_deadline_pulls_no_look_in(bench: StoreDriver) -> None:
    """The wait is that of the worker that may have sent."""
    minutes_ms = 5 * MINUTE_MS
    open_event(bench)
    bench.make_due()
    grant = bench.grant(bench.worker(call_deadline_ms=minutes_ms))
    bench.worker().settle(grant, LOST)
    due = bench.queue("due")["e1"]

    bench.take()

    assert due == bench.queue("due")["e1"]
    assert bench.now_ms() + 4 * minutes_ms < due + MINUTE_MS


def test_an_instant_of_another_clock_is_pulled_in(bench: StoreDriver) -> None:
    """No deadline is as long as that."""
    open_event(bench)
    bench.set_fields(look_from_ms=bench.now_ms() + 100 * MINUTE_MS)
    bench.move("due", "e1", bench.now_ms() + 100 * MINUTE_MS)

    bench.take()

    assert bench.queue("due")["e1"] < bench.now_ms() + 21 * MINUTE_MS


def test_a_lost_open_waits_until_its_lease_is_over(bench: StoreDriver) -> None:
    """Its look shows at once whether it was done."""
    open_event(bench, **ONLY_OPEN)
    bench.make_due()
    before = bench.now_ms()
    bench.worker().settle(bench.grant(), LOST)

    assert before + LEASE_MS <= bench.queue("due")["e1"] <= bench.now_ms() + LEASE_MS


@pytest.mark.parametrize("fields", [BOTH, ONLY_OPEN], ids=["message", "open"])
def test_a_lost_worker_may_have_sent(bench: StoreDriver, fields: dict[str, Any]) -> None:
    """The event is due again, and neither held nor in doubt."""
    open_event(bench, **fields)
    bench.make_due()
    grant = bench.grant()
    bench.lose_worker()

    taken = bench.reply()

    assert ["e1"] == taken.lost_event_ids
    assert isinstance(taken.decision, NoWork)
    assert 1 == state(bench, grant.task).attempts
    record = bench.record()
    assert ("opened", False) == (record.status, record.possible_orphan)
    assert "e1" in bench.queue("due")


def test_the_third_grant_only_looks(bench: StoreDriver) -> None:
    """After two sends without an answer; then the message fails as no_answer."""
    open_event(bench)
    settle_next(bench, LOST)
    settle_next(bench, LOST)
    bench.make_due()
    grant = bench.grant()

    assert grant.is_look_only
    assert SettleEffect.TASK_FAILED == bench.worker().settle(grant, NOT_FOUND).effect
    assert ("no_answer", 2) == (code(bench), state(bench).attempts)
    assert bench.record().is_complete


def test_a_lost_look_is_no_send(bench: StoreDriver) -> None:
    """The worker that only looked was lost: one more looks, and nothing is counted."""
    open_event(bench)
    settle_next(bench, LOST)
    settle_next(bench, LOST)
    bench.make_due()
    bench.grant()
    bench.lose_worker()
    bench.take()

    bench.make_due()
    assert bench.grant().is_look_only
    assert 2 == state(bench).attempts


@pytest.mark.parametrize(
    "outcome",
    [LOOK_FAILED, NotSent("Refused."), Throttled(1000), Denied("The key is wrong.", 401)],
    ids=lambda outcome: outcome.kind,
)
def test_what_surely_was_not_sent_is_no_send(bench: StoreDriver, outcome: Outcome) -> None:
    """The task is granted again, with its right to send."""
    open_event(bench)

    effect = settle_next(bench, outcome)

    assert SettleEffect.TASK_WAITING == effect
    assert ("pending", 0) == (state(bench).status, state(bench).attempts)
    assert "unanswered" not in bench.fields()["tasks"]["message"]


def test_a_redrive_counts_sends_anew(bench: StoreDriver) -> None:
    """But the doubt stays, and the wait for what may still come."""
    open_event(bench)
    settle_next(bench, LOST)
    settle_next(bench, LOST)
    settle_next(bench, NOT_FOUND)
    bench.operations().redrive("e1", by="anna")
    bench.make_due()

    grant = bench.grant()

    assert not grant.is_look_only
    bench.worker().settle(grant, REJECTED)
    bench.make_due()
    bench.worker().settle(bench.grant(), NOT_FOUND)
    assert "no_answer" == code(bench)


# Refusals.


def test_a_refused_message_fails_and_skips_the_open(bench: StoreDriver) -> None:
    """In our words; the event stays opened."""
    open_event(bench)

    effect = settle_next(bench, NO_BOT)

    assert SettleEffect.TASK_FAILED == effect
    assert ("bot_not_found", 1) == (code(bench), state(bench).attempts)
    assert {"message": "failed", "open": "skipped"} == statuses(bench)
    record = bench.record()
    assert ("opened", None, True) == (record.status, record.failure, record.is_complete)
    assert ["e1"] == [*bench.queue("failed")]


def test_a_refused_open_is_looked_at_once_more(bench: StoreDriver) -> None:
    """A person may have opened the chat in between."""
    open_event(bench, **ONLY_OPEN)
    settle_next(bench, REJECTED)
    bench.make_due()
    grant = bench.grant()

    assert (True, "pending") == (grant.is_look_only, state(bench, "open").status)
    bench.worker().settle(grant, FOUND)
    assert "done" == state(bench, "open").status


def test_a_refused_open_that_is_not_open_fails(bench: StoreDriver) -> None:
    """With the refusal."""
    open_event(bench, **ONLY_OPEN)
    settle_next(bench, REJECTED)
    settle_next(bench, NOT_FOUND)

    assert ("rejected", 1) == (code(bench, "open"), state(bench, "open").attempts)


def test_a_refused_second_send_is_looked_at_once_more(bench: StoreDriver) -> None:
    """The first may have been done; then it is no refusal for certain."""
    open_event(bench)
    settle_next(bench, LOST)
    settle_next(bench, REJECTED)
    bench.make_due()
    grant = bench.grant()

    assert grant.is_look_only
    bench.worker().settle(grant, NOT_FOUND)
    assert ("no_answer", 2) == (code(bench), state(bench).attempts)


def test_a_young_chat_may_not_be_known_yet(bench: StoreDriver) -> None:
    """For a minute a 404 is repeated."""
    open_event(bench)
    young = settle_next(bench, NO_CHAT)
    bench.set_fields(settled_ms=bench.now_ms() - MINUTE_MS)
    old = settle_next(bench, NO_CHAT)

    assert (SettleEffect.TASK_WAITING, SettleEffect.TASK_FAILED) == (young, old)
    assert ("chat_not_found", 0) == (code(bench), state(bench).attempts)


@pytest.mark.parametrize("is_doubtful", [False, True])
def test_an_expired_task_is_certain_only_if_nothing_was_sent(
    bench: StoreDriver, *, is_doubtful: bool
) -> None:
    """Its deadline counts from the settling, and fails the task, not the event."""
    open_event(bench)
    if is_doubtful:
        settle_next(bench, LOST)
    bench.set_fields(accepted_ms=bench.fields()["accepted_ms"] - EVENT_DEADLINE_MS - MINUTE_MS)
    bench.make_due()
    grant = bench.grant()  # not yet
    bench.worker().release(grant.token)
    bench.make_due()

    taken = bench.reply(bench.worker(event_deadline_ms=-1))

    assert ["e1"] == taken.expired_event_ids
    assert ("no_answer" if is_doubtful else "expired") == code(bench)
    assert "opened" == bench.record().status


def test_the_second_own_denial_fails_the_task(bench: StoreDriver) -> None:
    """Others succeed on the same way meanwhile."""
    denied = Denied("The key is wrong.", 403)
    open_event(bench)
    for _ in range(3):
        successes = int(bench.gate().get(f"successes:{WAY}", 0))
        bench.set_gate(**{f"way:{WAY}": 1, f"successes:{WAY}": successes + 1})
        settle_next(bench, denied)

    assert "rejected" == code(bench)
    assert "opened" == bench.record().status


# Late and lost settles.


def test_done_counts_under_any_token(bench: StoreDriver) -> None:
    """A first send arrived after all: a failed task is a done one, what was skipped stays so."""
    open_event(bench)
    bench.make_due()
    late = bench.grant()
    bench.lose_worker()
    bench.take()
    settle_next(bench, LOST)
    settle_next(bench, NOT_FOUND)
    before = statuses(bench)

    effect = bench.worker().settle(late, SENT).effect

    assert {"message": "failed", "open": "skipped"} == before
    assert SettleEffect.TASK_DONE == effect
    assert {"message": "done", "open": "skipped"} == statuses(bench)
    assert 2 == state(bench).attempts  # the late answer's send was counted when it was lost
    assert not has_text(bench)
    assert [] == [*bench.queue("failed")]


def test_other_outcomes_count_under_their_token_alone(bench: StoreDriver) -> None:
    """A later grant is out."""
    open_event(bench)
    bench.make_due()
    late = bench.grant()
    bench.lose_worker()
    bench.take()
    bench.make_due()
    bench.grant()
    before = bench.text()

    effects = {
        bench.worker().settle(late, outcome).effect
        for outcome in (LOST, REJECTED, NOT_FOUND, LOOK_FAILED, Throttled(1))
    }

    assert {SettleEffect.IGNORED} == effects
    assert before == bench.text()


def test_done_in_another_chat_does_not_count(bench: StoreDriver) -> None:
    """Only the published one is the event's."""
    open_event(bench)
    bench.make_due()
    grant = bench.grant()
    bench.set_fields(chat_id="another")

    assert SettleEffect.IGNORED == bench.worker().settle(grant, SENT).effect
    assert "pending" == state(bench).status
    bench.set_fields(chat_id="chat-e1")


def test_a_late_chat_changes_neither_token_nor_queue(bench: StoreDriver) -> None:
    """It is a duplicate chat; the grant for the message stays out."""
    first = open_event(bench)
    grant = bench.grant()

    effect = bench.worker().settle(first, created("late")).effect

    assert SettleEffect.DUPLICATE == effect
    assert (grant.token, ["e1"]) == (bench.fields()["grant_token"], [*bench.queue("calling")])
    assert SettleEffect.TASK_DONE == bench.worker().settle(grant, SENT).effect


def test_a_late_chat_of_a_failed_event_is_published_without_tasks(bench: StoreDriver) -> None:
    """Its tasks were skipped, and nothing may redrive them."""
    grant = bench.granted("e1", **BOTH)
    bench.worker().settle(grant, UNKNOWN)
    bench.operations().give_up("e1", by="anna")

    bench.worker().settle(grant, CREATED)

    record = bench.record()
    assert ("opened", True) == (record.status, record.is_complete)
    assert {"skipped"} == {*statuses(bench).values()}
    assert not has_text(bench)


@pytest.mark.parametrize("is_rolled_back", [False, True])
def test_a_settle_rebuilds_what_redis_lost(bench: StoreDriver, *, is_rolled_back: bool) -> None:
    """The record, or its chat: the worker's copy has the published one."""
    open_event(bench)
    grant = bench.grant()
    names = ("event:e1", "calling", "due", "chat:chat-e1", "user:u1")
    bench.client.unlink(*map(bench.key, names))
    if is_rolled_back:
        bench.intake().accept(event_of("e1", **BOTH))
        bench.set_fields(accepted_ms=grant.life_ms)

    effect = bench.worker().settle(grant, SENT).effect

    record = bench.record()
    assert SettleEffect.TASK_DONE == effect
    assert ("opened", "chat-e1") == (record.status, record.chat and record.chat.id)
    assert {"message": "done", "open": "pending"} == statuses(bench)
    assert record == bench.intake().event_of_chat("chat-e1")


def test_a_rebuilt_record_without_its_text_fails_its_message(bench: StoreDriver) -> None:
    """Redis lost that too."""
    open_event(bench)
    grant = bench.grant()
    bench.client.unlink(*map(bench.key, ("event:e1", "calling", "text:e1")))
    bench.worker().settle(grant, LOOK_FAILED)
    bench.make_due()

    bench.take()

    assert "text_lost" == code(bench)


@pytest.mark.parametrize("outcome", [SENT, OPENED, LOST, REJECTED, NOT_FOUND, LOOK_FAILED])
def test_the_same_settle_twice_is_one(bench: StoreDriver, outcome: Outcome) -> None:
    """After a lost reply."""
    open_event(bench)
    bench.make_due()
    grant = bench.grant()
    bench.worker().settle(grant, outcome)
    before = bench.text()

    bench.worker().settle(grant, outcome)

    assert before == bench.text()


def test_an_answer_to_an_earlier_life_changes_nothing(bench: StoreDriver) -> None:
    """The id is another event's by now."""
    open_event(bench)
    grant = bench.grant()
    bench.client.flushall()
    bench.open_gate()
    bench.accept("e1", user_id="another")
    bench.set_fields(accepted_ms=grant.life_ms + 1)

    assert SettleEffect.STALE == bench.worker().settle(grant, SENT).effect
    assert bench.record().tasks is None


# The gate.


@pytest.mark.parametrize(
    ("outcome", "successes"),
    [(SENT, 1), (REJECTED, 1), (FOUND, 0), (NO_CHAT, 0), (LOOK_FAILED, 0), (LOST, 0)],
)
def test_answered_writes_are_successes(
    bench: StoreDriver, outcome: Outcome, successes: int
) -> None:
    """A good read is neutral: it would hide that writes fail."""
    open_event(bench)
    before = int(bench.gate().get(f"successes:{WAY}", 0))

    settle_next(bench, outcome)

    assert successes == int(bench.gate().get(f"successes:{WAY}", 0)) - before


@pytest.mark.parametrize(
    ("outcome", "failures"),
    [(LOST, 1), (LOOK_FAILED, 1), (LookFailed("Too long.", is_answered=True), 0), (FOUND, 0)],
    ids=["lost", "no read", "too long", "found"],
)
def test_failures_of_all_tasks_count(bench: StoreDriver, outcome: Outcome, failures: int) -> None:
    """A list that is too long to read is none: each page was answered."""
    open_event(bench)

    settle_next(bench, outcome)

    assert failures == int(bench.gate().get("failures", 0))


def test_each_request_takes_a_token(bench: StoreDriver) -> None:
    """The take took the first; the settle takes the rest."""
    open_event(bench)
    bench.make_due()
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=1, burst=10))
    grant = bench.grant(worker)
    before = float(bench.gate()["tat"])

    worker.settle(grant, SENT, requests=3)

    assert 2000 == round(float(bench.gate()["tat"]) - before)


def test_a_repeated_settle_takes_no_token(bench: StoreDriver) -> None:
    """Its requests were sent once."""
    open_event(bench)
    bench.make_due()
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=1, burst=10))
    grant = bench.grant(worker)
    worker.settle(grant, SENT, requests=3)
    before = bench.gate()["tat"]

    worker.settle(grant, SENT, requests=3)

    assert before == bench.gate()["tat"]


def test_a_trial_of_a_read_is_undecided(bench: StoreDriver) -> None:
    """Half-open, only an answered write closes the breaker."""
    bench.accept("e1", member_id="m1")
    bench.set_gate(state="half_open")
    resolve = bench.grant()
    bench.worker().settle(resolve, LookFailed("Long.", is_answered=True))

    assert "half_open" == bench.gate()["state"]
    assert "trial" not in bench.gate()


def test_a_failed_task_leaves_the_events_status(bench: StoreDriver) -> None:
    """It counts among the failed ones, and the chat is found."""
    open_event(bench)
    settle_next(bench, REJECTED)

    stats = bench.operations().relay_stats()
    found: Record | None = bench.intake().event_of_chat("chat-e1")

    assert 1 == stats.failed
    assert found is not None
    assert 0 == stats.backlog
