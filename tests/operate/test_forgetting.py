"""``forget``: a person is removed for good, and no late answer brings anything back."""

import json
import re
from typing import Any

import pytest

from app.chats.outcome import Outcome
from app.store.keys import Keys, Person
from app.store.operations import PAGE
from app.store.scripts import Scripts
from tests.operate.operator import Operator
from tools.model.outcomes import DENIED, OUTCOMES, created
from tools.model.store_driver import TTL_SECONDS, event_of

WHO = ("--user", "u1")
FORGET = ("forget", *WHO, "--yes")


def scatter(operator: Operator) -> list[str]:
    """Have an event of the person in each status, and another's beside each."""
    for user in ("u1", "u2"):
        operator.end(f"{user}-opened", created(f"chat-of-{user}"), user_id=user)
        operator.fail(f"{user}-failed", user_id=user)
        operator.hold(f"{user}-held", user_id=user)
    for user in ("u1", "u2"):
        operator.bench.accept(f"{user}-waiting", user_id=user)
    return [f"u1-{status}" for status in ("opened", "failed", "held", "waiting")]


def keys_with(operator: Operator, text: str) -> list[str]:
    """The keys that have ``text`` in their name or their content, marks of the removal aside."""
    client, found = operator.bench.client, []
    whole = re.compile(rf"(?<![\w-]){re.escape(text)}(?!\w)")  # not within a random token
    for key in map(str, client.keys("*")):
        kind = client.type(key)
        content: Any = ""
        if kind == "string":
            content = client.get(key)
        elif kind == "zset":
            content = client.zrange(key, 0, -1)
        if whole.search(f"{key} {content}"):
            found.append(key)
    # Random tokens, and marks that name an id for the window, are nothing of a person.
    return [
        key for key in found if key.split(":")[1] not in {"forgotten", "taken", "workers", "gate"}
    ]


def test_a_person_is_removed(operator: Operator) -> None:
    """Records, look-ups, the backlog's events; and nothing of another user."""
    names = scatter(operator)
    others = [operator.bench.text(name.replace("u1", "u2")) for name in names]

    removed = operator.json(*FORGET)

    assert {"opened": 1, "failed": 1, "unknown": 1, "accepted": 1} == removed["removed"]
    assert "logs" in removed["not_reached"][0]
    assert "SPOOL_DIR" in removed["not_reached"][1]
    assert [] == keys_with(operator, "u1")
    assert others == [operator.bench.text(name.replace("u1", "u2")) for name in names]
    intake = operator.bench.intake()
    assert [None] * 4 == [intake.find(name) for name in names]
    assert None is intake.event_of_chat("chat-of-u1")
    assert ([], False) == intake.chats_of_user("u1", limit=10)
    assert "chat-of-u2" == operator.document("u2-opened")["chat"]["id"]
    assert "an operator removed it." in operator.refused("explain", "u1-held")


def test_the_mark_ends_with_the_window(operator: Operator) -> None:
    """It names the life and the command, and of the person nothing."""
    operator.hold("e1")
    life_ms = operator.bench.fields()["accepted_ms"]

    operator.json(*FORGET)

    mark = operator.bench.client.get(operator.bench.key("forgotten:e1"))
    assert mark is not None
    assert str(life_ms) == str(mark).split(" ")[0]
    left_ms = operator.bench.ttl_ms("forgotten:e1")
    assert TTL_SECONDS * 1000 - 60_000 < left_ms <= TTL_SECONDS * 1000


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
@pytest.mark.parametrize("ms_earlier", [0, 5])
def test_a_late_answer_changes_nothing(
    operator: Operator, outcome: Outcome, ms_earlier: int
) -> None:
    """Be it of a spool; or of an acceptance that Redis lost before this one."""
    grant = operator.hold("e1")
    operator.json(*FORGET)
    grant.stored_fields["accepted_ms"] -= ms_earlier

    assert "stale" == operator.settle(grant, outcome).effect

    assert [] == keys_with(operator, "u1")
    assert [] == keys_with(operator, "chat-1")


def test_a_forgotten_id_may_be_posted_again(operator: Operator) -> None:
    """It is a new life, which an answer to the old one does not touch."""
    grant = operator.hold("e1")
    operator.json(*FORGET)
    _, is_new = operator.bench.intake().accept(event_of("e1", user_id="u2"))
    before = operator.bench.text()

    assert is_new
    assert "stale" == operator.settle(grant, created("late")).effect
    assert before == operator.bench.text()


def test_an_answer_to_a_new_life_counts_although_the_clock_went_back(operator: Operator) -> None:
    """The new life is earlier than the forgotten one, and yet another."""
    operator.hold("e1")
    life_ms = operator.bench.fields()["accepted_ms"]
    operator.json(*FORGET)
    operator.bench.accept("e1", user_id="u2")
    operator.bench.set_fields(accepted_ms=life_ms - 1000)

    assert "opened" == operator.settle(operator.bench.grant(operator.worker()), created("c")).effect


def test_while_a_call_is_under_way_nothing_is_removed(operator: Operator) -> None:
    """Its answer would come to nowhere."""
    names = scatter(operator)
    assert "u1-waiting" == operator.bench.grant(operator.worker()).event_id
    before = [operator.bench.text(name) for name in names]

    said = operator.refused(*FORGET)

    assert "a call for u1-waiting is under way: try again in a minute." == said
    assert before == [operator.bench.text(name) for name in names]


def test_records_of_a_newer_release_are_not_removed(operator: Operator) -> None:
    """It may be in places that this one does not know."""
    scatter(operator)
    operator.bench.set_fields("u1-opened", v=4)

    assert "a newer release of the relay wrote u1-opened" in operator.refused(*FORGET)
    assert None is not operator.bench.text("u1-held")
    operator.bench.set_fields("u1-opened", v=2)


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--yes"]])
def test_without_a_record_nothing_is_done(operator: Operator, options: list[str]) -> None:
    """And no question is put."""
    operator.hold("e1", user_id="u2")

    assert "no event of u1 is kept." == operator.refused("forget", *WHO, *options)


def test_it_is_for_good_so_it_needs_a_yes(operator: Operator) -> None:
    """A dry run counts, and removes nothing."""
    scatter(operator)

    shown = operator.run("forget", *WHO, "--dry-run")
    said = operator.misused("forget", *WHO)

    assert "Remove 4 events of u1, for good? There is no terminal to ask on: add --yes." == said
    assert shown.stdout.startswith("Would remove the events of u1: 1 accepted, 1 unknown, 1 failed")
    assert 0 == shown.exit_code
    assert None is not operator.bench.text("u1-held")


@pytest.mark.parametrize("arguments", [[], ["--user", ""], ["--user", "u 1"], ["u1"]])
def test_an_impossible_user_is_refused(operator: Operator, arguments: list[str]) -> None:
    """Before anything is read."""
    operator.misused("forget", *arguments)


def test_more_than_the_index_keeps_is_removed(operator: Operator) -> None:
    """Look-ups list the newest hundred; the records of the others are there too."""
    for number in range(105):
        operator.end(f"e{number}", created(f"chat-{number}"))
    operator.end("other", created("chat"), user_id="u10")

    removed = operator.json(*FORGET)

    assert {"opened": 105} == removed["removed"]
    assert [] == [key for key in keys_with(operator, "u1") if ":event:" in key]
    assert "opened" == operator.document("other")["status"]


def test_one_person_is_found_among_many(operator: Operator) -> None:
    """Behind more than a page of others."""
    for number in range(PAGE + 5):
        operator.bench.accept(f"a{number}", user_id="u2")
    operator.bench.accept("e1")

    assert {"accepted": 1} == operator.json(*FORGET)["removed"]

    assert PAGE + 5 == len(operator.bench.queue("due"))


def test_denied_events_are_removed_too(operator: Operator) -> None:
    """They wait, and their backoff goes with them."""
    operator.end("e1", DENIED)

    assert {"accepted": 1} == operator.json(*FORGET)["removed"]
    assert {} == operator.bench.queue("due")


@pytest.mark.parametrize("status", ["opened", "failed", "held", "waiting"])
def test_a_repeat_completes_a_stopped_script(operator: Operator, status: str) -> None:
    """The first write is the mark: the event is hidden, and still there."""
    scatter(operator)
    event_id = f"u1-{status}"
    life_ms = operator.bench.fields(event_id)["accepted_ms"]
    operator.bench.client.set(
        operator.bench.key(f"forgotten:{event_id}"), f"{life_ms} t", px=60_000
    )

    assert 3 == sum(operator.json(*FORGET)["removed"].values())

    assert [] == keys_with(operator, "u1")


@pytest.mark.parametrize("status", ["opened", "failed", "held", "waiting"])
def test_the_last_one_that_was_stopped_half_way_is_mended_too(
    operator: Operator, status: str
) -> None:
    """Here its record is gone already, or not yet."""
    for is_gone in (True, False):
        scatter(operator)
        event_id = f"u1-{status}"
        others = [name for name in scatter_names() if name != event_id]
        for name in others:
            remove(operator, name)
        life_ms = operator.bench.fields(event_id)["accepted_ms"]
        mark = operator.bench.key(f"forgotten:{event_id}")
        operator.bench.client.set(mark, f"{life_ms} t", px=60_000)
        if is_gone:
            operator.bench.client.unlink(
                operator.bench.keys.event(event_id), operator.bench.key("chat:chat-of-u1")
            )

        result = operator.run(*FORGET)

        assert result.exit_code == (1 if is_gone else 0), result.output
        assert [] == keys_with(operator, "u1")
        operator.bench.client.flushall()
        operator.bench.open_gate()


def scatter_names() -> list[str]:
    """The person's events."""
    return [f"u1-{status}" for status in ("opened", "failed", "held", "waiting")]


def remove(operator: Operator, event_id: str) -> None:
    """Remove one event as the command does."""
    result = operator.operations.forget(event_id, person=Person("user_id", "u1"), token="t")
    assert "forgotten" == result


def test_a_lost_reply_does_not_uncount(operator: Operator) -> None:
    """The repeat finds its own mark."""
    operator.hold("e1")
    operator.scripts.lost = 1

    assert "forgotten" == operator.operations.forget(
        "e1", person=Person("user_id", "u1"), token="t"
    )


def test_an_id_of_another_person_is_left_alone(operator: Operator) -> None:
    """The index had it of an earlier life; now the id is another user's event."""
    operator.end("e1", created("chat-1"))
    operator.bench.client.unlink(operator.bench.keys.event("e1"))
    operator.bench.accept("e1", user_id="u2")
    before = operator.bench.text()

    assert "no event of u1 is kept." == operator.refused(*FORGET)

    assert before == operator.bench.text()
    assert ["e1"] == list(operator.bench.queue("due"))


def test_without_a_right_to_scan_nothing_is_half_done(operator: Operator) -> None:
    """The command ends before its first write when the index may be incomplete."""
    for number in range(100):
        operator.end(f"e{number}", created(f"chat-{number}"))
    client = operator.bench.client
    client.execute_command("ACL", "SETUSER", "bound", "on", ">pw", "~*", "&*", "+@all", "-scan")
    url = operator.url.replace("redis://", "redis://bound:pw@")

    with Operator.connected_to(url) as bound:
        result = bound.run(*FORGET)

    assert (3, "") == (result.exit_code, result.stdout)
    assert "SCAN" in result.stderr
    assert None is not operator.bench.text("e0")
    client.execute_command("ACL", "DELUSER", "bound")


def test_another_relays_person_is_not_reached(operator: Operator) -> None:
    """Each prefix is a relay of its own."""
    operator.hold("e1")
    before = json.loads(str(operator.bench.text()))
    other = Scripts(operator.bench.client.relay, Keys("other"))

    assert [] == list(other.find_events(Person("user_id", "u1")))
    assert ["e1"] == list(operator.scripts.find_events(Person("user_id", "u1")))
    assert before == operator.bench.fields()
