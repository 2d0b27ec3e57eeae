"""``recover``: the ids that only a log holds are settled, and twice is once."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.chats.grant import Grant, NoWork
from app.chats.outcome import Done, LookFailed, Outcome, Resolved
from app.telemetry.call_line import EVENT, call_fields
from tests.operate.operator import Operator
from tests.operate.test_log_lines import CALL
from tools.model.outcomes import NOT_SENT, UNKNOWN, created
from tools.model.store_driver import HOUR_MS, TTL_SECONDS, UNREADABLE, event_of
from tools.stack.processes import free_port

LIFE_MS = 1_764_500_000_000
TTL_MS = TTL_SECONDS * 1000


def line(grant: Grant, chat_id: str = "logged", **fields: Any) -> str:
    """The log line of a grant's call that created a chat; ``None`` takes a field away."""
    about = {
        "event_id": grant.event_id,
        "user_id": grant.user_id,
        "attempt": grant.attempt,
        "life": grant.life_ms,
        "token": grant.token,
        "chat_id": chat_id,
    }
    call = CALL | about | fields
    return json.dumps({name: value for name, value in call.items() if value is not None})


def grant_of(event_id: str = "e1", *, user_id: str = "u1", life_ms: int = LIFE_MS) -> Grant:
    """A grant that Redis does not have."""
    return Grant(event_id, user_id, 1, "lost-token", {"accepted_ms": life_ms})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log file, empty."""
    path = tmp_path / "worker.log"
    path.touch()
    return path


def recover(
    operator: Operator, log: Path, *lines: str, options: Sequence[str] = ()
) -> list[tuple[str, str, str]]:
    """Run ``recover`` on a log with these lines, and return its results."""
    log.write_text("".join(f"{line}\n" for line in lines))
    result = operator.run("recover", "--from-log", str(log), "--json", *options)
    results = json.loads(result.stdout)
    assert result.exit_code == (
        0 if {"opened", "duplicate"} & {each["result"] for each in results} else 1
    )
    return [(result["event_id"], result["chat_id"], result["result"]) for result in results]


@pytest.mark.parametrize("situation", ["calling", "unknown", "accepted", "failed"])
def test_a_lost_answer_opens_its_event(operator: Operator, log: Path, situation: str) -> None:
    """Whatever became of the event meanwhile, as long as nothing was published."""
    grant = operator.bench.granted("e1") if situation == "calling" else operator.hold("e1")
    if situation == "accepted":
        operator.decide("e1", "--recreate")
    if situation == "failed":
        operator.decide("e1", "--give-up")
    assert situation == operator.document()["status"]

    results = recover(operator, log, line(grant))

    assert [("e1", "logged", "opened")] == results
    record = operator.document()
    assert ("opened", "logged", "6263") == (
        record["status"],
        record["chat"]["id"],
        record["chat"]["channel_id"],
    )
    assert ({"id": "s-1", "key": None}, None) == (record["session"], record["user_session"])
    assert isinstance(operator.bench.take(operator.worker()), NoWork)


def test_twice_is_once(operator: Operator, log: Path) -> None:
    """The second time nothing is done, and that is said."""
    grant = operator.hold("e1")
    recover(operator, log, line(grant), line(grant))
    before = operator.bench.fields()

    result = operator.run("recover", "--from-log", str(log))

    assert (1, "") == (result.exit_code, result.stdout)
    assert "passed over: 2, nothing to do: the record has the chat\n" in result.stderr
    assert "Nothing was done: the records have all of these chats already." in result.stderr
    assert before == operator.bench.fields()


def test_a_settled_line_changes_nothing(operator: Operator, log: Path) -> None:
    """A record that is opened has no token any more: all of a log may be read."""
    grant = operator.end("e1", created("logged"))
    operator.settle(grant, created("another"))

    lines = [line(grant), line(grant, "another")]

    assert ["ignored"] * 2 == [result for *_, result in recover(operator, log, *lines)]


def test_an_event_that_was_opened_with_another_chat_keeps_both(
    operator: Operator, log: Path
) -> None:
    """The published id stays."""
    grant = operator.hold("e1")
    operator.decide("e1", "--chat-id", "published")

    results = recover(operator, log, line(grant))

    assert [("e1", "logged", "duplicate")] == results
    assert ("published", ["logged"]) == (
        operator.document()["chat"]["id"],
        operator.document()["duplicate_chat_ids"],
    )


@pytest.mark.parametrize("later", ["calling", "unknown", "accepted"])
def test_an_earlier_attempt_is_believed_by_its_token_in_the_history(
    operator: Operator, log: Path, later: str
) -> None:
    """It ended unknown, and another call was made by consent."""
    first = operator.hold("e1")
    operator.decide("e1", "--recreate")
    second = operator.bench.grant(operator.worker())
    if later != "calling":
        operator.settle(second, UNKNOWN if later == "unknown" else NOT_SENT)

    assert [("e1", "logged", "opened")] == recover(operator, log, line(first))


@pytest.mark.parametrize(
    "changed",
    [{"token": "another"}, {"attempt": 2}, {"attempt": 10**13}],
    ids=["token", "attempt", "attempt-far-ahead"],
)
@pytest.mark.parametrize("situation", ["accepted", "calling", "unknown", "failed", "opened"])
def test_a_line_of_another_grant_is_skipped(
    operator: Operator, log: Path, situation: str, changed: dict[str, Any]
) -> None:
    """It may be forged: nothing of it is published, and it is counted."""
    if situation == "accepted":
        operator.bench.accept("e1")
        grant = grant_of(life_ms=operator.bench.fields()["accepted_ms"])
    elif situation == "failed":
        grant = operator.fail("e1")
    elif situation == "opened":
        grant = operator.end("e1", created("published"))
    else:
        grant = operator.bench.granted() if situation == "calling" else operator.hold()
    before = operator.bench.text()

    results = recover(operator, log, line(grant, "forged", **changed))
    result = operator.run("recover", "--from-log", str(log))

    assert [("e1", "forged", "other_token")] == results
    assert (1, "", before) == (result.exit_code, result.stdout, operator.bench.text())
    assert "passed over: 1, the record does not know the grant of the line\n" in result.stderr
    assert "--trust-log settles 1." in result.stderr
    assert None is operator.bench.intake().event_of_chat("forged")


def test_a_trusted_log_opens_what_redis_lost_a_grant_of(operator: Operator, log: Path) -> None:
    """The event's metadata and its fingerprint are there as before."""
    operator.bench.accept("e1", metadata={"order": "7731"})
    grant = grant_of(life_ms=operator.bench.fields()["accepted_ms"])

    recover(operator, log, line(grant), options=["--trust-log"])

    assert {"order": "7731"} == operator.document()["metadata"]
    _, is_new = operator.bench.intake().accept(event_of("e1", metadata={"order": "7731"}))
    assert not is_new
    assert isinstance(operator.bench.take(operator.worker()), NoWork)


@pytest.mark.parametrize("ms_apart", [1, -1, TTL_MS - 1])
def test_a_life_whose_acceptance_redis_lost_is_the_same(
    operator: Operator, log: Path, ms_apart: int
) -> None:
    """Its caller repeated the post: within the window, only a trusted log is believed."""
    operator.bench.accept("e1")
    grant = grant_of(life_ms=operator.bench.fields()["accepted_ms"] + ms_apart)

    results = recover(operator, log, line(grant))
    trusted = recover(operator, log, line(grant), options=["--trust-log"])

    assert [("e1", "logged", "other_token")] == results
    assert [("e1", "logged", "opened")] == trusted


def test_a_trusted_log_restores_a_missing_event(operator: Operator, log: Path) -> None:
    """The line alone is enough, and its repeat is recognised."""
    lost = line(grant_of(user_id="u7"))

    results = recover(operator, log, lost)
    trusted = recover(operator, log, lost, options=["--trust-log"])

    assert [("e1", "logged", "missing")] == results
    assert [("e1", "logged", "opened")] == trusted
    record = operator.document()
    assert ("u7", 1, {}) == (record["user_id"], record["attempts"], record["metadata"])
    assert "2025-11-30T10:53:20.000Z" == record["accepted_at"]
    assert 0 < operator.bench.ttl_ms("event:e1") <= TTL_MS
    _, is_new = operator.bench.intake().accept(event_of("e1", user_id="u7"))
    assert not is_new


@pytest.mark.parametrize("options", [[], ["--trust-log"]], ids=["", "trusted"])
@pytest.mark.parametrize(
    ("changed", "result"),
    [
        ({"life": None}, "no_life"),
        ({"token": None}, "no_life"),
        ({"user_id": "u2"}, "other_life"),
        ({"life": LIFE_MS}, "other_life"),
        ({"life": LIFE_MS + 10 * 365 * 24 * HOUR_MS}, "other_life"),
    ],
)
def test_a_line_of_another_life_is_never_believed(
    operator: Operator, log: Path, changed: dict[str, Any], result: str, options: list[str]
) -> None:
    """An id is free again after its window; and a line of an older release names none."""
    grant = operator.hold("e1")
    before = operator.bench.text()

    assert [("e1", "logged", result)] == recover(
        operator, log, line(grant, **changed), options=options
    )

    assert before == operator.bench.text()


@pytest.mark.parametrize("options", [[], ["--trust-log"]], ids=["", "trusted"])
@pytest.mark.parametrize("ms_apart", [0, 1, -1])
def test_a_forgotten_event_stays_forgotten(
    operator: Operator, log: Path, options: list[str], ms_apart: int
) -> None:
    """Also a line of an acceptance of it that Redis lost."""
    grant = operator.hold("e1")
    operator.json("forget", "--user", "u1", "--yes")
    lost = line(grant, life=grant.life_ms + ms_apart)

    assert [("e1", "logged", "forgotten")] == recover(operator, log, lost, options=options)

    assert None is operator.bench.text()


def test_a_late_answer_of_the_worker_itself_changes_nothing_more(
    operator: Operator, log: Path
) -> None:
    """The worker lived after all, or its spool was found."""
    grant = operator.hold("e1")
    recover(operator, log, line(grant))
    before = operator.bench.fields()

    operator.settle(grant, created("logged"))
    operator.settle(grant, UNKNOWN)

    assert before == operator.bench.fields()


def test_a_log_may_be_read_from_standard_input(operator: Operator) -> None:
    """With what Docker writes in front of each line."""
    first, second = operator.hold("e1"), operator.hold("e2")
    text = f"worker-1  | {line(first, 'c1')}\nworker-2  | {line(second, 'c2')}\n"

    result = operator.run("recover", "--from-log", "-", text=text)

    assert 0 == result.exit_code
    assert ["c1", "c2"] == [operator.document(name)["chat"]["id"] for name in ("e1", "e2")]


def test_garbage_is_passed_over(operator: Operator, log: Path) -> None:
    """Unreadable lines of a created chat are reported, bytes that are no text included."""
    grant = operator.hold("e1")
    cut = line(grant, "c2")[:-20]
    log.write_bytes(
        b"\xff\xfe garbage {\n" + f"{cut}\n{line(grant)}\n".encode() + b'{"event": "call"'
    )

    result = operator.run("recover", "--from-log", str(log))

    assert 0 == result.exit_code
    assert "passed over: 1, of a created chat, cannot be read: line 2\n" == result.stderr
    assert "opened" == operator.document()["status"]


def test_many_lines_that_are_passed_over_are_counted(operator: Operator, log: Path) -> None:
    """Six hundred equal sentences would hide the one that matters."""
    log.write_text(f"{line(grant_of())}\n{line(grant_of())[:-9]}\n" * 300)

    result = operator.run("recover", "--from-log", str(log))

    numbers = ", ".join(map(str, range(2, 22, 2)))
    assert [
        "passed over: 300, no such event is kept",
        "If only workers wrote this log, --trust-log settles 300.",
        f"passed over: 300, of a created chat, cannot be read: line {numbers} and more",
        "Nothing was done: no line that is believed has a chat that its record has not.",
    ] == result.stderr.splitlines()


def test_a_log_without_such_a_line_is_refused(operator: Operator, log: Path) -> None:
    """It may be the wrong log."""
    said = operator.refused("recover", "--from-log", str(log))

    assert "the log holds no line of a call that created a chat." == said


def test_a_log_that_is_not_there_is_wrong_usage(operator: Operator, tmp_path: Path) -> None:
    """Redis receives no command."""
    assert "No such file" in operator.misused("recover", "--from-log", str(tmp_path / "none"))
    assert "--from-log" in operator.misused("recover")
    assert "directory" in operator.misused("recover", "--from-log", str(tmp_path)).lower()


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_records_of_another_release_are_left_alone(
    operator: Operator, log: Path, content: dict[str, Any] | str
) -> None:
    """Its own command line reads the same log."""
    first, second = operator.hold("e1"), operator.hold("e2")
    before = operator.bench.make_unreadable(content)

    results = recover(operator, log, line(first, "c1"), line(second, "c2"))

    assert ["newer", "opened"] == [result for *_, result in results]
    assert before == operator.bench.text()


def test_a_stop_in_the_middle_lists_the_recovered(operator: Operator, log: Path) -> None:
    """Exit code 3; the log may simply be read once more."""
    first, second = operator.hold("e1"), operator.hold("e2")
    log.write_text(f"{line(first, 'c1')}\n{line(second, 'c2')}\n")
    operator.scripts.spared = len(["what is left of the first", "its settle"])
    operator.scripts.lost = len(["what is left of the second", "once more"])

    result = operator.run("recover", "--from-log", str(log), "--json")
    operator.scripts.lost = 0
    again = operator.json("recover", "--from-log", str(log))

    assert 3 == result.exit_code
    assert ["opened"] == [each["result"] for each in json.loads(result.stdout)]
    assert ["ignored", "opened"] == [each["result"] for each in again]


def test_without_redis_there_is_one_line(log: Path) -> None:
    """Exit code 3, and no half of a table."""
    log.write_text(f"{line(grant_of())}\n")
    with Operator.connected_to(f"redis://127.0.0.1:{free_port()}/0") as operator:
        result = operator.run("recover", "--from-log", str(log))

    assert (3, "", 1) == (result.exit_code, result.stdout, len(result.stderr.splitlines()))


MESSAGE = {"text": "hello", "bot_name": "Refunds"}


def hold_of_member(operator: Operator) -> Grant:
    """A held event of a member, with both tasks; the grant is its create's."""
    operator.bench.accept("e1", member_id="m1", message=MESSAGE, open=True)
    operator.settle(operator.bench.grant(operator.worker()), Resolved("u-8841"))
    grant = operator.bench.grant(operator.worker())
    operator.settle(grant, UNKNOWN)
    return grant


def test_tasks_go_on_after_a_recovered_create(operator: Operator, log: Path) -> None:
    """In the chat that the log had; a member is looked up by both ids."""
    grant = hold_of_member(operator)

    assert [("e1", "logged", "opened")] == recover(operator, log, line(grant, member_id="m1"))

    assert ("u-8841", "m1", 1, False) == tuple(
        operator.document()[name] for name in ("user_id", "member_id", "attempts", "complete")
    )
    message = operator.bench.grant(operator.worker())
    assert ("message", "logged") == (message.task, message.chat_id)
    operator.settle(message, Done(has_acted=True, message_id="m-1"))
    operator.settle(operator.bench.grant(operator.worker()), Done(has_acted=True))
    assert operator.document()["complete"]
    intake = operator.bench.intake()
    assert 1 == len(intake.chats_of_member("m1", limit=5)[0])
    assert 1 == len(intake.chats_of_user("u-8841", limit=5)[0])


@pytest.mark.parametrize("task", ["resolve", "message", "open"])
def test_the_token_of_a_task_proves_no_create(operator: Operator, log: Path, task: str) -> None:
    """Only a create makes a chat, so no worker wrote that line."""
    grant = replace(grant_task(operator, task), user_id="u-8841")
    before = operator.bench.text()

    forged = line(grant, member_id="m1")

    assert [("e1", "logged", "other_token")] == recover(operator, log, forged)
    assert before == operator.bench.text()


@pytest.mark.parametrize("task", ["resolve", "message", "open"])
@pytest.mark.parametrize("options", [[], ["--trust-log"]], ids=["", "trusted"])
def test_a_line_of_a_task_that_made_a_chat_cannot_be_read(
    operator: Operator, log: Path, task: str, options: list[str]
) -> None:
    """However much the log is trusted."""
    grant = replace(grant_task(operator, task), user_id="u-8841")
    before = operator.bench.text()
    log.write_text(f"{line(grant, member_id='m1', task=task)}\n")

    result = operator.run("recover", "--from-log", str(log), *options)

    assert (1, "") == (result.exit_code, result.stdout)
    assert "passed over: 1, of a created chat, cannot be read: line 1" in result.stderr
    assert before == operator.bench.text()


@pytest.mark.parametrize("outcome", [LookFailed("No answer."), UNKNOWN, Done(has_acted=True)])
@pytest.mark.parametrize("task", ["resolve", "message", "open"])
@pytest.mark.parametrize("options", [[], ["--trust-log"]], ids=["", "trusted"])
def test_a_tasks_own_line_settles_nothing(
    operator: Operator, log: Path, task: str, outcome: Outcome, options: list[str]
) -> None:
    """Whatever its outcome, and however much the log is trusted."""
    grant = grant_task(operator, task)
    before = operator.bench.text()
    call = {"event": EVENT} | call_fields(grant, outcome, trace_id="0" * 32, seconds=1.0)
    log.write_text(f"{json.dumps(call)}\n")

    said = operator.refused("recover", "--from-log", str(log), *options)

    assert "the log holds no line of a call that created a chat." == said
    assert before == operator.bench.text()


def grant_task(operator: Operator, task: str) -> Grant:
    """Let a worker have the grant of a task of a member's event."""
    operator.bench.accept("e1", member_id="m1", message=MESSAGE, open=True)
    before: dict[str, list[Outcome]] = {
        "resolve": [],
        "message": [Resolved("u-8841"), created("chat-1")],
        "open": [Resolved("u-8841"), created("chat-1"), Done(has_acted=True, message_id="m-1")],
    }
    for outcome in before[task]:
        operator.settle(operator.bench.grant(operator.worker()), outcome)
    grant = operator.bench.grant(operator.worker())
    assert task == grant.task
    return grant


def test_a_merged_members_line_is_believed(operator: Operator, log: Path) -> None:
    """The record's user is the call's: members are merged while it is under way."""
    grant = hold_of_member(operator)
    operator.bench.set_fields("e1", user_id="u-merged")

    assert [("e1", "logged", "opened")] == recover(operator, log, line(grant, member_id="m1"))

    assert "u-8841" == operator.document()["user_id"]
    assert 1 == len(operator.bench.intake().chats_of_user("u-8841", limit=5)[0])


@pytest.mark.parametrize("member_id", [None, "m2"])
@pytest.mark.parametrize("options", [[], ["--trust-log"]], ids=["", "trusted"])
def test_a_line_of_another_member_is_never_believed(
    operator: Operator, log: Path, member_id: str | None, options: list[str]
) -> None:
    """Nor one that was posted with a user id, be it the same user's."""
    grant = hold_of_member(operator)
    before = operator.bench.text()

    assert [("e1", "logged", "other_life")] == recover(
        operator, log, line(grant, member_id=member_id), options=options
    )

    assert before == operator.bench.text()


def test_a_rebuilt_record_of_a_member_has_no_tasks(operator: Operator, log: Path) -> None:
    """The log has neither them nor the text; the member finds the chat."""
    lost = line(grant_of(user_id="u-8841"), member_id="m1")

    assert [("e1", "logged", "opened")] == recover(operator, log, lost, options=["--trust-log"])

    record = operator.document()
    assert ("m1", None, True) == (record["member_id"], record["tasks"], record["complete"])
    (found,), _ = operator.bench.intake().chats_of_member("m1", limit=5)
    assert "e1" == found.event_id


def test_creates_are_counted_where_redis_lost_the_latest_grant(
    operator: Operator, log: Path
) -> None:
    """The attempt before was a resolve's, and no create's."""
    grant = hold_of_member(operator)
    operator.bench.set_fields(
        "e1",
        status="accepted",
        attempt=1,
        attempts=0,
        unknowns=None,
        failure=None,
        grant_token=None,
        history=None,
    )
    operator.bench.client.zrem(operator.bench.key("held"), "e1")
    operator.bench.client.zadd(operator.bench.key("due"), {"e1": operator.bench.now_ms()})

    logged = line(grant, member_id="m1")
    assert [("e1", "logged", "opened")] == recover(operator, log, logged, options=["--trust-log"])

    assert 1 == operator.document()["attempts"]
    assert "message" == operator.bench.grant(operator.worker()).task
