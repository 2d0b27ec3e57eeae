"""Commands about many events: which ones they are, the question before, and the summary after."""

import json
import os
import pty
import subprocess
from typing import Any

import pytest

from app.chats.record import Status
from app.store.operations import PAGE
from tests.operate.operator import Operator
from tools.model.outcomes import REFUSED, UNKNOWN
from tools.model.store_driver import HOUR_MS
from tools.stack.relay import PYTHON, ROOT

MANY = 2 * PAGE + 100
RECREATE = ("resolve", "--all-held", "--recreate")
GIVE_UP = ("resolve", "--all-held", "--give-up")
REDRIVE = ("redrive", "--all-failed", "--code", "user_not_found")


def statuses(operator: Operator, *event_ids: str) -> list[str]:
    """The status of each event."""
    return [operator.document(event_id)["status"] for event_id in event_ids]


def hold_many(operator: Operator, count: int = MANY) -> list[str]:
    """Have held events, all since one instant, and return their ids in their order."""
    operator.hold("e")
    fields = operator.bench.text("e")
    assert fields is not None
    names = sorted(f"e{number}" for number in range(count - 1))
    client = operator.bench.client
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.set(operator.bench.keys.event(name), fields)
        pipeline.execute()
    now_ms = operator.bench.now_ms() - 1
    client.zadd(operator.bench.key("held"), dict.fromkeys(["e", *names], now_ms))
    return ["e", *names]


@pytest.mark.parametrize("command", [RECREATE, GIVE_UP, REDRIVE])
def test_without_a_terminal_many_need_a_yes(operator: Operator, command: tuple[str, ...]) -> None:
    """A pasted line must not decide about six hundred events at once."""
    operator.hold("held")
    operator.fail("failed")

    said = operator.misused(*command)

    assert "There is no terminal to ask on: add --yes." in said
    assert ["unknown", "failed"] == statuses(operator, "held", "failed")


def test_an_unasked_question_is_one_line(operator: Operator) -> None:
    """The command was right: no usage line, and the number of events that the filter leaves."""
    for event_id, user_id in (("e1", "u1"), ("e2", "u1"), ("e3", "u2")):
        operator.hold(event_id, user_id=user_id)

    result = operator.run(*GIVE_UP, "--user", "u1")

    question = "Let up to 2 held events fail, for good, and skip their tasks?"
    sentence = f"Error: {question} There is no terminal to ask on: add --yes.\n"
    assert (2, sentence) == (result.exit_code, result.stderr)


def test_a_chat_is_published_after_a_yes_only(operator: Operator) -> None:
    """The event must be held, and the operator must confirm."""
    operator.hold("e1")
    operator.fail("e2")

    said = operator.misused("resolve", "e1", "--chat-id", "found")

    assert said.startswith("Publish found as the chat of e1 (user u1), for good?")
    assert "e2 is failed" in operator.refused("resolve", "e2", "--chat-id", "found")
    assert ["unknown"] == statuses(operator, "e1")


def test_many_are_decided_about_page_by_page(operator: Operator) -> None:
    """All of one instant, each once, with a newer release's between them; and counted."""
    names = hold_many(operator)
    passed_over = [names[0], names[PAGE], names[-1]]
    for name in passed_over:
        operator.bench.set_fields(name, v=4)

    result = operator.run(*RECREATE, "--yes")

    assert 0 == result.exit_code
    assert f"wait for one more call: {MANY - 3}\n" == result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("passed over: 3, a newer release of the relay wrote it")
    assert passed_over == list(operator.bench.queue("held"))
    assert MANY - 3 == len(operator.bench.queue("due"))


def test_json_lists_what_was_done(operator: Operator) -> None:
    """All of it, as one list."""
    names = hold_many(operator)

    done = operator.json(*GIVE_UP, "--yes")

    assert names == [record["event_id"] for record in done]
    assert {"failed"} == {record["status"] for record in done}


def test_an_event_held_again_is_not_decided_twice(operator: Operator) -> None:
    """Else a command would go on for as long as Channel.io gives no answer."""
    names = hold_many(operator)
    seen = []

    for page in operator.operations.pages(Status.UNKNOWN):
        for event_id, _ in page.events:
            seen.append(event_id)
            now_ms = operator.bench.now_ms() + 1
            operator.bench.client.zadd(operator.bench.key("held"), {event_id: now_ms})

    assert names == seen


def test_an_event_that_fails_again_is_not_retried_twice(operator: Operator) -> None:
    """The record has the instant of its failure."""
    operator.fail("e1")
    operator.bench.set_fields(settled_ms=operator.bench.now_ms() + HOUR_MS)

    assert "no event has failed" in operator.refused(*REDRIVE, "--yes")


@pytest.mark.parametrize("command", [RECREATE, GIVE_UP, REDRIVE])
@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--user", "u2"], ["e2"]),
        (["--limit", "2"], ["e1", "e2"]),
        (["--since", "2h"], ["e2", "e3"]),
        (["--since", "120m", "--limit", "1"], ["e2"]),
        (["--since", "2026-01-01", "--user", "u3"], ["e3"]),
        (["--since", "1970-01-01T00:00:00Z"], ["e1", "e2", "e3"]),
    ],
)
def test_some_of_many_are_chosen(
    operator: Operator, command: tuple[str, ...], options: list[str], chosen: list[str]
) -> None:
    """By user, by age, and up to a limit; first as a dry run, then in earnest."""
    for number in (1, 2, 3):
        outcome = REFUSED if command is REDRIVE else UNKNOWN
        operator.end(f"e{number}", outcome, user_id=f"u{number}")
    long_ago = operator.bench.now_ms() - 3 * HOUR_MS
    operator.bench.set_fields("e1", accepted_ms=long_ago)
    before = [operator.bench.text(name) for name in ("e1", "e2", "e3")]

    shown = operator.json(*command, *options, "--dry-run")
    text = operator.run(*command, *options, "--dry-run").stdout
    assert before == [operator.bench.text(name) for name in ("e1", "e2", "e3")]
    done = operator.json(*command, *options, "--yes")

    assert chosen == [record["event_id"] for record in shown]
    assert [f"would be changed: {len(chosen)}", *chosen] == [
        line.split("  ")[0] for line in text.splitlines() if not line.startswith("EVENT")
    ]
    assert chosen == [record["event_id"] for record in done]


@pytest.mark.parametrize("is_shown", [False, True])
def test_an_empty_selection_does_nothing(operator: Operator, *, is_shown: bool) -> None:
    """And no question is put."""
    operator.hold("e1")
    operator.fail("e2")
    options = ["--user", "u9", *(["--dry-run"] if is_shown else [])]

    assert "no such event is held." == operator.refused(*GIVE_UP, *options)
    assert "no such event has failed with user_not_found." == operator.refused(*REDRIVE, *options)


def test_a_dry_run_passes_over_what_the_command_would(operator: Operator) -> None:
    """Of a doubtful event it is known beforehand that it is not tried again."""
    operator.hold("uncertain")
    operator.decide("uncertain", "--recreate")
    operator.settle(operator.bench.grant(operator.worker()), REFUSED)

    result = operator.run(*REDRIVE, "--dry-run")

    assert (1, "") == (result.exit_code, result.stdout)
    assert "passed over: 1, an attempt for it may have made a chat" in result.stderr


def test_a_code_of_a_newer_release_may_be_named(operator: Operator) -> None:
    """It is shown as it is, and its events can be tried again."""
    operator.fail("e1")
    failure = {"code": "user_merged", "detail": "The user is another one now."}
    operator.bench.set_fields(failure=failure)

    listed = operator.json("list", "--code", "user_merged")
    shown = operator.run("explain", "e1").stdout
    done = operator.json("redrive", "--all-failed", "--code", "user_merged", "--yes")

    assert failure == {name: listed[0]["failure"][name] for name in failure}
    assert "user_merged: The user is another one now." in shown
    assert ["e1"] == [record["event_id"] for record in done]


@pytest.mark.parametrize(
    ("options", "listed"),
    [
        ([], ["held"]),
        (["--code", "no_answer"], ["held"]),
        (["--code", "worker_lost"], []),
        (["--code", "user_not_found"], ["failed"]),
        (["--status", "failed", "--user", "u1"], ["failed"]),
        (["--status", "failed", "--user", "u2"], []),
        (["--status", "accepted", "--since", "1h"], ["waiting"]),
        (["--status", "accepted", "--since", "2999-01-01"], []),
    ],
)
def test_a_list_keeps_to_its_filters(
    operator: Operator, options: list[str], listed: list[str]
) -> None:
    """A code alone determines the status."""
    operator.hold("held")
    operator.fail("failed")
    operator.bench.accept("waiting")

    assert listed == [record["event_id"] for record in operator.json("list", *options)]


@pytest.mark.parametrize(
    "options",
    [
        ["--user", "u/1"],
        ["--user", ""],
        ["--user", "u" * 65],
        ["--since", ""],
        ["--since", "2h ago"],
        ["--since", "999999d"],
        ["--since", "2026-13-01"],
        ["--code", "a\nb"],
        ["--limit", "0"],
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(operator: Operator, options: list[str]) -> None:
    """By its name, and without a traceback."""
    assert options[0] in operator.misused("list", *options)


# On a terminal


def on_terminal(operator: Operator, answer: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command on a terminal, and type an answer; return its exit code, stdout and screen."""
    own, its = pty.openpty()
    with subprocess.Popen(
        [PYTHON, "-m", "app.operate", *arguments],
        env={"REDIS_URL": operator.url, "LOGNAME": "ops"},
        cwd=ROOT,
        stdin=its,
        stdout=subprocess.PIPE,
        stderr=its,
    ) as process:
        os.close(its)
        os.write(own, answer.encode())
        assert process.stdout
        stdout = process.stdout.read().decode()
        code = process.wait(30)
    screen = b""
    try:
        while read := os.read(own, 65_536):
            screen += read
    except OSError:  # so ends a terminal
        pass
    os.close(own)
    return code, stdout, screen.decode()


def test_a_terminal_shows_question_and_progress(operator: Operator) -> None:
    """No is the answer without a word; yes begins, and a bar is drawn beside the output."""
    operator.hold("e1")
    operator.hold("e2")

    code, stdout, screen = on_terminal(operator, "\n", *GIVE_UP)
    assert (1, "") == (code, stdout)
    assert "Let up to 2 held events fail, for good, and skip their tasks? [y/N]" in screen
    assert "Nothing was done: it was not confirmed." in screen
    assert ["unknown", "unknown"] == statuses(operator, "e1", "e2")

    code, stdout, screen = on_terminal(operator, "y\n", *GIVE_UP, "--json")
    done: list[dict[str, Any]] = json.loads(stdout)
    assert (0, ["e1", "e2"]) == (code, [record["event_id"] for record in done])
    assert "2/2" in screen
