"""Events that an operator ends before their call, and calls that he holds back."""

import pytest

from app.chats.grant import Grant, NoWork
from tests.operate.operator import NAME, Operator
from tools.model.outcomes import CREATED, DENIED, REFUSED, created
from tools.model.store_driver import UNREADABLE


def test_a_waiting_event_is_cancelled(operator: Operator) -> None:
    """It fails as abandoned, without a chat, and may be tried again."""
    operator.bench.accept("e1")

    record = operator.json("cancel", "e1", "--as", NAME)

    assert operator.document() == record
    assert ("failed", False, "abandoned") == (
        record["status"],
        record["created"],
        record["failure"]["code"],
    )
    assert [{"what": "cancelled", "attempt": 0, "times": 1, "by": NAME}] == operator.history()
    assert isinstance(operator.bench.take(operator.worker()), NoWork)
    assert "accepted" == operator.json("redrive", "e1")["status"]


def test_cancelled_after_consent_it_stays_unknown_whether_there_is_a_chat(
    operator: Operator,
) -> None:
    """An earlier call may have made one; and its late answer opens the event."""
    grant = operator.hold("e1")
    operator.decide("e1", "--recreate")

    assert None is operator.json("cancel", "e1")["created"]

    operator.settle(grant, created("late"))
    assert "opened" == operator.document()["status"]


@pytest.mark.parametrize("status", ["calling", "opened", "failed", "unknown"])
def test_only_a_waiting_event_is_cancelled(operator: Operator, status: str) -> None:
    """A grant that came first wins."""
    if status == "calling":
        operator.bench.granted("e1")
    elif status == "unknown":
        operator.hold("e1")
    else:
        operator.end("e1", CREATED if status == "opened" else REFUSED)
    before = operator.bench.text()

    said = operator.refused("cancel", "e1")

    assert f"e1 is {status}: only an event that waits for a call can be cancelled." == said
    assert before == operator.bench.text()


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_events_of_another_release_are_not_cancelled(
    operator: Operator, content: dict[str, object] | str
) -> None:
    """Its own command line knows what it means."""
    operator.hold("e1")
    before = operator.bench.make_unreadable(content)

    assert "a newer release" in operator.refused("cancel", "e1")
    assert before == operator.bench.text()


def test_an_event_that_is_not_kept_is_not_cancelled(operator: Operator) -> None:
    """No record is made for it."""
    assert "no event e9 is kept." == operator.refused("cancel", "e9")


def test_a_pause_holds_back_all_calls_until_it_is_ended(operator: Operator) -> None:
    """Events are accepted meanwhile, and both commands say who and what goes on."""
    said = operator.run("pause", "--as", NAME)
    operator.bench.accept("e1")

    assert (0, "") == (said.exit_code, said.stderr)
    assert "deadlines go on" in said.stdout
    assert isinstance(operator.bench.take(operator.worker()), NoWork)
    assert NAME == operator.json("status")["pause"]["by"]
    assert f"by {NAME} since" in operator.run("status").stdout
    assert "python -m app.operate resume" in operator.run("explain", "e1").stdout
    assert f"{NAME} has paused all calls already." == operator.refused("pause")

    assert 0 == operator.run("resume").exit_code
    assert isinstance(operator.bench.take(operator.worker()), Grant)
    assert None is operator.json("status")["pause"]
    assert "calls are not paused." == operator.refused("resume")


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_lost_reply_does_not_turn_a_pause_into_a_refusal(
    operator: Operator, command: str
) -> None:
    """The command is repeated, and finds that it was done."""
    if command == "resume":
        operator.run("pause")
    operator.scripts.lost = 1

    assert 0 == operator.run(command).exit_code
    assert (command == "pause") == (operator.json("status")["pause"] is not None)


def test_a_waiting_event_can_be_cancelled_as_advised(operator: Operator) -> None:
    """Also the event that opened the breaker: it can be cancelled."""
    for event_id in ("e1", "e2"):
        operator.end(event_id, DENIED)
        operator.bench.open_gate() if operator.bench.gate().get("state") != "open" else None

    shown = operator.run("explain", "e2").stdout

    assert "the breaker is open (credentials)" in shown
    assert "Channel.io denied its call 1 times since" in shown
    assert "nothing is to be done" not in shown.lower()
    assert "  python -m app.operate cancel e2   to let it fail before it is called" in shown
    assert 1 == operator.json("explain", "e2")["denials"]["times"]
    assert 0 == operator.run("cancel", "e2").exit_code
