"""A decision that races a settle: the first one counts, and no id replaces another."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from app.chats.errors import NothingDone
from app.chats.grant import Grant, NoWork, SettleResult
from app.chats.outcome import Done, Outcome, Resolved
from app.chats.record import Record
from app.store.keys import Person
from tests.operate.operator import NAME, Operator
from tools.model.outcomes import NOT_SENT, REFUSED, created

ROUNDS = 25
LATE = created("late")
MESSAGE = {"text": "hello", "bot_name": "Refunds"}
Deed = Callable[[Operator], object]

# What an operator may decide, and what is then published once the late answer has come as well.
DECISIONS = {
    "chat": (["--chat-id", "found"], "found", ["late"]),
    "recreate": (["--recreate"], "late", []),
    "give-up": (["--give-up"], "late", []),
}


@pytest.mark.parametrize(
    ("decision", "chat_id", "duplicates"), DECISIONS.values(), ids=DECISIONS.keys()
)
def test_a_late_answer_comes_after_the_decision(
    operator: Operator, decision: list[str], chat_id: str, duplicates: list[str]
) -> None:
    """A chat that the operator published stays; otherwise the answer's is published."""
    grant = operator.hold("e1")

    operator.decide("e1", *decision)
    operator.settle(grant, LATE)

    record = operator.document()
    assert ("opened", chat_id, duplicates) == (
        record["status"],
        record["chat"]["id"],
        record["duplicate_chat_ids"],
    )
    assert isinstance(operator.bench.take(operator.worker()), NoWork)


@pytest.mark.parametrize("decision", [decision for decision, *_ in DECISIONS.values()])
def test_a_late_answer_comes_before_the_decision(operator: Operator, decision: list[str]) -> None:
    """The decision is refused, and leaves no trace."""
    grant = operator.hold("e1")
    operator.settle(grant, LATE)
    before = operator.bench.fields()

    assert "e1 is opened, not held" in operator.refused("resolve", "e1", *decision)

    assert before == operator.bench.fields()


@pytest.mark.parametrize("is_late", [False, True])
def test_proof_that_nothing_was_done_may_come_late(operator: Operator, *, is_late: bool) -> None:
    """Before consent it makes the event callable without any; after it, it changes nothing."""
    grant = operator.hold("e1")

    if is_late:
        operator.decide("e1", "--recreate")
    operator.settle(grant, NOT_SENT)

    record = operator.document()
    assert ("accepted", None if is_late else False) == (record["status"], record["created"])
    assert "not held" in operator.refused("resolve", "e1", "--recreate")


def test_an_answer_to_a_later_attempt_comes_after_the_operators_chat(operator: Operator) -> None:
    """A first call is answered late, a second one by consent, and the operator was first."""
    first = operator.hold("e1")
    operator.decide("e1", "--recreate")
    second = operator.bench.grant(operator.worker())
    operator.bench.lose_worker("e1")
    operator.bench.take(operator.worker())

    operator.decide("e1", "--chat-id", "found")
    operator.settle(second, created("second"))
    operator.settle(first, created("first"))

    record = operator.document()
    assert ("found", ["second", "first"]) == (record["chat"]["id"], record["duplicate_chat_ids"])


@pytest.mark.parametrize("is_first", [True, False])
def test_a_redrive_races_a_late_answer(operator: Operator, *, is_first: bool) -> None:
    """A call that was refused answers for another one: its chat is published either way."""
    grant = operator.fail("e1")

    if is_first:
        operator.json("redrive", "e1")
    operator.settle(grant, LATE)

    assert ("opened", "late") == (operator.document()["status"], operator.document()["chat"]["id"])
    assert "e1 is opened" in operator.refused("redrive", "e1")
    assert isinstance(operator.bench.take(operator.worker()), NoWork)


@pytest.mark.parametrize("decision", ["chat", "recreate", "give_up"])
def test_at_the_same_time_one_id_is_published(operator: Operator, decision: str) -> None:
    """Many times, from threads: what one look-up answers, every later one answers."""
    grants = [operator.hold(f"e{number}") for number in range(ROUNDS)]
    wins = 0

    for grant in grants:
        deeds: list[Deed] = [
            partial(_settle, grant, created(f"late-{grant.event_id}")),
            partial(_decide, decision, grant),
        ]
        published = _publish_at_once(operator, grant, deeds)
        record = operator.bench.record(grant.event_id)
        assert record.chat
        assert published <= {record.chat.id}
        wins += "resolved" in operator.bench.history(grant.event_id)

    assert [] == list(operator.bench.queue("held"))
    assert 0 <= wins <= ROUNDS


@pytest.mark.parametrize("decision", ["chat", "recreate", "give_up"])
def test_one_of_two_operators_decides(operator: Operator, decision: str) -> None:
    """At the same time, from threads: the other one gets "nothing done"."""
    for grant in [operator.hold(f"e{number}") for number in range(ROUNDS)]:
        results = _at_once(operator, [partial(_decide, decision, grant)] * 2)

        assert {bool, Record} == {type(result) for result in results}
        assert 1 == operator.bench.history(grant.event_id).count("resolved")


def test_two_events_are_never_given_one_chat(operator: Operator) -> None:
    """At the same time, from threads: one is resolved, the other is refused."""
    for number in range(ROUNDS):
        names = [f"a{number}", f"b{number}"]
        for name in names:
            operator.hold(name)
        chat_id = f"found-{number}"

        _at_once(operator, [partial(_resolve_with, name, chat_id) for name in names])

        statuses = sorted(operator.bench.record(name).status for name in names)
        assert ["opened", "unknown"] == statuses
        owner = operator.bench.intake().event_of_chat(chat_id)
        assert owner is not None
        assert "opened" == owner.status


@pytest.mark.parametrize("proof", [REFUSED, NOT_SENT])
def test_consent_and_proof_together_are_one_call(operator: Operator, proof: Outcome) -> None:
    """Whichever is first, the event is called at most once more."""
    for number in range(ROUNDS):
        grant = operator.hold(f"e{number}")

        _at_once(operator, [partial(_settle, grant, proof), partial(_decide, "recreate", grant)])

        operator.bench.client.zadd(operator.bench.key("due"), {grant.event_id: 1}, xx=True)
        taken = operator.bench.take(operator.worker())
        if isinstance(taken, Grant):
            assert (grant.event_id, 2) == (taken.event_id, taken.attempt)
            operator.settle(taken, REFUSED)
        assert isinstance(operator.bench.take(operator.worker()), NoWork)


@pytest.mark.parametrize("is_member", [True, False])
def test_a_person_is_forgotten_while_a_worker_takes_the_message(
    operator: Operator, *, is_member: bool
) -> None:
    """At the same time, from threads: all of it is gone, or the worker has it and it stays."""
    for number in range(ROUNDS):
        event_id = f"e{number}"
        person = Person("member_id", f"m{number}") if is_member else Person("user_id", f"u{number}")
        operator.bench.accept(event_id, **{person.field: person.id}, message=MESSAGE)
        if is_member:
            operator.settle(operator.bench.grant(operator.worker()), Resolved(f"u{number}"))
        operator.settle(operator.bench.grant(operator.worker()), created(f"chat-{number}"))

        result, taken = _at_once(operator, [partial(_forget, event_id, person), _take])

        names = [f"event:{event_id}", f"text:{event_id}", f"chat:chat-{number}", f"user:u{number}"]
        names += [f"member:m{number}", f"member_chats:m{number}"]
        if isinstance(taken, Grant):
            assert ("calling", event_id) == (result, taken.event_id)
            operator.settle(taken, Done(has_acted=True, message_id="m-1"))
            assert operator.bench.record(event_id).is_complete
        else:
            left = operator.bench.client.exists(*map(operator.bench.key, names))
            assert ("forgotten", 0) == (result, left)


def test_a_cancel_races_a_take_of_the_message(operator: Operator) -> None:
    """At the same time, from threads: the message is cancelled, or the worker sends it."""
    for number in range(ROUNDS):
        event_id = f"e{number}"
        operator.bench.accept(event_id, message=MESSAGE)
        operator.settle(operator.bench.grant(operator.worker()), created(f"chat-{number}"))

        record, taken = _at_once(operator, [partial(_cancel, event_id), _take])

        assert isinstance(record, Record) != isinstance(taken, Grant)
        if isinstance(taken, Grant):
            operator.settle(taken, Done(has_acted=True, message_id="m-1"))


def test_one_redrive_of_a_message_is_one_more_send(operator: Operator) -> None:
    """At the same time, from threads: one operator redrives, the other gets "nothing done"."""
    for number in range(ROUNDS):
        event_id = f"e{number}"
        operator.bench.accept(event_id, message=MESSAGE)
        operator.settle(operator.bench.grant(operator.worker()), created(f"chat-{number}"))
        operator.json("cancel", event_id)

        results = _at_once(operator, [partial(_redrive, event_id)] * 2)

        assert {bool, Record} == {type(result) for result in results}
        assert 1 == operator.bench.history(event_id).count("redriven")
        operator.settle(operator.bench.grant(operator.worker()), Done(has_acted=True))
        assert isinstance(operator.bench.take(operator.worker()), NoWork)


def _take(operator: Operator) -> object:
    return operator.bench.take(operator.worker())


def _forget(event_id: str, person: Person, operator: Operator) -> str:
    return operator.operations.forget(event_id, person=person, token="t")


def _cancel(event_id: str, operator: Operator) -> Record | bool:
    try:
        return operator.operations.cancel(event_id, by=NAME)
    except NothingDone:
        return False


def _redrive(event_id: str, operator: Operator) -> Record | bool:
    try:
        return operator.operations.redrive(event_id, by=NAME)
    except NothingDone:
        return False


def _settle(grant: Grant, outcome: Outcome, operator: Operator) -> SettleResult:
    return operator.settle(grant, outcome)


def _decide(decision: str, grant: Grant, operator: Operator) -> Record | bool:
    """The record, or ``False`` where the decision came too late."""
    operations, event_id = operator.operations, grant.event_id
    try:
        if decision == "chat":
            return operations.resolve_with_chat(event_id, f"found-{event_id}", by=NAME)
        if decision == "recreate":
            return operations.recreate(event_id, by=NAME)
        return operations.give_up(event_id, by=NAME)
    except NothingDone:
        return False


def _resolve_with(event_id: str, chat_id: str, operator: Operator) -> Record | bool:
    try:
        return operator.operations.resolve_with_chat(event_id, chat_id, by=NAME)
    except NothingDone:
        return False


def _at_once(operator: Operator, deeds: Sequence[Deed]) -> list[object]:
    """Run each action at the same time as its own operator; return the results."""
    start = Barrier(len(deeds))

    def do(deed: Deed) -> object:
        with Operator.connected_to(operator.url) as another:
            start.wait(30)
            return deed(another)

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(do, deeds))


def _publish_at_once(operator: Operator, grant: Grant, deeds: Sequence[Deed]) -> set[str]:
    """Every chat id that a look-up answered with meanwhile."""

    def look_up(another: Operator) -> set[str]:
        records = [another.bench.record(grant.event_id) for _ in range(5)]
        return {record.chat.id for record in records if record.chat}

    *_, published = _at_once(operator, [*deeds, look_up])
    assert isinstance(published, set)
    return published
