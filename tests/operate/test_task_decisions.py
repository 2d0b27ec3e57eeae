"""An operator between the steps of an event with tasks, at each wait and at each grant."""

from typing import Any

import pytest

from app.chats.grant import Grant, NoWork
from app.chats.outcome import Done, LookFailed, NotFound, Outcome, Resolved
from tests.operate.operator import Operator
from tests.operate.test_forgetting import keys_with
from tests.operate.test_tasks import BOTH, LOST, MISSED, NO_BOT, REJECTED, SENT, TEXT, play, tasks
from tools.model.outcomes import CREATED, NOT_SENT, REFUSED, THROTTLED, UNKNOWN, created

FOUND = Resolved("u-8841")
BEFORE: dict[str, list[Outcome]] = {
    "resolve": [],
    "create": [FOUND],
    "message": [FOUND, CREATED],
    "open": [FOUND, CREATED, SENT],
}
MEMBER: dict[str, Any] = BOTH | {"member_id": "m1"}
# Each state in which no grant is out, and what led to it.
STATES: dict[str, list[Outcome]] = {
    "waits for its create": BEFORE["create"],
    "held": [FOUND, UNKNOWN],
    "failed": [FOUND, REFUSED],
    "waits for its message": BEFORE["message"],
    "waits for a look": [FOUND, CREATED, LOST],
    "message failed": [FOUND, CREATED, REJECTED],
    "message in doubt": [FOUND, CREATED, LOST, LOST, MISSED],
    "waits for its open": BEFORE["open"],
    "complete": [FOUND, CREATED, SENT, Done(has_acted=True)],
}


def wait_for(operator: Operator, task: str) -> None:
    """Have a member's event that waits for ``task``."""
    play(operator, "e1", *BEFORE[task], **MEMBER)


def grant(operator: Operator, task: str) -> Grant:
    """Have a member's event with a grant for ``task`` out."""
    wait_for(operator, task)
    found = operator.bench.grant(operator.worker())
    assert task == found.task
    return found


def lose_worker(operator: Operator) -> None:
    """End the lease of the grant; the task waits for the look that follows."""
    operator.bench.lose_worker()
    assert isinstance(operator.bench.take(operator.worker()), NoWork)


@pytest.mark.parametrize(
    ("task", "cancelled"),
    [
        ("resolve", {"message": "skipped", "open": "skipped"}),
        ("create", {"message": "skipped", "open": "skipped"}),
        ("message", {"message": "failed", "open": "skipped"}),
        ("open", {"message": "done", "open": "failed"}),
    ],
)
def test_what_waits_is_cancelled_and_redriven(
    operator: Operator, task: str, cancelled: dict[str, str]
) -> None:
    """A done task stays done; the kept user id spares the create a second resolve."""
    wait_for(operator, task)
    before = {name: each["status"] for name, each in operator.document()["tasks"].items()}

    ended = operator.json("cancel", "e1")
    after = tasks(operator)
    assert isinstance(operator.bench.take(operator.worker()), NoWork)
    operator.json("redrive", "e1")

    assert (True, cancelled) == (ended["complete"], after)
    assert before == tasks(operator)
    assert task == operator.bench.grant(operator.worker()).task


@pytest.mark.parametrize("task", BEFORE)
@pytest.mark.parametrize(
    "command", [("redrive", "e1"), ("resolve", "e1", "--recreate"), ("resolve", "e1", "--give-up")]
)
@pytest.mark.parametrize("is_granted", [False, True], ids=["waits", "granted"])
def test_what_is_under_way_is_neither_redriven_nor_resolved(
    operator: Operator, task: str, command: tuple[str, ...], *, is_granted: bool
) -> None:
    """It goes on by itself."""
    (grant if is_granted else wait_for)(operator, task)
    before = operator.bench.text()

    assert "e1 is " in operator.refused(*command)
    assert before == operator.bench.text()


@pytest.mark.parametrize("task", BEFORE)
def test_a_grant_wins_over_a_cancel_and_a_forget(operator: Operator, task: str) -> None:
    """And its outcome counts."""
    granted = grant(operator, task)
    before = operator.bench.text()
    persons = [["--member", "m1"], ["--user", "u-8841"]][: 1 if task == "resolve" else 2]

    said = operator.refused("cancel", "e1")
    for option in persons:
        assert "a call for e1 is under way" in operator.refused("forget", *option, "--yes")

    assert "only " in said
    assert before == operator.bench.text()
    outcomes: dict[str, Outcome] = {"resolve": FOUND, "create": CREATED}
    effects = {"resolve": "resolved", "create": "opened"}
    effect = operator.settle(granted, outcomes.get(task, SENT)).effect
    assert effects.get(task, "task_done") == effect


@pytest.mark.parametrize("task", ["message", "open"])
@pytest.mark.parametrize("outcome", [REJECTED, LOST, THROTTLED, NOT_SENT, LookFailed("No answer.")])
def test_a_late_outcome_after_a_cancel_changes_nothing(
    operator: Operator, task: str, outcome: Outcome
) -> None:
    """The worker was lost: its grant ended before the command came."""
    granted = grant(operator, task)
    lose_worker(operator)
    operator.json("cancel", "e1")
    before = operator.bench.text()

    assert "ignored" == operator.settle(granted, outcome).effect

    assert before == operator.bench.text()
    assert "no_answer" == operator.document()["tasks"][task]["failure"]["code"]


@pytest.mark.parametrize("task", ["message", "open"])
def test_a_late_done_after_a_cancel_counts(operator: Operator, task: str) -> None:
    """It is in the chat; what was skipped stays skipped, and nothing is sent again."""
    granted = grant(operator, task)
    lose_worker(operator)
    operator.json("cancel", "e1")

    assert "task_done" == operator.settle(granted, SENT).effect

    skipped = "skipped" if task == "message" else "done"
    assert {"message": "done", "open": skipped} == tasks(operator)
    said = operator.refused("redrive", "e1")
    assert ("skipped for good" if task == "message" else "e1 is opened") in said


def test_a_late_done_after_a_redrive_sends_nothing_again(operator: Operator) -> None:
    """The first worker's message arrived after all."""
    granted = grant(operator, "message")
    lose_worker(operator)
    operator.json("cancel", "e1")
    operator.json("redrive", "e1", "--yes")

    operator.settle(granted, SENT)

    assert {"message": "done", "open": "pending"} == tasks(operator)
    assert "open" == operator.bench.grant(operator.worker()).task


def test_a_redriven_message_looks_before_it_is_sent(operator: Operator) -> None:
    """After the consent as well, from when on the earlier sends can be seen."""
    play(operator, "e1", *STATES["message in doubt"], **MEMBER)
    look_from_ms = operator.bench.fields()["look_from_ms"]
    operator.bench.set_fields("e1", look_from_ms=operator.bench.now_ms() + 10_000)
    operator.json("redrive", "e1", "--yes")

    assert look_from_ms
    assert isinstance(operator.bench.take(operator.worker()), NoWork)
    about = operator.json("explain", "e1")
    assert about["next_look"] == about["look_from"]
    said = operator.run("explain", "e1").stdout
    assert "Its message was sent 2 times without an answer: from " in said
    assert "looks whether it is done, before anything is sent again." in said


@pytest.mark.parametrize("outcomes", STATES.values(), ids=STATES)
@pytest.mark.parametrize("option", [("--member", "m1"), ("--user", "u-8841")], ids=lambda o: o[0])
def test_an_event_with_both_ids_is_forgotten_by_either(
    operator: Operator, outcomes: list[Outcome], option: tuple[str, str]
) -> None:
    """Record, text, mapping and look-ups; the mark of its life stays for the window."""
    play(operator, "e1", *outcomes, **MEMBER)
    life_ms = operator.bench.fields()["accepted_ms"]

    removed = operator.json("forget", *option, "--yes")

    assert 1 == sum(removed["removed"].values())
    for trace in ("m1", "u-8841", "chat-1", TEXT, "e1"):
        assert [] == keys_with(operator, trace)
    mark = str(operator.bench.client.get(operator.bench.key("forgotten:e1")))
    assert str(life_ms) == mark.split(" ", maxsplit=1)[0]
    assert 0 < operator.bench.ttl_ms("forgotten:e1")


@pytest.mark.parametrize("task", BEFORE)
@pytest.mark.parametrize(
    "outcome",
    [FOUND, CREATED, SENT, NotFound("No."), REJECTED, NO_BOT, LOST, THROTTLED, NOT_SENT],
    ids=lambda outcome: str(outcome.kind),
)
def test_a_late_outcome_of_a_forgotten_event_changes_nothing(
    operator: Operator, task: str, outcome: Outcome
) -> None:
    """No mapping, text, chat or record comes back."""
    granted = grant(operator, task)
    operator.bench.worker().release(granted.token)
    operator.json("forget", "--member", "m1", "--yes")

    assert "stale" == operator.settle(granted, outcome).effect

    for trace in ("m1", "u-8841", "chat-1", TEXT, "e1"):
        assert [] == keys_with(operator, trace)


def test_a_member_is_forgotten_before_its_user_is_found(operator: Operator) -> None:
    """Of the backlog and of the failed: there is no user id yet, or no more."""
    play(operator, "redriven", FOUND, REFUSED, **MEMBER)
    operator.json("redrive", "redriven")
    play(operator, "waiting", **MEMBER)
    play(operator, "cancelled", **MEMBER)
    operator.json("cancel", "cancelled")

    shown = operator.json("forget", "--member", "m1", "--dry-run")
    removed = operator.json("forget", "--member", "m1", "--yes")

    assert {"accepted": 2, "failed": 1} == shown["removed"] == removed["removed"]
    for trace in ("m1", "u-8841", TEXT):
        assert [] == keys_with(operator, trace)


def test_another_persons_texts_and_mapping_stay(operator: Operator) -> None:
    """The same user's other member among them."""
    play(operator, "e2", FOUND, created("chat-2"), REJECTED, **BOTH, member_id="m2")
    play(operator, "e1", FOUND, CREATED, **MEMBER)

    operator.json("forget", "--member", "m1", "--yes")

    kept = ("text:e2", "member:m2", "member_chats:m2", "user:u-8841", "chat:chat-2")
    assert len(kept) == operator.bench.client.exists(*map(operator.bench.key, kept))


def test_events_and_tasks_of_one_code_are_tried_again_together(operator: Operator) -> None:
    """With what was passed over by its reason: one that may have a chat."""
    play(operator, "task", CREATED, REJECTED, **BOTH)
    play(operator, "event", REJECTED, **BOTH)
    play(operator, "doubtful", UNKNOWN, **BOTH)
    operator.decide("doubtful", "--give-up")
    failure = operator.bench.fields("doubtful")["failure"]
    operator.bench.set_fields("doubtful", failure=failure | {"code": "rejected"})

    listed = operator.json("list", "--status", "failed", "--code", "rejected")
    result = operator.run("redrive", "--all-failed", "--code", "rejected", "--yes")

    assert {"task", "event", "doubtful"} == {found["event_id"] for found in listed}
    assert (0, "tried again: 2\n") == (result.exit_code, result.stdout)
    assert "passed over: 1, an attempt for it may have made a chat" in result.stderr
    for event_id in ("task", "event"):
        assert {"message": "pending", "open": "pending"} == tasks(operator, event_id)
