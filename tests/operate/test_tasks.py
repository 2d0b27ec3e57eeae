"""Events with tasks: what an operator sees of them, and can do about them."""

from datetime import datetime
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
from app.chats.record import FailureCode, Status
from app.store.operations import PAGE
from tests.operate.operator import Operator
from tests.operate.test_bulk import on_terminal
from tests.operate.test_looking import advised
from tools.model.outcomes import CREATED, NOT_SENT, REFUSED, THROTTLED, UNKNOWN, created
from tools.model.store_driver import HOUR_MS

TEXT = "my passport number is M70689098"
MESSAGE = {"text": TEXT, "bot_name": "Refunds"}
BOTH: dict[str, Any] = {"message": MESSAGE, "open": True}
SENT = Done(has_acted=True, message_id="m-1")
REJECTED = Refused(FailureCode.REJECTED, "Channel.io answered 422.", 422)
NO_BOT = Refused(FailureCode.BOT_NOT_FOUND, "No such bot.", 422, has_acted=False)
LOST = Unknown(FailureCode.NO_ANSWER, "No answer came.")
MISSED = NotFound("The message is not in the chat.")


def play(operator: Operator, event_id: str, *outcomes: Outcome, **fields: Any) -> None:
    """Accept an event, and settle one grant after the other with these outcomes."""
    operator.bench.accept(event_id, **fields)
    for outcome in outcomes:
        operator.bench.make_due(event_id)
        operator.settle(operator.bench.grant(operator.worker()), outcome)
        operator.bench.client.hdel(operator.bench.key("gate"), "pause_until", "tat")


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
    assert "message: pending" in operator.run("list", "--status", "accepted").stdout
    assert [] == operator.json("list", "--status", "calling")


def test_a_task_under_way_is_listed_among_the_calling(operator: Operator) -> None:
    """By its grant; an entry that a script left in the other set is passed over."""
    play(operator, "e1", CREATED, **BOTH)
    operator.bench.grant(operator.worker())
    operator.bench.client.zadd(operator.bench.key("due"), {"e1": 1})

    assert ["e1"] == [found["event_id"] for found in operator.json("list", "--status", "calling")]
    assert [] == operator.json("list", "--status", "accepted")
    operator.bench.client.zrem(operator.bench.key("due"), "e1")


def test_an_event_that_is_opened_meanwhile_is_listed(operator: Operator) -> None:
    """It waits for its message: only what is complete has left the list."""
    for number in range(PAGE):
        operator.bench.accept(f"e{number:03}")
    operator.bench.accept("last", message=MESSAGE)
    pages = operator.operations.pages(Status.ACCEPTED)
    first = next(pages)
    operator.bench.make_due("last")
    operator.settle(operator.bench.grant(operator.worker()), CREATED)
    operator.bench.move("due", "last", operator.bench.now_ms() + HOUR_MS)

    (rest,) = pages

    assert ["last"] == [event_id for event_id, _ in rest.events]
    assert PAGE == first.looked_at


def test_a_redriven_task_leaves_the_list_of_failed_ones(operator: Operator) -> None:
    """And is back when it fails again."""
    fail_message(operator)
    operator.json("redrive", "e1")
    waiting = operator.json("list", "--status", "failed")
    operator.settle(operator.bench.grant(operator.worker()), REJECTED)

    assert ([], 0) == (waiting, operator.json("status")["waiting"])
    assert ["e1"] == [found["event_id"] for found in operator.json("list", "--status", "failed")]
    assert 1 == operator.json("status")["failed"]


def test_a_member_is_listed_by_its_own_id(operator: Operator) -> None:
    """There is no user id yet; --member finds it, --user does not."""
    play(operator, "e1", member_id="customer-8841")
    play(operator, "e2", member_id="customer-1")

    listed = operator.run("list", "--status", "accepted", "--member", "customer-8841").stdout

    assert "member customer-8841" in listed
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

    assert f"{sentence} If that worker is lost, it is tried again " in said


def test_explain_says_from_when_on_a_lost_message_is_looked_for(operator: Operator) -> None:
    """Three deadlines after its own, when it can no longer arrive unseen."""
    play(operator, "e1", CREATED, message=MESSAGE)
    operator.bench.grant(operator.worker())

    about = operator.json("explain", "e1")
    said = operator.run("explain", "e1").stdout

    look_from = datetime.fromisoformat(about["look_from"])
    assert 45 == (look_from - datetime.fromisoformat(about["next_look"])).total_seconds()
    assert f"it is tried again from {look_from:%Y-%m-%d %H:%M:%S} on." in said


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

    assert said.startswith("An earlier send may have arrived, so a message may be seen twice.")
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

    explained = operator.run("explain", "e1").stdout

    sentence = "the tasks of e1 were skipped for good: do them in Channel.io's desk."
    assert sentence == said
    assert "What was skipped is not done any more: do it in Channel.io's desk." in explained
    assert "redrive" not in explained
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

    assert "the message of e1 is under way: only what waits can be cancelled." == said


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


def test_a_person_is_one_who_can_be(operator: Operator) -> None:
    """A member id that no event can have is wrong usage."""
    for member_id in ("", "a b", "x" * 65, "tab\t", "\udcff"):
        said = operator.misused("list", "--member", member_id)
        assert "a member id is 1 to 64 characters" in said


@pytest.mark.parametrize(
    "command",
    [("resolve", "e1", "--recreate"), ("redrive", "e1")],
)
def test_a_member_goes_with_many_events_only(operator: Operator, command: tuple[str, ...]) -> None:
    """As --user does."""
    said = operator.misused(*command, "--member", "m1")

    assert "--user, --member, --since, --limit and --dry-run go with" in said


def test_many_are_chosen_by_member(operator: Operator) -> None:
    """Of held events, and of failed ones."""
    for number, member_id in enumerate(("m1", "m2")):
        play(operator, f"held-{number}", Resolved("u-1"), UNKNOWN, member_id=member_id)
        operator.bench.client.delete(operator.bench.key(f"member:{member_id}"))
        play(operator, f"failed-{number}", Resolved("u-1"), REFUSED, member_id=member_id)

    held = operator.json("resolve", "--all-held", "--give-up", "--member", "m1", "--yes")
    failed = operator.json(
        "redrive", "--all-failed", "--code", "user_not_found", "--member", "m1", "--yes"
    )

    assert [["held-0"], ["failed-0"]] == [
        [record["event_id"] for record in records] for records in (held, failed)
    ]


def test_the_time_line_is_in_order(operator: Operator) -> None:
    """The chat before what is done in it, although the settling is no entry of the history."""
    play(operator, "e1", Resolved("u-8841"), CREATED, SENT, member_id="m1", **BOTH)
    operator.settle(operator.bench.grant(operator.worker()), Done(has_acted=True))

    said = operator.run("explain", "e1").stdout

    marks = ["accepted\n", "user found (attempt 1)", "opened\n", "message: done (attempt 3)"]
    marks += ["open: done (attempt 4)", "complete; kept until "]
    places = [said.index(mark, said.index("accepted\n")) for mark in marks]
    assert sorted(places) == places
    assert "It was posted with the member id m1." in said
    assert "Nothing needs to be done." in said


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (THROTTLED, "its last try was answered with 429"),
        (NOT_SENT, "its last try was not sent"),
        (LookFailed("No answer."), "its last try could not read all that it had to"),
    ],
)
def test_explain_says_why_a_task_waits(operator: Operator, outcome: Outcome, why: str) -> None:
    """Its backoff, by the last try of this very task."""
    play(operator, "e1", CREATED, outcome, **BOTH)
    said = operator.run("explain", "e1").stdout
    operator.bench.make_due("e1")
    operator.settle(operator.bench.grant(operator.worker()), SENT)

    assert f" on: {why}." in said
    assert why not in operator.run("explain", "e1").stdout


def test_a_tasks_wait_is_not_the_creates(operator: Operator) -> None:
    """The call was throttled, and then made the chat."""
    play(operator, "e1", THROTTLED, CREATED, **BOTH)

    assert "its last try" not in operator.run("explain", "e1").stdout


def test_explain_says_that_a_message_may_have_been_sent(operator: Operator) -> None:
    """And from when on it is looked for."""
    play(operator, "e1", CREATED, LOST, **BOTH)

    about = operator.json("explain", "e1")
    said = operator.run("explain", "e1").stdout

    look_from = datetime.fromisoformat(about["look_from"])
    since = f"{look_from:%Y-%m-%d %H:%M:%S}"
    sentence = f"Its message was sent once without an answer: from {since} on a worker"
    assert about["next_look"] == about["look_from"]
    assert f"{sentence} looks whether it is done, before anything is sent again." in said
    assert "to let its message fail, and skip what comes after" in said


def test_the_message_that_was_found_leaves_no_doubt_about_the_open(operator: Operator) -> None:
    """The open was not sent yet."""
    play(operator, "e1", CREATED, LOST, Done(has_acted=False, message_id="m-1"), **BOTH)

    assert None is operator.json("explain", "e1")["look_from"]


def test_explain_of_a_member_says_what_it_waits_for(operator: Operator) -> None:
    """Its user; its tasks are skipped where it is cancelled."""
    play(operator, "e1", member_id="m1", **BOTH)

    said = operator.run("explain", "e1").stdout

    assert "It waits for its user to be found." in said
    assert "to let it fail before it is called, and skip its tasks" in said


def test_explain_of_a_doubtful_message_says_so_beside_the_command(operator: Operator) -> None:
    """It is read before it is pasted."""
    doubt_message(operator)

    said = operator.run("explain", "e1").stdout

    assert "message: failed, sent 2 times, no_answer: " in said
    assert "It may have been done: look into the chat first." in said
    assert "python -m app.operate redrive e1   to try that again; it may be seen twice" in said


def test_the_advice_about_a_task_can_be_pasted(operator: Operator) -> None:
    """Whatever the id."""
    fail_message(operator, "--all-failed")

    assert 0 == operator.run(*advised(operator, "--all-failed", "redrive")).exit_code
    assert 0 == operator.run(*advised(operator, "--all-failed", "cancel")).exit_code


def test_the_text_is_shown_nowhere(operator: Operator) -> None:
    """By no command, in no form."""
    play(operator, "held", UNKNOWN, **BOTH)
    fail_message(operator, "failed")
    play(operator, "waiting", created("chat-2"), **BOTH)
    commands = [["status"], ["list"], ["list", "--status", "failed"]]
    commands += [["list", "--status", "accepted"], ["redrive", "failed"], ["cancel", "waiting"]]
    commands += [["explain", event_id] for event_id in ("held", "failed", "waiting")]
    commands += [["forget", "--user", "u1", "--yes"]]

    for command in commands:
        for options in ([], ["--json"]):
            assert TEXT not in operator.run(*command, *options).output


def test_an_open_without_an_answer_is_redriven_without_a_question(operator: Operator) -> None:
    """It looks first, and opens nothing twice."""
    play(operator, "e1", CREATED, LOST, LOST, MISSED, open=True, message=None)
    assert {"open": "failed"} == tasks(operator)

    explained = operator.run("explain", "e1").stdout

    assert "no_answer" == operator.document()["tasks"]["open"]["failure"]["code"]
    assert "seen twice" not in explained
    assert 0 == operator.run("redrive", "e1").exit_code


def test_consent_is_to_the_failure_that_was_asked_about(operator: Operator) -> None:
    """While the question stands another operator tries it again, and it fails otherwise."""
    doubt_message(operator)

    def fail_otherwise() -> None:
        operator.json("redrive", "e1", "--yes")
        operator.bench.make_due("e1")
        operator.settle(operator.bench.grant(operator.worker()), NO_BOT)

    code, stdout, screen = on_terminal(operator, "y\n", "redrive", "e1", meanwhile=fail_otherwise)

    assert (1, "") == (code, stdout)
    assert "may be seen twice. Send it again?" in screen
    assert "Nothing was done: e1 failed for another reason." in screen
    assert {"message": "failed"} == tasks(operator)


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["", "dry-run"])
def test_a_lost_text_is_not_sent(operator: Operator, options: list[str]) -> None:
    """A redrive would fail at once, and says so instead."""
    play(operator, "e1", CREATED, **BOTH)
    operator.bench.client.delete(operator.bench.key("text:e1"))
    operator.bench.take(operator.worker())
    assert "text_lost" == operator.document()["tasks"]["message"]["failure"]["code"]
    before = operator.bench.fields()

    one = operator.refused("redrive", "e1")
    many = operator.run("redrive", "--all-failed", "--code", "text_lost", "--yes", *options)
    explained = operator.run("explain", "e1").stdout

    assert "the text of the message of e1 is lost: write it in Channel.io's desk." == one
    assert 1 == many.exit_code
    assert "passed over: 1, the text of " in many.stderr
    assert "The text is lost, so it cannot be sent: write it in Channel.io's desk." in explained
    assert "redrive" not in explained
    assert before == operator.bench.fields()


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("rejected", REJECTED),
        ("bot_not_found", NO_BOT),
        ("chat_not_found", Refused(FailureCode.CHAT_NOT_FOUND, "No such chat.", 404)),
    ],
)
def test_failed_tasks_are_redriven_by_their_code(
    operator: Operator, code: str, outcome: Outcome
) -> None:
    """All that failed with it, and no other."""
    play(operator, "e1", CREATED, **BOTH)
    operator.bench.set_fields("e1", settled_ms=operator.bench.now_ms() - HOUR_MS)
    operator.settle(operator.bench.grant(operator.worker()), outcome)
    play(operator, "e2", created("chat-2"), **BOTH)
    operator.run("cancel", "e2")

    shown = operator.run("redrive", "--all-failed", "--code", code, "--dry-run")
    done = operator.run("redrive", "--all-failed", "--code", code, "--yes")

    assert (0, 0) == (shown.exit_code, done.exit_code)
    assert f"message: {code}" in shown.stdout
    assert "e2" not in shown.stdout
    assert "tried again: 1\n" == done.stdout
    assert {"message": "pending", "open": "pending"} == tasks(operator)
    assert {"message": "failed", "open": "skipped"} == tasks(operator, "e2")


def test_an_expired_task_is_redriven_with_a_new_deadline(operator: Operator) -> None:
    """Counted from the command, however old the event is."""
    play(operator, "e1", CREATED, **BOTH)
    hours_ago = operator.bench.now_ms() - HOUR_MS
    operator.bench.set_fields("e1", accepted_ms=hours_ago, deadline_from_ms=hours_ago)
    assert not isinstance(operator.bench.take(operator.worker()), Grant)
    assert "expired" == operator.document()["tasks"]["message"]["failure"]["code"]

    operator.run("redrive", "--all-failed", "--code", "expired", "--yes")

    assert "message" == operator.bench.grant(operator.worker()).task


def test_an_event_that_waits_for_its_user_is_cancelled(operator: Operator) -> None:
    """It fails, and its tasks with it; a redrive begins with its user."""
    play(operator, "e1", LookFailed("No answer."), member_id="m1", **BOTH)

    document = operator.json("cancel", "e1")

    assert ("failed", False) == (document["status"], document["created"])
    assert {"message": "skipped", "open": "skipped"} == tasks(operator)
    assert {"message": "pending", "open": "pending"} == {
        name: task["status"] for name, task in operator.json("redrive", "e1")["tasks"].items()
    }
    assert "resolve" == operator.bench.grant(operator.worker()).task


def test_an_event_whose_user_is_looked_up_is_not_cancelled(operator: Operator) -> None:
    """A worker is at it."""
    play(operator, "e1", member_id="m1")
    operator.bench.grant(operator.worker())

    said = operator.refused("cancel", "e1")

    assert "the resolve of e1 is under way: only what waits can be cancelled." == said


@pytest.mark.parametrize("decision", ["--recreate", "--give-up"])
def test_a_resolution_of_many_says_what_becomes_of_tasks(operator: Operator, decision: str) -> None:
    """In the question."""
    play(operator, "e1", UNKNOWN, **BOTH)

    said = operator.misused("resolve", "--all-held", decision)

    assert ("tasks go on after that" if decision == "--recreate" else "skip their tasks") in said


def test_tasks_go_on_in_the_operators_chat(operator: Operator) -> None:
    """The message goes to the chat that the operator named."""
    play(operator, "e1", UNKNOWN, **BOTH)
    operator.decide("e1", "--chat-id", "found")

    grant = operator.bench.grant(operator.worker())

    assert ("message", "found") == (grant.task, grant.chat_id)
    assert grant.text is not None
    assert TEXT == grant.text.get_secret_value()


def test_tasks_go_on_after_a_recreate(operator: Operator) -> None:
    """In the chat that the further create makes."""
    play(operator, "e1", UNKNOWN, **BOTH)
    operator.decide("e1", "--recreate")

    operator.settle(operator.bench.grant(operator.worker()), created("second"))
    grant = operator.bench.grant(operator.worker())

    assert ("message", "second") == (grant.task, grant.chat_id)


def test_the_text_of_skipped_tasks_that_nothing_may_redrive_is_removed(
    operator: Operator,
) -> None:
    """An event that was given up is over."""
    play(operator, "e1", UNKNOWN, **BOTH)
    operator.decide("e1", "--give-up")

    assert not operator.bench.client.exists(operator.bench.key("text:e1"))


@pytest.mark.parametrize("option", ["--user", "--member"])
def test_forget_names_the_option_that_finds_others(operator: Operator, option: str) -> None:
    """A member's event has no user id before it is resolved."""
    play(operator, "resolved", Resolved("u-8841"), CREATED, member_id="m1")
    operator.bench.client.delete(operator.bench.key("member:m1"))
    play(operator, "waiting", member_id="m1")
    person = {"--user": "u-8841", "--member": "m1"}[option]

    removed = operator.json("forget", option, person, "--yes")

    other, is_left = {"--user": ("--member", True), "--member": ("--user", False)}[option]
    assert removed["not_reached"][-1].endswith(f"repeat with {other}")
    assert None is operator.bench.intake().find("resolved")
    assert is_left == (operator.bench.intake().find("waiting") is not None)


def test_forget_is_about_one_person(operator: Operator) -> None:
    """Exactly one of --user and --member."""
    assert "Say whose events: --user ID or --member ID." == operator.misused("forget", "--yes")
    assert "Say --user or --member, not both." == operator.misused(
        "forget", "--user", "u1", "--member", "m1", "--yes"
    )


def test_more_of_a_member_than_the_index_keeps_is_removed(operator: Operator) -> None:
    """The records of the others are there too."""
    play(operator, "e", Resolved("u1"), created("chat"), member_id="m1")
    for number in range(105):
        play(operator, f"e{number}", created(f"chat-{number}"), member_id="m1")

    removed = operator.json("forget", "--member", "m1", "--yes")

    assert {"opened": 106} == removed["removed"]
    assert [] == [key for key in operator.bench.client.keys("*") if ":event:" in str(key)]
