"""Events with tasks: what an operator sees of them, and can do about them."""

from typing import Any

import pytest

from app.chats.grant import Grant
from app.chats.outcome import (
    Done,
    LookFailed,
    NotFound,
    Outcome,
    Refused,
    Resolved,
    Unknown,
)
from app.chats.record import FailureCode
from tests.operate.operator import Operator
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN, created

TEXT = "my passport number is M70689098"
MESSAGE = {"text": TEXT, "bot_name": "Refunds"}
BOTH: dict[str, Any] = {"message": MESSAGE, "open": True}
SENT = Done(has_acted=True, message_id="m-1")
REJECTED = Refused(FailureCode.REJECTED, "Channel.io answered 422.", 422)
LOST = Unknown(FailureCode.NO_ANSWER, "No answer came.")
MISSED = NotFound("The message is not in the chat.")


def play(operator: Operator, event_id: str, *outcomes: Outcome, **fields: Any) -> None:
    """Accept an event, and settle one grant after the other with these outcomes."""
    operator.bench.accept(event_id, **fields)
    for outcome in outcomes:
        operator.bench.make_due(event_id)
        operator.settle(operator.bench.grant(operator.worker()), outcome)


def fail_message(operator: Operator, event_id: str = "e1", **fields: Any) -> None:
    """Open an event whose message is refused."""
    play(operator, event_id, CREATED, REJECTED, **(BOTH | fields))


def doubt_message(operator: Operator, event_id: str = "e1") -> None:
    """Open an event whose message was sent twice, without an answer."""
    play(operator, event_id, created(f"chat-{event_id}"), LOST, LOST, MISSED, message=MESSAGE)


def tasks(operator: Operator, event_id: str = "e1") -> dict[str, str]:
    """The status of each task."""
    found = operator.document(event_id)["tasks"]
    return {name: task["status"] for name, task in found.items()}


def test_a_failed_task_is_listed_among_the_failed(operator: Operator) -> None:
    """With its code, which filters as an event's does."""
    fail_message(operator)

    listed = operator.run("list", "--status", "failed").stdout

    assert "message: rejected" in listed
    assert ["e1"] == [found["event_id"] for found in operator.json("list", "--code", "rejected")]
    assert [] == operator.json("list", "--code", "expired")


def test_a_waiting_task_is_listed_among_the_waiting(operator: Operator) -> None:
    """Its event is opened, and not complete."""
    play(operator, "e1", CREATED, **BOTH)

    (found,) = operator.json("list", "--status", "accepted")

    assert ("e1", "opened", False) == (found["event_id"], found["status"], found["complete"])


def test_a_member_is_listed_by_its_own_id(operator: Operator) -> None:
    """There is no user id yet; --member finds it, --user does not."""
    play(operator, "e1", member_id="customer-8841")
    play(operator, "e2", member_id="customer-1")

    listed = operator.run("list", "--status", "accepted", "--member", "customer-8841").stdout

    assert "customer-8841" in listed
    assert "e2" not in listed
    assert [] == operator.json("list", "--status", "accepted", "--user", "customer-8841")


def test_two_persons_are_refused(operator: Operator) -> None:
    """It is one or the other."""
    said = operator.misused("list", "--user", "u1", "--member", "m1")

    assert "Say --user or --member, not both." == said


def test_explain_shows_the_tasks(operator: Operator) -> None:
    """Each with what became of it, and never the text."""
    play(operator, "e1", CREATED, SENT, **BOTH)

    said = operator.run("explain", "e1").stdout

    assert "message: done, as m-1, sent once" in said
    assert "open: pending" in said
    assert "Its chat is published. It waits for its open." in said
    assert "python -m app.operate cancel e1" in said
    assert TEXT not in said


@pytest.mark.parametrize(
    ("outcomes", "fields", "sentence"),
    [
        ([], {"member_id": "m1"}, "A worker finds its user."),
        ([CREATED], BOTH, "A worker looks for its message, or sends it."),
        ([CREATED], {"open": True, "message": None}, "A worker puts its chat before the agents."),
    ],
)
def test_explain_says_what_a_grant_is_for(
    operator: Operator, outcomes: list[Outcome], fields: dict[str, Any], sentence: str
) -> None:
    """And when it is tried again if the worker is lost."""
    play(operator, "e1", *outcomes, **fields)
    assert isinstance(operator.bench.take(operator.worker()), Grant)

    said = operator.run("explain", "e1").stdout

    assert f"{sentence} If that worker is lost, it is tried again at " in said


def test_explain_of_a_failed_task_has_the_command(operator: Operator) -> None:
    """Its chat stays as it is."""
    fail_message(operator)

    said = operator.run("explain", "e1").stdout

    assert "message: failed, sent once, rejected: Channel.io answered 422." in said
    assert "open: skipped" in said
    assert "Its chat is published and will not change, but its message failed." in said
    assert "python -m app.operate redrive e1" in said


def test_a_redrive_makes_failed_and_skipped_tasks_pending(operator: Operator) -> None:
    """With the chat that is published, which stays."""
    fail_message(operator)

    document = operator.json("redrive", "e1")

    assert {"message": "pending", "open": "pending"} == tasks(operator)
    assert ("opened", False, None) == tuple(
        document[name] for name in ("status", "complete", "expires_at")
    )
    assert "chat-1" == document["chat"]["id"]
    operator.settle(operator.bench.grant(), SENT)
    operator.settle(operator.bench.grant(), Done(has_acted=True))
    assert {"message": "done", "open": "done"} == tasks(operator)


def test_a_redrive_after_a_doubt_asks(operator: Operator) -> None:
    """The message may be seen twice: that is a person's to decide."""
    doubt_message(operator)

    said = operator.misused("redrive", "e1")

    assert said.startswith("An earlier send may have arrived, so its message may be seen twice.")
    assert said.endswith("add --yes.")
    assert {"message": "failed"} == tasks(operator)
    operator.json("redrive", "e1", "--yes")
    assert {"message": "pending"} == tasks(operator)


def test_many_doubtful_ones_are_redriven_with_a_warning(operator: Operator) -> None:
    """By their code, which is an event's only while it is held."""
    doubt_message(operator, "e1")
    doubt_message(operator, "e2")
    operator.hold("held")

    said = operator.misused("redrive", "--all-failed", "--code", "no_answer")
    result = operator.run("redrive", "--all-failed", "--code", "no_answer", "--yes")

    assert "may be seen twice" in said
    assert (0, "tried again: 2\n") == (result.exit_code, result.stdout)
    assert "unknown" == operator.document("held")["status"]


def test_skipped_tasks_of_a_late_chat_are_not_redriven(operator: Operator) -> None:
    """The event had failed: its chat came too late for them."""
    operator.bench.accept("e1", **BOTH)
    grant = operator.bench.grant(operator.worker())
    operator.settle(grant, UNKNOWN)
    operator.decide("e1", "--give-up")
    operator.settle(grant, CREATED)

    said = operator.refused("redrive", "e1")

    assert "e1 is opened: only what has failed can be tried again." == said
    assert {"message": "skipped", "open": "skipped"} == tasks(operator)


def test_a_waiting_task_is_cancelled(operator: Operator) -> None:
    """The event stays opened; what comes after is skipped."""
    play(operator, "e1", CREATED, **BOTH)

    document = operator.json("cancel", "e1")

    assert ("opened", True) == (document["status"], document["complete"])
    assert {"message": "failed", "open": "skipped"} == tasks(operator)
    assert "abandoned" == document["tasks"]["message"]["failure"]["code"]


def test_a_task_that_may_be_done_is_not_abandoned(operator: Operator) -> None:
    """Its send had no answer."""
    play(operator, "e1", CREATED, LOST, message=MESSAGE)

    document = operator.json("cancel", "e1")

    assert "no_answer" == document["tasks"]["message"]["failure"]["code"]


def test_a_task_with_a_grant_is_not_cancelled(operator: Operator) -> None:
    """A worker may be sending it."""
    play(operator, "e1", CREATED, **BOTH)
    operator.bench.grant(operator.worker())

    said = operator.refused("cancel", "e1")

    assert "e1 is opened: only an event that waits for a call can be cancelled." == said


@pytest.mark.parametrize(
    ("decision", "sentence", "after"),
    [
        (["--chat-id", "found"], "Its tasks (message and open) go on in that chat.", "pending"),
        (["--recreate"], "Its tasks (message and open) go on after the create.", "pending"),
        (["--give-up"], "Its tasks (message and open) are skipped.", "skipped"),
    ],
)
def test_a_resolution_says_what_becomes_of_tasks(
    operator: Operator, decision: list[str], sentence: str, after: str
) -> None:
    """Before it asks, or is done."""
    play(operator, "e1", UNKNOWN, **BOTH)

    result = operator.run("resolve", "e1", *decision, "--yes")

    assert (0, sentence) == (result.exit_code, result.stderr.strip())
    assert {after} == {*tasks(operator).values()}


def test_a_person_is_forgotten_by_member_id(operator: Operator) -> None:
    """Events that are not resolved yet, records, texts and the kept user id."""
    play(operator, "e1", Resolved("u-8841"), CREATED, member_id="m1", **BOTH)
    play(operator, "e2", member_id="m1", **BOTH)
    play(operator, "other", member_id="m2", **BOTH)

    result = operator.run("forget", "--member", "m1", "--yes")

    assert 0 == result.exit_code, result.output
    assert [None, None] == [operator.bench.intake().find(event_id) for event_id in ("e1", "e2")]
    left = {str(name).removeprefix("{relay}:") for name in operator.bench.client.keys("*")}
    assert {"text:other", "event:other"} <= left
    assert not {"text:e1", "text:e2", "member:m1", "member_chats:m1", "user:u-8841"} & left


def test_a_person_with_a_grant_for_a_task_is_not_forgotten(operator: Operator) -> None:
    """Nor by the user's id, which is known by now."""
    play(operator, "e1", Resolved("u-8841"), CREATED, member_id="m1", **BOTH)
    operator.bench.grant(operator.worker())

    for option in (["--member", "m1"], ["--user", "u-8841"]):
        said = operator.refused("forget", *option, "--yes")
        assert "a call for e1 is under way: try again in a minute" in said


def test_a_late_settle_of_a_forgotten_task_changes_nothing(operator: Operator) -> None:
    """Its life is over."""
    play(operator, "e1", CREATED, LookFailed("No answer."), message=MESSAGE)
    operator.bench.make_due("e1")
    grant = operator.bench.grant(operator.worker())
    operator.bench.worker().release(grant.token)
    operator.run("forget", "--user", "u1", "--yes")

    assert "stale" == operator.settle(grant, SENT).effect
    assert operator.bench.intake().find("e1") is None


def test_a_failed_event_with_a_member_is_resolved_anew(operator: Operator) -> None:
    """The user id may be why it failed."""
    play(operator, "e1", Resolved("u-old"), REFUSED, member_id="m1", **BOTH)

    document = operator.json("redrive", "e1")

    assert (None, "accepted") == (document["user_id"], document["status"])
    assert {"pending"} == {*tasks(operator).values()}
