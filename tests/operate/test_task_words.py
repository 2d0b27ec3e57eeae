"""``explain`` of events with tasks: each state in plain words, and what can be done."""

from typing import Any

import pytest

from app.chats.outcome import LookFailed, Outcome, Refused, Resolved
from app.chats.record import FailureCode
from app.operate.actions import Action, describe
from app.operate.words import format_time
from tests.operate.operator import Operator
from tests.operate.test_tasks import BOTH, LOST, MESSAGE, MISSED, NO_BOT, REJECTED, SENT, play
from tools.model.outcomes import CREATED, THROTTLED, UNKNOWN
from tools.model.store_driver import HOUR_MS

OPEN: dict[str, Any] = {"open": True, "message": None}
NO_CHAT = Refused(FailureCode.CHAT_NOT_FOUND, "No such chat.", 404)
NO_USER = Refused(FailureCode.USER_NOT_FOUND, "No such user.", 422)
REDRIVE = "  python -m app.operate redrive e1"
LATER = "What was skipped is not done any more: do it in Channel.io's desk."


def explain(operator: Operator) -> str:
    """Explain the event for a person."""
    return operator.run("explain", "e1").stdout


def age(operator: Operator, *names: str) -> None:
    """Set these instants of the event's record an hour back."""
    hour_ago = operator.bench.now_ms() - HOUR_MS
    operator.bench.set_fields("e1", **dict.fromkeys(names, hour_ago))


@pytest.mark.parametrize(
    ("losses", "times", "then"),
    [
        ([LOST], "once", ", before anything is sent again."),
        ([LOST, LOST], "2 times", "; if it is not, its message fails."),
    ],
)
def test_a_sent_message_is_not_confirmed(
    operator: Operator, losses: list[Outcome], times: str, then: str
) -> None:
    """Until when the chat is looked at, and what that decides."""
    play(operator, "e1", CREATED, *losses, **BOTH)
    look_from = operator.operations.event_history("e1").look_from
    assert look_from

    said = explain(operator)

    assert f"message: pending, sent {times}, not confirmed\nopen: pending\n" in said
    assert (
        f"Its message was sent {times} without an answer: from {format_time(look_from)} on a worker"
        f" looks whether it is done{then}\n"
    ) in said
    assert "It may be called from" not in said


def test_a_failed_look_is_why_it_waits_longer(operator: Operator) -> None:
    """The next look is later than the first that is possible."""
    play(operator, "e1", CREATED, LOST, LookFailed("No answer."), **BOTH)

    said = explain(operator)

    assert "Its message was sent once without an answer: from " in said
    assert " on: its last try could not read all that it had to." in said


def test_a_message_that_was_not_sent_is_not_called_unconfirmed(operator: Operator) -> None:
    """Its last try was a 429."""
    play(operator, "e1", CREATED, THROTTLED, **BOTH)

    assert "message: pending\nopen: pending\n" in explain(operator)


def test_a_refused_open_waits_for_one_more_look(operator: Operator) -> None:
    """A person may have opened the chat: nothing more is sent."""
    play(operator, "e1", CREATED, REJECTED, **OPEN)

    said = explain(operator)

    assert "open: pending, sent once\n" in said
    assert "Channel.io refused its open: one more look decides, and nothing is sent.\n" in said


@pytest.mark.parametrize(
    ("outcomes", "fields", "sentence"),
    [
        ([CREATED], BOTH, "A worker looks for its message, or sends it."),
        ([CREATED, LOST], BOTH, "A worker looks for its message, or sends it."),
        (
            [CREATED, LOST, LOST],
            BOTH,
            "A worker looks whether its message is done, and sends nothing.",
        ),
        ([CREATED, REJECTED], OPEN, "A worker looks whether its open is done, and sends nothing."),
    ],
)
def test_a_grant_may_send_or_only_look(
    operator: Operator, outcomes: list[Outcome], fields: dict[str, Any], sentence: str
) -> None:
    """After two sends, or a refusal, one look decides."""
    play(operator, "e1", *outcomes, **fields)
    operator.bench.make_due("e1")
    operator.bench.grant(operator.worker())

    assert f"{sentence} If that worker is lost, it is tried again " in explain(operator)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (REJECTED, "Channel.io refuses it until the cause is mended: see the chat and its user."),
        (NO_CHAT, "See whether the chat is still there: nothing can be sent to a deleted one."),
        (
            NO_BOT,
            "Add a bot of that name in Channel.io; if the event names none, correct BOT_NAME",
        ),
    ],
)
def test_a_refused_message_says_what_to_do(
    operator: Operator, outcome: Refused, sentence: str
) -> None:
    """By its code, with the command behind it."""
    play(operator, "e1", CREATED, **BOTH)
    age(operator, "settled_ms")
    operator.settle(operator.bench.grant(operator.worker()), outcome)

    said = explain(operator)

    assert f"Its chat is published and will not change, but its message failed.\n{sentence}" in said
    assert f"{REDRIVE}" in said
    assert " to try that again, and what was skipped\n" in said


def test_a_bot_that_is_there_now_is_for_all_of_them(operator: Operator) -> None:
    """One setting fails many: the command for all of them can be pasted."""
    play(operator, "e1", CREATED, NO_BOT, **BOTH)

    command = "redrive --all-failed --code bot_not_found"
    assert f"  python -m app.operate {command}   to try all again that failed so\n" in explain(
        operator
    )

    assert "tried again: 1\n" == operator.run(*command.split(), "--yes").stdout


def test_an_expired_message_says_so(operator: Operator) -> None:
    """Its code says that nothing was sent."""
    play(operator, "e1", CREATED, message=MESSAGE)
    age(operator, "accepted_ms", "deadline_from_ms")
    operator.bench.take(operator.worker())

    said = explain(operator)

    assert "Its deadline passed before it was done: see whether it is still wanted.\n" in said
    assert f"{REDRIVE}   to try that again\n" in said


def test_a_cancelled_message_says_so(operator: Operator) -> None:
    """Its code says that nothing was sent."""
    play(operator, "e1", CREATED, message=MESSAGE)
    operator.json("cancel", "e1")

    said = explain(operator)

    assert "An operator cancelled it before it was done.\n" in said
    assert f"{REDRIVE}   to try that again\n" in said


@pytest.mark.parametrize(
    ("fields", "purpose"),
    [
        ({"message": MESSAGE}, "to try that again; it may be seen twice"),
        (OPEN, "to try that again"),
    ],
)
def test_a_task_without_an_answer_may_be_done(
    operator: Operator, fields: dict[str, Any], purpose: str
) -> None:
    """A message may be seen twice; a chat is opened once."""
    play(operator, "e1", CREATED, LOST, LOST, MISSED, **fields)

    said = explain(operator)

    assert "It may have been done: look into the chat first.\n" in said
    assert f"{REDRIVE}   {purpose}\n" in said


@pytest.mark.parametrize("losses", [[], [LOST]], ids=["never-sent", "sent"])
def test_a_lost_text_is_written_by_a_person(operator: Operator, losses: list[Outcome]) -> None:
    """After a look, where it may have been sent before; what was skipped is a person's too."""
    play(operator, "e1", CREATED, *losses, **BOTH)
    operator.bench.client.delete(operator.bench.key("text:e1"))
    operator.bench.make_due("e1")
    operator.bench.take(operator.worker())
    assert "text_lost" == operator.document()["tasks"]["message"]["failure"]["code"]

    said = explain(operator)

    assert "The text is lost, so it cannot be sent: write it in Channel.io's desk." in said
    assert bool(losses) == ("It may have been done: look into the chat first." in said)
    assert LATER in said
    assert REDRIVE not in said


@pytest.mark.parametrize(
    ("fields", "person"), [({"member_id": "m1"}, "member m1"), ({"user_id": "u7"}, "user u7")]
)
def test_a_person_that_is_not_there_is_named(
    operator: Operator, fields: dict[str, Any], person: str
) -> None:
    """By the id that the caller used."""
    play(operator, "e1", NO_USER, **fields, **BOTH)

    said = explain(operator)

    assert (
        f"No call made a chat.\nChannel.io does not know the {person}: try it again once that is"
        " there.\n"
    ) in said
    assert f"{REDRIVE}   to try it again, and its tasks after it\n" in said


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("rejected", "Channel.io refuses it until the cause is mended: see its user."),
        ("expired", "Its deadline passed before it was done: see whether it is still wanted."),
        ("abandoned", "An operator cancelled it before it was done."),
    ],
)
def test_a_failed_event_says_what_to_do(operator: Operator, code: str, sentence: str) -> None:
    """By its code."""
    operator.bench.accept("e1")
    if code == "rejected":
        operator.settle(operator.bench.grant(operator.worker()), REJECTED)
    elif code == "expired":
        age(operator, "accepted_ms")
        operator.bench.take(operator.worker())
    else:
        operator.json("cancel", "e1")
    assert code == operator.document()["failure"]["code"]

    assert f"No call made a chat.\n{sentence}\n{REDRIVE}   to try it again\n" in explain(operator)


def test_a_code_of_a_newer_release_has_no_advice(operator: Operator) -> None:
    """But the command."""
    operator.fail("e1")
    failure = operator.bench.fields()["failure"]
    operator.bench.set_fields("e1", failure=failure | {"code": "too_blue"})

    assert f"No call made a chat.\n{REDRIVE}   to try it again\n" in explain(operator)


def test_a_member_that_waits_at_the_gate_says_why(operator: Operator) -> None:
    """Its user is not found yet, since nothing is called."""
    play(operator, "e1", member_id="m1", **BOTH)
    operator.bench.set_gate(state="open", reason="no_answer")
    operator.run("pause", "--as", "ben")

    said = explain(operator)

    assert "It waits for its user to be found.\n" in said
    assert "ben paused all calls at " in said
    assert "Calls are held back: the breaker is open (no_answer).\n" in said
    assert "  python -m app.operate resume" in said


def test_a_given_up_event_has_no_command(operator: Operator) -> None:
    """An attempt may have made a chat."""
    play(operator, "e1", UNKNOWN, **BOTH)
    operator.decide("e1", "--give-up")

    said = explain(operator)

    assert "An attempt may have made a chat, so it is not tried again." in said
    assert "python -m app.operate" not in said


def test_the_time_line_names_what_a_resolve_found(operator: Operator) -> None:
    """An operator's decision is "resolved", too."""
    play(operator, "e1", Resolved("u-8841"), member_id="m1")

    assert "resolve: user found (attempt 1)" in explain(operator)


@pytest.mark.parametrize(
    ("outcomes", "fields", "sentence"),
    [
        ([CREATED, REJECTED], BOTH, "Tries its message again, and its open after that."),
        ([CREATED, REJECTED], {"message": MESSAGE}, "Tries its message again."),
        ([CREATED, SENT, REJECTED, MISSED], BOTH, "Tries its open again."),
    ],
)
def test_a_redrive_is_described_with_what_was_skipped(
    operator: Operator, outcomes: list[Outcome], fields: dict[str, Any], sentence: str
) -> None:
    """Which it makes pending too."""
    play(operator, "e1", *outcomes, **fields)

    described = describe(Action.REDRIVE, operator.bench.record("e1"))

    assert f"{sentence} Its deadline begins anew." == described[0]


def test_a_redrive_of_an_event_is_described_with_its_tasks(operator: Operator) -> None:
    """They are pending again."""
    play(operator, "e1", NO_USER, **BOTH)

    described = describe(Action.REDRIVE, operator.bench.record("e1"))

    assert "Its tasks (message and open) go on after the create." == described[-1]
