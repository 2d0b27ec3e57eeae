"""Tests of decisions: each is recorded, and an inapplicable one is refused."""

import getpass
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from app.chats.errors import NothingDone
from app.chats.event import OnUnknown
from app.chats.grant import Grant, NoWork
from app.chats.outcome import Outcome
from app.chats.record import FailureCode
from tests.operate.operator import NAME, Operator
from tools.model.outcomes import CREATED, NOT_SENT, REFUSED, UNKNOWN, created
from tools.model.store_driver import HOUR_MS, UNREADABLE

DECISIONS = [["--chat-id", "found"], ["--recreate"], ["--give-up"]]
HOW = "Say one of --chat-id, --recreate and --give-up."
WHICH = "Name one EVENT_ID, or say --all-held (not with --chat-id)."


def test_a_chat_that_was_found_is_published(operator: Operator) -> None:
    """It is the event's for ever, and found by every look-up."""
    operator.hold("e1", user_id="u7")

    record = operator.decide("e1", "--chat-id", "found")

    assert operator.document() == record
    assert ("opened", True, "found") == (record["status"], record["created"], record["chat"]["id"])
    assert record["failure"] is None
    assert record == _found(operator.bench.intake().event_of_chat("found"), operator)
    (newest,), _ = operator.bench.intake().chats_of_user("u7", limit=1)
    assert "e1" == newest.event_id


def _found(record: Any, operator: Operator) -> Any:
    assert record is not None
    return operator.document(record.event_id)


def test_consent_allows_exactly_one_more_call(operator: Operator) -> None:
    """After it the event is held again, and says for ever that there may be an orphan."""
    operator.hold("e1")

    record = operator.decide("e1", "--recreate")
    grant = operator.bench.grant(operator.worker())
    operator.settle(grant, UNKNOWN)

    assert ("accepted", None, False) == tuple(
        record[name] for name in ("status", "created", "possible_orphan")
    )
    assert ("unknown", 2, True) == tuple(
        operator.document()[name] for name in ("status", "attempts", "possible_orphan")
    )
    assert isinstance(operator.bench.take(operator.worker()), NoWork)


def test_each_consent_is_to_one_call_more(operator: Operator) -> None:
    """Each decision of an operator is one consent."""
    operator.hold("e1")

    for attempt in (2, 3, 4):
        operator.decide("e1", "--recreate")
        grant = operator.bench.grant(operator.worker())
        assert attempt == grant.attempt
        operator.settle(grant, UNKNOWN)

    assert "unknown" == operator.document()["status"]


def test_consent_begins_a_new_deadline(operator: Operator) -> None:
    """An event that was held for a week is called, and does not expire at once."""
    operator.hold("e1")
    operator.bench.set_fields(accepted_ms=operator.bench.now_ms() - 24 * HOUR_MS)

    operator.decide("e1", "--recreate")

    assert 2 == operator.bench.grant(operator.worker()).attempt


def test_an_operators_consent_does_not_use_up_the_automatic_one(operator: Operator) -> None:
    """``on_unknown`` consents to one call, whatever was consented before."""
    operator.hold("e1")
    operator.decide("e1", "--recreate")
    worker = operator.worker(on_unknown=OnUnknown.RECREATE)

    for _ in range(2):
        worker.settle(operator.bench.grant(worker), UNKNOWN)
        if operator.bench.queue("due"):
            operator.bench.make_due("e1")

    assert ("unknown", 3) == tuple(operator.document()[name] for name in ("status", "attempts"))


def test_giving_up_keeps_created_unknown(operator: Operator) -> None:
    """``created`` stays null, and the event is not called again."""
    operator.hold("e1")

    record = operator.decide("e1", "--give-up")

    assert operator.document() == record
    assert ("failed", None, "abandoned") == (
        record["status"],
        record["created"],
        record["failure"]["code"],
    )
    assert "may have made a chat" in operator.refused("redrive", "e1")


@pytest.mark.parametrize("decision", DECISIONS, ids=["chat", "recreate", "give-up"])
def test_every_decision_is_kept(operator: Operator, decision: list[str]) -> None:
    """The history names the operator, the instant and the decision."""
    operator.hold("e1")
    before = operator.bench.now_ms()

    operator.decide("e1", *decision)

    action = {"--chat-id": "chat", "--recreate": "recreate", "--give-up": "give_up"}[decision[0]]
    (_, kept) = operator.history()
    assert ("resolved", NAME, action, 1) == tuple(
        kept[name] for name in ("what", "by", "action", "attempt")
    )
    assert kept.get("chat_id") == ("found" if action == "chat" else None)
    (_, entry) = operator.bench.fields()["history"]
    assert before <= entry["at_ms"] <= operator.bench.now_ms()
    shown = operator.run("explain", "e1").stdout
    assert f"by {NAME} ({action.replace('_', ' ')})" in shown


def test_all_decisions_about_one_event_are_kept(operator: Operator) -> None:
    """Also of different operators, with what happened between."""
    operator.hold("e1")
    operator.decide("e1", "--recreate", by="anna")
    operator.settle(operator.bench.grant(operator.worker()), UNKNOWN)
    operator.decide("e1", "--give-up", by="박민지")

    assert [
        ("no_answer", None),
        ("resolved", "anna"),
        ("no_answer", None),
        ("resolved", "박민지"),
    ] == [(moment["what"], moment.get("by")) for moment in operator.history()]


def test_a_chat_that_another_event_owns_is_refused(operator: Operator) -> None:
    """Nothing changes, and it is said whose it is."""
    operator.end("e1", created("chat-1"))
    operator.hold("e2")
    before = operator.bench.fields("e2")

    said = operator.refused("resolve", "e2", "--chat-id", "chat-1", "--yes")

    assert "this chat belongs to the event e1." == said
    assert before == operator.bench.fields("e2")


def test_a_chat_that_the_event_itself_owned_is_its_own(operator: Operator) -> None:
    """Its record was lost and accepted anew; an operator may publish the chat again."""
    operator.end("e1", created("chat-1"))
    operator.forget("e1")
    operator.hold("e1")

    assert "chat-1" == operator.decide("e1", "--chat-id", "chat-1")["chat"]["id"]


@pytest.mark.parametrize("decision", DECISIONS, ids=["chat", "recreate", "give-up"])
@pytest.mark.parametrize("status", ["accepted", "calling", "opened", "failed"])
def test_only_a_held_event_is_resolved(
    operator: Operator, status: str, decision: list[str]
) -> None:
    """Any other is refused by its status, and left as it was."""
    make: dict[str, Callable[[], object]] = {
        "accepted": lambda: operator.bench.accept("e1"),
        "calling": lambda: operator.bench.granted("e1"),
        "opened": lambda: operator.end("e1", CREATED),
        "failed": lambda: operator.fail("e1"),
    }
    make[status]()
    before = operator.bench.fields()

    said = operator.refused("resolve", "e1", *decision)

    assert f"e1 is {status}, not held: only an event that is unknown can be resolved." == said
    assert before == operator.bench.fields()


def test_a_second_resolution_is_refused(operator: Operator) -> None:
    """The first stands."""
    operator.hold("e1")
    operator.decide("e1", "--chat-id", "found")

    assert "e1 is opened" in operator.refused("resolve", "e1", "--chat-id", "another")
    assert "found" == operator.document()["chat"]["id"]


@pytest.mark.parametrize(
    "command",
    [["resolve", "e9", "--recreate"], ["resolve", "e9", "--chat-id", "found"], ["redrive", "e9"]],
)
def test_an_event_that_is_not_kept_is_refused(operator: Operator, command: list[str]) -> None:
    """No record is made for it."""
    assert "no event e9 is kept." == operator.refused(*command)
    assert not operator.bench.fields("e9")


@pytest.mark.parametrize(
    "chat_id",
    [
        "",
        "a/b",
        "6" * 257,
        "a\nb",
        "\ud83d",
        " 6b00",
        "6b00 ",
        " 6b00 ",
        "\t6b00",
        "6b00\n",
        " ",
        "\u30006b00",
        "6b00\u00a0",
    ],
)
def test_an_impossible_chat_id_is_refused(operator: Operator, chat_id: str) -> None:
    """Before Redis receives a command."""
    operator.hold("e1")

    said = operator.misused("resolve", "e1", "--chat-id", chat_id, "--yes")

    assert "a chat id is 1 to 256 printable characters without '/'." in said
    assert "unknown" == operator.document()["status"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["e1"], HOW),
        (["e1", "--recreate", "--give-up"], HOW),
        (["e1", "--chat-id", "found", "--give-up"], HOW),
        (["--recreate"], WHICH),
        (["e1", "--all-held", "--recreate"], WHICH),
        (["--all-held", "--chat-id", "found"], WHICH),
        (["--all-held"], HOW),
    ],
)
def test_a_contradictory_resolution_is_refused(
    operator: Operator, arguments: list[str], sentence: str
) -> None:
    """One event or all held ones, and one of three ways; one chat is not for all."""
    operator.hold("e1")

    assert sentence == operator.misused("resolve", *arguments)
    assert "unknown" == operator.document()["status"]


@pytest.mark.parametrize("decision", [["--recreate"], ["--give-up"]], ids=["recreate", "give-up"])
def test_all_held_events_are_resolved(operator: Operator, decision: list[str]) -> None:
    """Only they; and each names its operator."""
    for name in ("e1", "e2", "e3"):
        operator.hold(name)
    operator.fail("failed")
    before = operator.bench.fields("failed")

    done = operator.json("resolve", "--all-held", *decision, "--yes", "--as", NAME)

    assert [operator.document(name) for name in ("e1", "e2", "e3")] == done
    assert {"accepted" if decision == ["--recreate"] else "failed"} == {
        record["status"] for record in done
    }
    assert before == operator.bench.fields("failed")
    assert NAME == operator.history("e3")[-1]["by"]


def test_without_held_events_nothing_is_done(operator: Operator) -> None:
    """It is said."""
    assert "no event is held." == operator.refused("resolve", "--all-held", "--recreate")


def test_impossible_ones_of_many_are_skipped(operator: Operator) -> None:
    """A newer release's record among them does not stop the others from being resolved."""
    operator.hold("newer")
    operator.hold("e1")
    operator.bench.set_fields("newer", v=4)

    result = operator.run("resolve", "--all-held", "--give-up", "--yes")

    assert (0, "failed: 1\n") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("passed over: 1, a newer release of the relay wrote it")
    assert ("failed", 4) == (operator.document()["status"], operator.bench.fields("newer")["v"])


def test_if_all_are_skipped_nothing_was_done(operator: Operator) -> None:
    """The exit code shows it, and each event has its reason."""
    operator.hold("newer")
    operator.bench.set_fields("newer", v=4)

    result = operator.run("resolve", "--all-held", "--give-up", "--yes")

    assert (1, "") == (result.exit_code, result.stdout)
    assert ["passed over", "Nothing was done"] == [
        line.partition(":")[0] for line in result.stderr.splitlines()
    ]


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize(
    "command", [["resolve", "e1", "--recreate"], ["resolve", "e1", "--give-up"], ["redrive", "e1"]]
)
def test_records_of_another_release_are_left_alone(
    operator: Operator, command: list[str], content: dict[str, Any] | str
) -> None:
    """Its own command line knows what it means."""
    operator.hold("e1")
    before = operator.bench.make_unreadable(content)

    assert "a newer release" in operator.refused(*command)

    assert before == operator.bench.text()


def test_a_failed_event_is_tried_again(operator: Operator) -> None:
    """With a new deadline, without an end of its record, and as if it were new to the caller."""
    operator.fail("e1")
    operator.bench.set_fields(accepted_ms=operator.bench.now_ms() - 24 * HOUR_MS)

    record = operator.json("redrive", "e1", "--as", NAME)
    grant = operator.bench.grant(operator.worker())
    operator.settle(grant, CREATED)

    assert ("accepted", False, None, None, None) == tuple(
        record[name] for name in ("status", "created", "failure", "settled_at", "expires_at")
    )
    assert ("opened", 2, False) == tuple(
        operator.document()[name] for name in ("status", "attempts", "possible_orphan")
    )
    assert ["user_not_found", "redriven"] == [moment["what"] for moment in operator.history()]
    assert NAME == operator.history()[-1]["by"]


def test_while_it_waits_a_redriven_record_does_not_end(operator: Operator) -> None:
    """It has no TTL until it is settled again."""
    operator.fail("e1")

    operator.run("redrive", "e1")

    assert -1 == operator.bench.ttl_ms("event:e1")


@pytest.mark.parametrize("status", ["accepted", "calling", "opened", "unknown"])
def test_only_a_failed_event_is_tried_again(operator: Operator, status: str) -> None:
    """Any other is refused by its status."""
    make: dict[str, Callable[[], object]] = {
        "accepted": lambda: operator.bench.accept("e1"),
        "calling": lambda: operator.bench.granted("e1"),
        "opened": lambda: operator.end("e1", CREATED),
        "unknown": lambda: operator.hold("e1"),
    }
    make[status]()
    before = operator.bench.fields()

    said = operator.refused("redrive", "e1")

    assert f"e1 is {status}: only what has failed can be tried again." == said
    assert before == operator.bench.fields()


def test_a_possible_chat_forbids_a_redrive(operator: Operator) -> None:
    """A refusal after an unknown attempt does not settle that attempt."""
    operator.hold("e1")
    operator.decide("e1", "--recreate")
    operator.settle(operator.bench.grant(operator.worker()), REFUSED)
    before = operator.bench.fields()

    assert ("failed", None) == (operator.document()["status"], operator.document()["created"])
    assert "may have made a chat" in operator.refused("redrive", "e1")
    assert before == operator.bench.fields()


def test_all_failed_events_of_a_code_are_tried_again(operator: Operator) -> None:
    """Only they; those that may have a chat are passed over."""
    operator.fail("e1")
    operator.fail("e2")
    operator.hold("uncertain")
    operator.decide("uncertain", "--recreate")
    operator.settle(operator.bench.grant(operator.worker()), REFUSED)
    operator.bench.accept("expired")
    operator.bench.take(operator.worker(event_deadline_ms=-1))

    result = operator.run("redrive", "--all-failed", "--code", "user_not_found", "--yes", "--json")

    assert 0 == result.exit_code
    assert [operator.document("e1"), operator.document("e2")] == json.loads(result.stdout)
    assert result.stderr.startswith("passed over: 1, an attempt for it may have made a chat")
    assert "failed" == operator.document("expired")["status"]


def test_an_event_with_another_failure_is_not_retried(operator: Operator) -> None:
    """Its code was read, and then it was redriven and refused again, by another operator."""
    operator.fail("e1")

    with pytest.raises(NothingDone, match="e1 failed for another reason"):
        operator.operations.redrive("e1", by=NAME, code=FailureCode.EXPIRED)

    assert "failed" == operator.document()["status"]


def test_without_such_failures_nothing_is_done(operator: Operator) -> None:
    """The message names the code."""
    operator.fail("e1")

    said = operator.refused("redrive", "--all-failed", "--code", "expired")

    assert "no event has failed with expired." == said
    said = operator.refused("redrive", "--all-failed", "--code", "user_not_fuond")
    assert "(codes: user_not_found, rejected, expired, abandoned, no_answer, " in said


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--all-failed"],
        ["--code", "rejected"],
        ["e1", "--code", "rejected"],
        ["e1", "--all-failed", "--code", "rejected"],
        ["--all-failed", "--code", "worker_lost"],
        ["--all-failed", "--code", ""],
        ["e1", "--user", "u1"],
        ["e1", "--limit", "1"],
        ["e1", "--dry-run"],
        ["--all-failed", "--code", "rejected", "--limit", "0"],
        ["--all-failed", "--code", "rejected", "--user", "u/1"],
        ["--all-failed", "--code", "rejected", "--since", "yesterday"],
    ],
)
def test_a_contradictory_redrive_is_refused(operator: Operator, arguments: list[str]) -> None:
    """One event, or all with a code that a failed event can have."""
    operator.fail("e1")

    operator.misused("redrive", *arguments)

    assert "failed" == operator.document()["status"]


@pytest.mark.parametrize(
    ("command", "prepare"),
    [
        (["resolve", "e1", "--chat-id", "found", "--yes"], Operator.hold),
        (["resolve", "e1", "--recreate"], Operator.hold),
        (["resolve", "e1", "--give-up"], Operator.hold),
        (["redrive", "e1"], Operator.fail),
    ],
    ids=["chat", "recreate", "give-up", "redrive"],
)
def test_a_lost_reply_does_not_turn_a_deed_into_a_refusal(
    operator: Operator, command: list[str], prepare: Callable[[Operator], Grant]
) -> None:
    """The command is repeated, and finds that it was done: once."""
    prepare(operator)
    operator.scripts.spared = 1 if "--chat-id" in command else 0
    operator.scripts.lost = 1

    record = operator.json(*command, "--as", NAME)

    assert operator.document() == record
    assert 1 == [moment.get("by") for moment in operator.history()].count(NAME)


@pytest.mark.parametrize("outcome", [CREATED, NOT_SENT])
def test_another_command_is_no_repeat(operator: Operator, outcome: Outcome) -> None:
    """Consent is given once; the same words a second time are a second consent, or refused."""
    operator.hold("e1")
    operator.decide("e1", "--recreate")
    operator.settle(operator.bench.grant(operator.worker()), outcome)

    assert "not held" in operator.refused("resolve", "e1", "--recreate")


def test_a_stop_in_the_middle_lists_the_decided(operator: Operator) -> None:
    """Of many events some are resolved; which, is on the screen. Exit code 3."""
    for name in ("e1", "e2", "e3"):
        operator.hold(name)
    operator.scripts.spared = len(
        ["how many for the question", "how many for the bar", "all", "the first"]
    )
    operator.scripts.lost = len(["the second", "once more"])

    result = operator.run("resolve", "--all-held", "--give-up", "--yes", "--json")

    assert 3 == result.exit_code
    assert ["e1"] == [record["event_id"] for record in json.loads(result.stdout)]
    assert "stopped after 1 of the events" in result.stderr
    assert "unknown" == operator.document("e3")["status"]


def test_the_operator_is_the_login_name_by_default(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system has it."""
    monkeypatch.setenv("LOGNAME", "ops-anna")
    operator.hold("e1")

    operator.run("resolve", "e1", "--give-up")

    assert "ops-anna" == operator.history()[-1]["by"]


def test_a_user_id_without_a_name_may_decide(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's user id 10001 has no name."""

    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", no_name)
    operator.hold("e1")

    result = operator.run("resolve", "e1", "--give-up")

    assert 0 == result.exit_code
    assert f"uid {os.getuid()}" == operator.history()[-1]["by"]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 65])
def test_a_blank_name_is_refused(operator: Operator, name: str) -> None:
    """Each decision names its operator."""
    operator.hold("e1")

    said = operator.misused("resolve", "e1", "--give-up", "--as", name)

    assert "a name is 1 to 64 printable characters." in said
    assert "unknown" == operator.document()["status"]
