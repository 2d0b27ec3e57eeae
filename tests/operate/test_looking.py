"""Tests of ``status``, ``list`` and ``explain``."""

import subprocess
from datetime import datetime
from typing import Any

import pytest

from app.chats.grant import TakeResult
from app.store.operations import PAGE
from tests.operate.operator import Operator
from tools.model.outcomes import CREATED, DENIED, NOT_SENT, THROTTLED, created
from tools.model.store_driver import HOUR_MS, TTL_SECONDS, UNREADABLE
from tools.stack.processes import free_port
from tools.stack.valkey import Valkey


def test_help_cuts_no_command_short(operator: Operator) -> None:
    """Each command's line fits into 80 columns."""
    result = operator.run("--help")

    assert " status " in result.output
    assert "..." not in result.output.partition("Commands:")[2]


def test_a_filtered_list_without_events_names_its_filter(operator: Operator) -> None:
    """Other events may be in that state."""
    operator.hold("e1")

    result = operator.run("list", "--user", "another")

    assert "No event that matches is unknown.\n" == result.stdout


def test_status_counts_events(operator: Operator) -> None:
    """``status`` counts events by state, as text and as JSON."""
    operator.fail("failed")
    operator.hold("held")
    operator.bench.granted("calling")
    operator.bench.accept("waiting")

    shown = operator.run("status").stdout
    stats = operator.json("status")

    assert "closed" in shown
    assert (1, 1, 1, 1) == tuple(stats[name] for name in ("waiting", "calling", "held", "failed"))
    assert ("closed", None, 0) == tuple(
        stats[name] for name in ("breaker", "breaker_reason", "paused_seconds")
    )


def test_status_explains_why_nothing_is_called(operator: Operator) -> None:
    """The breaker with its reason, and the pause."""
    operator.end("e1", THROTTLED)
    operator.bench.set_gate(pause_until=operator.bench.now_ms() + 60_000, state="open")
    operator.bench.set_gate(reason="credentials")

    stats = operator.json("status")

    assert ("open", "credentials") == (stats["breaker"], stats["breaker_reason"])
    assert 55 < stats["paused_seconds"] <= 60
    assert "open (credentials)" in operator.run("status").stdout


def test_an_impossible_pause_is_clamped(operator: Operator) -> None:
    """As the gate itself, which pulls it in."""
    operator.bench.set_gate(pause_until=operator.bench.now_ms() + HOUR_MS)

    assert operator.json("status")["paused_seconds"] <= 120


def test_status_has_the_wait_of_the_first_event(operator: Operator) -> None:
    """Since it was accepted; and not for less than nothing, whatever a clock was set to."""
    operator.bench.accept("e1")

    waited = []
    for accepted_ms in (operator.bench.now_ms() - HOUR_MS, operator.bench.now_ms() + HOUR_MS):
        operator.bench.set_fields(accepted_ms=accepted_ms)
        waited.append(operator.json("status")["oldest_waiting_seconds"])

    assert [3600, 0] == [round(seconds, -1) for seconds in waited]


def test_status_counts_nothing_that_is_gone(operator: Operator) -> None:
    """Neither a failed event whose record has ended, nor an entry of the queue without a record."""
    operator.fail("e1")
    operator.forget("e1")
    operator.bench.client.zadd(operator.bench.key("due"), {"e2": 1})

    stats = operator.json("status")

    assert (0, 0) == (stats["failed"], stats["oldest_waiting_seconds"])


def test_an_event_waits_since_it_was_tried_again(operator: Operator) -> None:
    """An old event that was redriven just now has not waited for as long as it is old."""
    operator.fail("e1")
    operator.bench.set_fields(accepted_ms=operator.bench.now_ms() - HOUR_MS)
    operator.run("redrive", "e1")

    assert operator.json("status")["oldest_waiting_seconds"] < 60


def test_status_counts_workers(operator: Operator) -> None:
    """Workers with a take within 15 s; ``status`` reports it if there is none."""
    operator.worker().take("another")
    operator.bench.accept("e1")
    workers = operator.json("status")["workers"]

    operator.bench.client.unlink(operator.bench.key("workers"))

    assert workers > 1
    assert 0 == operator.json("status")["workers"]
    assert "none took within 15 s: nothing is called" in operator.run("status").stdout
    assert "no worker took anything" in operator.run("explain", "e1").stdout


def test_a_failing_probe_is_shown(operator: Operator) -> None:
    """Of an address that is new, while the breaker is closed: since when, and why."""
    operator.bench.accept("e1")
    before = operator.bench.now_ms() // 1000
    worker = operator.worker(way="way-2")
    for problem in ("the name is not known", "answered 503"):
        operator.bench.set_gate(**{"probe_until:way-2": 1})
        assert isinstance(worker.take("token"), TakeResult)
        assert "blocked" == worker.report_probe("token", problem=problem)

    (probe,) = operator.json("status")["failing_probes"]

    assert "answered 503" == probe["problem"]
    assert before <= datetime.fromisoformat(probe["since"]).timestamp()
    assert "answered 503" in operator.run("status").stdout
    assert "A probe fails since" in operator.run("explain", "e1").stdout
    assert "closed" == operator.json("status")["breaker"]


def test_status_reports_that_only_denied_events_wait(operator: Operator) -> None:
    """And since when: one key or address is wrong, or all their users are."""
    operator.end("e1", DENIED)
    only_denied = operator.json("status")["denied_since"]
    text = operator.run("status").stdout
    operator.bench.accept("e2")

    assert only_denied is not None
    assert "all that wait, since" in text
    assert None is operator.json("status")["denied_since"]


def test_status_counts_stale_answers(operator: Operator) -> None:
    """An answer to an earlier life of its id changed nothing, and is not passed over in silence."""
    grant = operator.bench.granted("e1")
    operator.bench.client.unlink(operator.bench.keys.event("e1"), operator.bench.key("calling"))
    operator.bench.accept("e1", user_id="another")
    # Perhaps it was accepted in the same millisecond.
    operator.bench.set_fields("e1", accepted_ms=grant.life_ms + 1)

    assert 0 == operator.json("status")["stale_answers"]
    operator.bench.worker().settle(grant, CREATED)

    assert 1 == operator.json("status")["stale_answers"]
    assert "stale answers" in operator.run("status").stdout


@pytest.mark.parametrize("command", [["status"], ["list"], ["list", "--status", "failed"]])
def test_an_unused_prefix_is_reported(operator: Operator, command: list[str]) -> None:
    """A wrong KEY_PREFIX looks like one; after the first event, or worker, it is one."""
    sentence = "Nothing was ever stored under this prefix: see KEY_PREFIX.\n"
    used = operator.run(*command)
    operator.bench.client.flushall()
    unused = operator.run(*command, "--json")
    is_used = operator.json("status")["is_used"]
    operator.bench.accept("e1")

    assert (0, "") == (used.exit_code, used.stderr)
    assert (0, sentence, False) == (unused.exit_code, unused.stderr, is_used)
    assert "" == operator.run(*command).stderr
    assert operator.json("status")["is_used"]


def test_ended_entries_are_not_counted(operator: Operator) -> None:
    """Also behind one that is kept for longer: the printed state is the stored one."""
    operator.fail("longest")
    later_ms = operator.bench.now_ms() + 2 * HOUR_MS
    operator.bench.move("failed", "longest", later_ms)
    for number in range(10):
        operator.fail(f"e{number}")
        operator.forget(f"e{number}")

    assert 1 == operator.json("status")["failed"]
    assert ["longest"] == [
        record["event_id"] for record in operator.json("list", "--status", "failed")
    ]


def test_a_forbidden_command_is_not_an_outage(operator: Operator) -> None:
    """It is shown in its own words."""
    client = operator.bench.client
    client.execute_command("ACL", "SETUSER", "bound", "on", ">pw", "~*", "&*", "+@all", "-hgetall")
    with Operator.connected_to(operator.url.replace("redis://", "redis://bound:pw@")) as bound:
        result = bound.run("status")
    client.execute_command("ACL", "DELUSER", "bound")

    assert (3, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Redis refused: ")
    assert "hgetall" in line.lower()


def test_held_events_are_listed_first_come_first(operator: Operator) -> None:
    """The records are the HTTP contract's."""
    operator.hold("e1", metadata={"order": "7731"})
    operator.hold("e2")

    listed = operator.json("list")

    assert [operator.document("e1"), operator.document("e2")] == listed
    assert [listed[0]] == operator.json("list", "--limit", "1")


@pytest.mark.parametrize("status", ["accepted", "calling", "unknown", "failed"])
def test_every_status_but_opened_is_listed(operator: Operator, status: str) -> None:
    """Only the events that have it."""
    operator.end("opened", CREATED)
    operator.fail("failed")
    operator.hold("unknown")
    operator.bench.granted("calling")
    operator.bench.accept("accepted")

    listed = operator.json("list", "--status", status)

    assert [(status, status)] == [(record["event_id"], record["status"]) for record in listed]
    assert status in operator.run("list", "--status", status).stdout


def test_opened_events_are_not_listed(operator: Operator) -> None:
    """Opened events are found over HTTP; the command names the statuses that it lists."""
    assert "'opened' is not one of" in operator.misused("list", "--status", "opened")


@pytest.mark.parametrize("event_id", ["", " ", "a b", "../e1", "x" * 129, "\udcff", "박"])
@pytest.mark.parametrize("command", ["explain", "cancel", "redrive"])
def test_an_impossible_event_id_is_refused(operator: Operator, command: str, event_id: str) -> None:
    """Before anything is sent to Redis, which some could not be."""
    assert "an event id is 1 to 128 of" in operator.misused(command, event_id)


def test_an_empty_list_is_a_sentence(operator: Operator) -> None:
    """It is no failure: there is nothing to do."""
    result = operator.run("list")

    assert (0, "No event is unknown.\n", "") == (result.exit_code, result.stdout, result.stderr)
    assert [] == operator.json("list")


def test_a_limited_list_is_marked(operator: Operator) -> None:
    """There may be more."""
    operator.hold("e1")
    operator.hold("e2")

    assert "--limit" in operator.run("list", "--limit", "1").stderr
    assert "" == operator.run("list", "--limit", "3").stderr


def test_records_that_are_gone_hide_no_others(operator: Operator) -> None:
    """A failed event's record ends by itself, however many have ended; its entry is dropped."""
    for number in range(3):
        operator.fail(f"gone-{number}")
    operator.fail("kept")
    for number in range(3):
        operator.forget(f"gone-{number}")

    listed = operator.json("list", "--status", "failed", "--limit", "1")

    assert ["kept"] == [record["event_id"] for record in listed]
    assert 1 == operator.json("status")["failed"]


def test_an_id_that_was_posted_anew_is_not_listed_as_failed(operator: Operator) -> None:
    """Its record ended, and the same id now waits for its call."""
    operator.fail("first")
    operator.fail("e1")
    operator.forget("e1")
    operator.bench.accept("e1")

    listed = operator.json("list", "--status", "failed")

    assert ["first"] == [record["event_id"] for record in listed]
    operator.bench.client.zrem(operator.bench.key("failed"), "e1")


def test_more_than_a_page_is_listed(operator: Operator) -> None:
    """In one order, each once."""
    names = [f"e{number}" for number in range(PAGE + 100)]
    for name in names:
        operator.bench.accept(name)

    listed = operator.json("list", "--status", "accepted", "--limit", "2000")

    assert sorted(names) == sorted(record["event_id"] for record in listed)


def test_a_record_of_a_newer_release_hides_no_others(operator: Operator) -> None:
    """It is named, and passed over."""
    operator.hold("newer")
    operator.hold("e1")
    operator.bench.set_fields("newer", v=4)

    result = operator.run("list")

    assert (0, 2) == (result.exit_code, len(result.stdout.splitlines()))
    assert "passed over: a newer release of the relay wrote newer\n" == result.stderr


def test_explain_describes_a_held_event(operator: Operator) -> None:
    """``explain`` prints the history and the three possible decisions."""
    grant = operator.hold("e1")

    shown = operator.run("explain", "e1").stdout

    for stats in ("not known", "no_answer", "--chat-id", "--recreate", "--give-up", "accepted"):
        assert stats in shown
    assert operator.document() == operator.json("explain", "e1")["record"]
    ((entry),) = operator.history()
    token = grant.token[:8]
    assert {"what": "no_answer", "attempt": 1, "times": 1, "token": f"{token}…"} == entry
    assert f"token {token}…" in shown
    assert f"its life {grant.life_ms}" in shown
    assert grant.token not in shown


@pytest.mark.parametrize("event_id", ["--all-held", "-x1", "--help", "~root", "e1"])
@pytest.mark.parametrize("decision", ["--recreate", "--give-up"])
def test_advice_of_explain_can_be_pasted(operator: Operator, event_id: str, decision: str) -> None:
    """Callers choose the ids, and none of them decides about another event."""
    operator.hold(event_id)
    operator.hold("another")

    done = operator.run(*advised(operator, event_id, f"resolve {decision}"))

    assert (0, "unknown") == (done.exit_code, operator.document("another")["status"])
    assert "unknown" != operator.document(event_id)["status"]


def test_to_try_again_can_be_pasted_too(operator: Operator) -> None:
    """Whatever the id."""
    operator.fail("--all-failed")

    assert 0 == operator.run(*advised(operator, "--all-failed", "redrive")).exit_code


def advised(operator: Operator, event_id: str, command: str) -> list[str]:
    """The arguments of the advice that starts with ``command``, as a shell makes them of it."""
    shown = operator.run("explain", "--", event_id).stdout.splitlines()
    (line,) = (line for line in shown if line.startswith(f"  python -m app.operate {command}"))
    advice = line.strip().partition("   ")[0]
    printed = subprocess.check_output(["/bin/sh", "-c", f"printf '%s\\n' {advice}"], text=True)
    return printed.splitlines()[3:]


def test_explain_has_the_place_in_line(operator: Operator) -> None:
    """Its place, from when on it may be called, and what keeps all of them."""
    operator.bench.accept("e1")
    operator.bench.accept("e2")
    operator.bench.set_gate(state="open", reason="no_answer")

    shown = operator.run("explain", "e2").stdout
    stats = operator.json("explain", "e2")

    assert "In line before it: 1." in shown
    assert "the breaker is open (no_answer)" in shown
    assert (1, operator.document("e2")) == (stats["ahead"], stats["record"])
    assert stats["next_look"] >= operator.document("e2")["accepted_at"]


def test_explain_has_the_end_of_the_lease(operator: Operator) -> None:
    """An event that is being called needs no operator."""
    operator.bench.granted("e1")

    stats = operator.json("explain", "e1")

    assert "becomes unknown at" in operator.run("explain", "e1").stdout
    assert stats["next_look"] > stats["record"]["accepted_at"]
    assert stats["ahead"] is None


def test_explain_describes_an_opened_event(operator: Operator) -> None:
    """Its chat, and those that were made besides."""
    grant = operator.end("e1", created("chat-1"))
    operator.settle(grant, created("chat-2"))

    shown = operator.run("explain", "e1").stdout

    assert "Its chat is chat-1." in shown
    assert "chat-2 was made for it too." in shown
    assert operator.json("explain", "e1")["next_look"] is None


def test_explain_describes_a_failed_event(operator: Operator) -> None:
    """Only without a possible chat."""
    operator.fail("refused")
    operator.hold("abandoned")
    operator.decide("abandoned", "--give-up")

    assert "redrive refused" in operator.run("explain", "refused").stdout
    assert "is not tried again" in operator.run("explain", "abandoned").stdout
    assert "redrive" not in operator.run("explain", "abandoned").stdout


def test_repeats_of_a_harmless_kind_are_counted(operator: Operator) -> None:
    """Nothing could be sent for a while."""
    operator.end("e1", NOT_SENT)
    for _ in range(2):
        operator.bench.make_due("e1")
        operator.settle(operator.bench.grant(operator.worker()), NOT_SENT)

    assert [{"what": "not_sent", "attempt": 3, "times": 3}] == operator.history()
    assert "3 times in a row" in operator.run("explain", "e1").stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_missing_event_is_reported(operator: Operator, options: list[str]) -> None:
    """It may never have been there, or its time is over."""
    assert "no event e9 is kept." == operator.refused("explain", "e9", *options)


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_another_releases_record_is_not_explained(
    operator: Operator, content: dict[str, Any] | str
) -> None:
    """It would be a guess."""
    operator.hold("e1")
    operator.bench.make_unreadable(content)

    assert "a newer release" in operator.refused("explain", "e1")


def test_status_counts_records_of_another_release(operator: Operator) -> None:
    """Those that a worker met in its way; one that is read, or gone, is counted no more."""
    names = ["read", "gone", *UNREADABLE]
    for name in names:
        operator.bench.accept(name)
        operator.bench.make_unreadable(UNREADABLE.get(name, {"v": 4}), name)
    unmet = operator.json("status")["unreadable"]

    operator.bench.take()
    met = operator.json("status")["unreadable"]
    text = operator.run("status").stdout
    operator.bench.set_fields("read", v=2)
    operator.bench.client.delete(operator.bench.keys.event("gone"))
    operator.bench.client.zrem(operator.bench.key("due"), "gone")

    assert (0, len(names)) == (unmet, met)
    assert f"unreadable      {len(names)}, written by another release" in text
    assert len(UNREADABLE) == operator.json("status")["unreadable"]
    operator.bench.client.zrem(operator.bench.key("due"), *UNREADABLE)
    assert 0 == operator.json("status")["unreadable"]


@pytest.mark.parametrize(
    ("command", "is_changing"),
    [
        (("status",), False),
        (("list",), False),
        (("explain", "e1"), False),
        (("resolve", "e1", "--recreate"), True),
        (("resolve", "--all-held", "--give-up"), True),
        (("redrive", "e1"), True),
        (("resolve", "e1", "--chat-id", "found", "--yes"), True),
        (("cancel", "e1"), True),
        (("pause",), True),
        (("resume",), True),
        (("forget", "--user", "u1", "--yes"), True),
        (("redrive", "--all-failed", "--code", "rejected"), True),
    ],
)
def test_without_redis_there_is_one_line(command: tuple[str, ...], *, is_changing: bool) -> None:
    """Exit code 3. It is unknown whether a change was made."""
    with Operator.connected_to(f"redis://127.0.0.1:{free_port()}/0") as operator:
        result = operator.run(*command)

    assert (3, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Redis did not answer: ")
    assert is_changing == ("It may have been done or not" in line)


@pytest.mark.parametrize("command", ["status", "list", "explain e1", "resolve e1 --recreate"])
def test_a_refusal_of_redis_is_reported(valkey: Valkey, command: str) -> None:
    """In its own words: a wrong password is no Redis that is away."""
    with Operator.connected_to(f"redis://nobody:geheim@127.0.0.1:{valkey.port}/0") as operator:
        result = operator.run(*command.split())

    assert (3, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Redis refused: ")
    assert "WRONGPASS invalid username-password pair" in line
    assert "geheim" not in line


def test_settled_at_and_expiry_end_the_time_line(operator: Operator) -> None:
    """Until when the record is kept is how long a repeat is known as one."""
    operator.fail("e1")

    last = operator.run("explain", "e1").stdout

    assert "failed; kept until" in last
    assert 0 < operator.bench.ttl_ms("event:e1") <= TTL_SECONDS * 1000
