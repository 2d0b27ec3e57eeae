"""``recover``: the ids that only a log holds are settled, and twice is once."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.chats.grant import NoWork
from tests.operate.operator import Operator
from tests.operate.test_log_lines import CALL
from tests.stack.processes import free_port
from tests.store.bench import TTL_SECONDS, UNREADABLE, event_of
from tests.store.outcomes import UNKNOWN, created


def line(event_id: str = "e1", chat_id: str = "logged", **fields: Any) -> str:
    """The log line of a call that created a chat."""
    return json.dumps(CALL | {"event_id": event_id, "chat_id": chat_id} | fields)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log file, empty."""
    path = tmp_path / "worker.log"
    path.touch()
    return path


def recover(operator: Operator, log: Path, *lines: str) -> list[tuple[str, str, str]]:
    """What becomes of the events in a log of these lines."""
    log.write_text("".join(f"{line}\n" for line in lines))
    results = operator.json("recover", "--from-log", str(log))
    return [(result["event_id"], result["chat_id"], result["result"]) for result in results]


@pytest.mark.parametrize("situation", ["calling", "unknown", "accepted", "failed"])
def test_a_lost_answer_opens_its_event(operator: Operator, log: Path, situation: str) -> None:
    """Whatever became of the event meanwhile, as long as nothing was published."""
    if situation == "calling":
        operator.bench.granted("e1")
    else:
        operator.hold("e1")
    if situation == "accepted":
        operator.decide("e1", "--recreate")
    if situation == "failed":
        operator.decide("e1", "--give-up")
    assert situation == operator.document()["status"]

    results = recover(operator, log, line())

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
    operator.hold("e1")
    recover(operator, log, line(), line())
    before = operator.bench.fields()

    result = operator.run("recover", "--from-log", str(log))

    assert 1 == result.exit_code
    assert "known already" in result.stdout
    assert "Nothing was done: the records have all of these chats already." in result.stderr
    assert before == operator.bench.fields()


def test_an_event_that_was_opened_with_another_chat_keeps_both(
    operator: Operator, log: Path
) -> None:
    """The published id stays."""
    operator.end("e1", created("published"))

    results = recover(operator, log, line())

    assert [("e1", "logged", "duplicate")] == results
    assert ("published", ["logged"]) == (
        operator.document()["chat"]["id"],
        operator.document()["duplicate_chat_ids"],
    )


def test_an_event_that_redis_does_not_know_is_made_anew(operator: Operator, log: Path) -> None:
    """From what the line tells; and a repeat of it is known as one."""
    results = recover(operator, log, line(user_id="u7"))

    assert [("e1", "logged", "opened")] == results
    record = operator.document()
    assert ("u7", 1, {}) == (record["user_id"], record["attempts"], record["metadata"])
    assert "2026-11-22T10:00:00.123Z" == record["accepted_at"]
    assert 0 < operator.bench.ttl_ms("event:e1") <= TTL_SECONDS * 1000
    _, is_new = operator.bench.intake().accept(event_of("e1", user_id="u7"))
    assert not is_new


def test_what_redis_still_has_of_an_event_is_kept(operator: Operator, log: Path) -> None:
    """It lost the grant alone: the event's metadata and its fingerprint are there as before."""
    operator.bench.accept("e1", metadata={"order": "7731"})

    recover(operator, log, line())

    assert {"order": "7731"} == operator.document()["metadata"]
    _, is_new = operator.bench.intake().accept(event_of("e1", metadata={"order": "7731"}))
    assert not is_new
    assert isinstance(operator.bench.take(operator.worker()), NoWork)


def test_a_late_answer_of_the_worker_itself_changes_nothing_more(
    operator: Operator, log: Path
) -> None:
    """The worker lived after all, or its spool was found."""
    grant = operator.hold("e1")
    recover(operator, log, line())
    before = operator.bench.fields()

    operator.settle(grant, created("logged"))
    operator.settle(grant, UNKNOWN)

    assert before == operator.bench.fields()


def test_a_log_may_be_read_from_standard_input(operator: Operator) -> None:
    """With whatever a collector wrote in front of each line."""
    operator.hold("e1")
    operator.hold("e2")
    text = f"worker-1  | {line('e1', 'c1')}\nworker-2  | {line('e2', 'c2')}\n"

    result = operator.run("recover", "--from-log", "-", text=text)

    assert 0 == result.exit_code
    assert ["c1", "c2"] == [operator.document(name)["chat"]["id"] for name in ("e1", "e2")]


def test_garbage_is_passed_over(operator: Operator, log: Path) -> None:
    """What tells of a created chat and cannot be read is named; bytes that are no text, too."""
    operator.hold("e1")
    cut = line("e2", "c2")[:-20]
    log.write_bytes(b"\xff\xfe garbage {\n" + f"{cut}\n{line()}\n".encode() + b'{"event": "call"')

    result = operator.run("recover", "--from-log", str(log))

    assert 0 == result.exit_code
    assert "passed over: line 2 tells of a created chat, and cannot be read\n" == result.stderr
    assert "opened" == operator.document()["status"]


def test_a_log_without_such_a_line_is_refused(operator: Operator, log: Path) -> None:
    """It may be the wrong log."""
    said = operator.refused("recover", "--from-log", str(log))

    assert "the log holds no line of a call that created a chat." == said


def test_a_log_that_is_not_there_is_wrong_usage(operator: Operator, tmp_path: Path) -> None:
    """Nothing is asked of Redis."""
    assert "No such file" in operator.misused("recover", "--from-log", str(tmp_path / "none"))
    assert "--from-log" in operator.misused("recover")


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_another_release_wrote_is_left_alone(
    operator: Operator, log: Path, content: dict[str, Any] | str
) -> None:
    """Its own command line reads the same log."""
    operator.hold("e1")
    operator.hold("e2")
    before = operator.bench.make_unreadable(content)

    results = recover(operator, log, line("e1", "c1"), line("e2", "c2"))

    assert ["newer", "opened"] == [result for *_, result in results]
    assert before == operator.bench.text()


def test_when_redis_goes_in_the_middle_the_recovered_are_told(
    operator: Operator, log: Path
) -> None:
    """Exit code 3; the log may simply be read once more."""
    operator.hold("e1")
    operator.hold("e2")
    log.write_text(f"{line('e1', 'c1')}\n{line('e2', 'c2')}\n")
    operator.scripts.spared = len(["what is left of the first", "its settle"])
    operator.scripts.lost = len(["what is left of the second", "once more"])

    result = operator.run("recover", "--from-log", str(log), "--json")
    again = operator.json("recover", "--from-log", str(log))

    assert 3 == result.exit_code
    assert ["opened"] == [each["result"] for each in json.loads(result.stdout)]
    assert ["ignored", "opened"] == [each["result"] for each in again]


def test_without_redis_there_is_one_line(log: Path) -> None:
    """Exit code 3, and no half of a table."""
    log.write_text(f"{line()}\n")
    with Operator.connected_to(f"redis://127.0.0.1:{free_port()}/0") as operator:
        result = operator.run("recover", "--from-log", str(log))

    assert (3, "", 1) == (result.exit_code, result.stdout, len(result.stderr.splitlines()))
