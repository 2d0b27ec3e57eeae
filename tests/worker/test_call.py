"""One call: take, call, log, settle; and where its result is when one of these goes wrong."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from app.worker.spool import WRITE_SECONDS
from config.logging import PATIENCE_SECONDS as LINE_SECONDS
from tests.worker.faults import Stall, StoreFault
from tests.worker.workbench import PATIENCE_SECONDS, Workbench
from tools.stack.channel_io import Behaviour
from tools.stack.oracle import leaks_in
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client

ALL_STALLS = tuple(Stall)
# Line and spool together, beside the settle; the rest is a busy machine's.
MAX_SETTLE_SECONDS = LINE_SECONDS + WRITE_SECONDS + 1
# Between two tries of a result that is nowhere: each second one that takes two.
MAX_RETRY_SECONDS = 8


def everything_in(client: Client) -> str:
    """All keys and values, as text."""
    read: dict[str, Callable[[str], Any]] = {
        "hash": client.hgetall,
        "string": client.get,
        "zset": lambda key: client.zrange(key, 0, -1),
        "list": lambda key: client.lrange(key, 0, -1),
        "none": lambda _: None,  # gone since it was listed, such as the bell
    }
    return repr([(key, read[str(client.type(key))](key)) for key in client.scan_iter()])


def wait_for_create(bench: Workbench, user_id: str) -> str:
    """Return the id of the user's chat, once it was made."""
    wait_until(lambda: bench.chats_of(user_id), PATIENCE_SECONDS, "the chat")
    (chat_id,) = bench.chats_of(user_id)
    return chat_id


def test_a_grant_that_came_too_late_is_given_back(bench: Workbench) -> None:
    """More than half of the deadline was gone: nothing is sent, and no party is blamed."""
    bench.store.accept("e1", user_id="late")

    bench.start(after={"grant": [StoreFault.DELAY]}, CALL_DEADLINE_SECONDS="1")

    record = bench.wait_for("e1", "opened")
    assert "release" in bench.calls_from("grant")[1:3]
    assert (1, 1) == (record.attempts, len(bench.chats_of("late")))


def test_the_ids_are_logged_before_the_settle(bench: Workbench) -> None:
    """I4: whatever happens to the settle, the log has what Channel.io returned."""
    bench.store.accept("e1", user_id="logged")

    bench.start()

    chat = bench.wait_for("e1", "opened").chat
    bench.wait_for_call("settle")
    lines = [*bench.worker.lines("call"), *bench.worker.lines("store_call", name="settle")]
    call, settle = lines
    assert call["timestamp"] <= settle["timestamp"]
    assert chat is not None
    assert chat.session is not None
    assert chat.user_session is not None
    assert (chat.id, chat.session.id, chat.user_session.id) == tuple(
        call[name] for name in ("chat_id", "session_id", "user_session_id")
    )
    assert ("e1", 1, "created", 200) == tuple(
        call[name] for name in ("event_id", "attempt", "outcome", "upstream_status")
    )


def test_a_settlement_out_of_the_ordinary_is_logged(bench: Workbench) -> None:
    """It is not known whether there is a chat: a person may want to look."""
    bench.channel_io.plan(Behaviour.CREATE_THEN_CLOSE, user_id="doubtful")
    bench.store.accept("e1", user_id="doubtful")

    bench.start()

    bench.worker.wait_for_line("settled", event_id="e1", result="unknown")


def test_nothing_of_a_person_is_logged_or_stored(bench: Workbench) -> None:
    """Channel.io's answers name people; neither log, nor Redis, nor spool does."""
    behaviours = [Behaviour.REJECTED_422, Behaviour.CREATE, Behaviour.BROKEN_JSON_200]
    for behaviour in behaviours:
        bench.channel_io.plan(behaviour, user_id=behaviour)
        bench.store.accept(behaviour, user_id=behaviour)

    bench.start(
        before={"settle": [StoreFault.HANG] * 3}, WORKER_CONCURRENCY="3", CALL_DEADLINE_SECONDS="2"
    )
    wait_until(
        lambda: all(bench.worker.lines("call", event_id=name) for name in behaviours),
        PATIENCE_SECONDS,
        "a call of each",
    )
    bench.stop()

    written = [bench.log.read_text(), everything_in(bench.client), bench.spooled()]
    assert all(Behaviour.CREATE in text for text in written)
    assert [] == [leak for text in written for leak in leaks_in(text, [])]


# When the settle fails


def test_when_the_reply_to_a_settle_was_lost(bench: Workbench) -> None:
    """The result is kept, and settled again, which is once, before anything is taken."""
    bench.store.accept("e1", user_id="settled")
    bench.store.accept("e2", user_id="next")

    bench.start(after={"settle": [StoreFault.LOSE]})

    records = [bench.wait_for(event_id, "opened") for event_id in ("e1", "e2")]
    assert ["settle", "settle", "grant"] == bench.calls_from("settle")[:3]
    assert [1, 1] == [record.attempts for record in records]
    assert [1, 1] == [len(bench.chats_of(user_id)) for user_id in ("settled", "next")]
    assert "" == bench.spooled()


def test_a_fault_of_our_own_loses_no_result(bench: Workbench) -> None:
    """It is logged, the result is kept and settled, and the next event is worked on."""
    bench.store.accept("e1", user_id="broken")
    bench.store.accept("e2", user_id="other")

    bench.start(before={"settle": [StoreFault.BREAK]})

    records = [bench.wait_for(event_id, "opened") for event_id in ("e1", "e2")]
    assert [1, 1] == [record.attempts for record in records]
    assert ["e1"] == [line["event_id"] for line in bench.worker.lines("call_failed")]


# When the log takes no line


def test_a_result_without_a_line_is_in_the_spool_before_it_is_settled(bench: Workbench) -> None:
    """I4: a process that is killed now leaves it to the next one."""
    bench.stall(Stall.LOG)
    bench.store.accept("e1", user_id="unlogged")
    bench.start(before={"settle": [StoreFault.HANG]})
    chat_id = wait_for_create(bench, "unlogged")

    wait_until(lambda: chat_id in bench.spooled(), PATIENCE_SECONDS, "the result in the spool")
    assert "calling" == bench.store.record("e1").status
    bench.kill()
    bench.mend(Stall.LOG)
    bench.start()

    record = bench.wait_for("e1", "opened")
    assert (1, chat_id) == (record.attempts, record.chat.id if record.chat else None)
    bench.worker.wait_for_line("call", event_id="e1", chat_id=chat_id)
    wait_until(lambda: not bench.spooled(), PATIENCE_SECONDS, "the file to go")


@pytest.mark.parametrize("stalls", [(Stall.LOG,), (Stall.LOG, Stall.DISK)])
def test_line_and_spool_hold_up_a_settle_for_two_seconds(
    bench: Workbench, stalls: tuple[Stall, ...]
) -> None:
    """Then Redis is the durable place; and no file stays once the disk responds."""
    bench.start()
    bench.wait_for_call("wait_for_event")
    bench.stall(*stalls)
    bench.store.accept("e1", user_id="slow")
    wait_for_create(bench, "slow")
    created_at = time.monotonic()

    bench.wait_for("e1", "opened")

    seconds = time.monotonic() - created_at
    assert LINE_SECONDS / 2 < seconds < MAX_SETTLE_SECONDS
    bench.mend(*stalls)
    wait_until(lambda: not [*bench.spool.iterdir()], PATIENCE_SECONDS, "the file to go")
    assert 0 == bench.stop().code


def test_lines_that_the_log_does_not_take_hold_up_no_other_event(bench: Workbench) -> None:
    """Each waits by itself, and what the spool has is settled without waiting for the log."""
    bench.stall(Stall.LOG, Stall.REDIS)
    bench.start(WORKER_CONCURRENCY="20", CALL_DEADLINE_SECONDS="30")
    for number in range(20):
        bench.store.accept(f"e{number}", user_id=f"u{number}")
    bench.mend(Stall.REDIS)
    began = time.monotonic()

    for number in range(20):
        bench.wait_for(f"e{number}", "opened")

    assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_a_log_level_without_calls_loses_no_result(bench: Workbench) -> None:
    """I4: what no line has is in the spool before it is settled, and goes after."""
    bench.store.accept("e1", user_id="unwritten")
    bench.start(before={"settle": [StoreFault.HANG]}, LOG_LEVEL="WARNING")
    chat_id = wait_for_create(bench, "unwritten")
    wait_until(lambda: chat_id in bench.spooled(), PATIENCE_SECONDS, "the result in the spool")
    bench.kill()

    bench.start_ordinary(LOG_LEVEL="WARNING")

    assert 1 == bench.wait_for("e1", "opened").attempts
    wait_until(lambda: not bench.spooled(), PATIENCE_SECONDS, "the file to go")
    assert 0 == bench.stop().code
    assert "" == "".join(line for line in bench.log.read_text().splitlines() if "call" in line)


# When nothing takes a result


@pytest.fixture
def unsaved(bench: Workbench) -> Workbench:
    """A worker with a result that is in none of log, spool and Redis, and another event."""
    bench.start(CALL_DEADLINE_SECONDS="60", WORKER_CONCURRENCY="4")
    bench.channel_io.plan(Behaviour.CREATE_THEN_WAIT, user_id="unsaved")
    bench.store.accept("e1", user_id="unsaved")
    bench.channel_io.wait_for_arrivals()
    bench.stall(*ALL_STALLS)
    bench.channel_io.release()
    bench.worker.wait_for_line("answer_not_spooled", event_id="e1")
    bench.worker.wait_for_line("redis_unavailable")
    return bench


@pytest.mark.parametrize("place", ALL_STALLS)
def test_nothing_is_taken_while_a_result_is_unsaved(unsaved: Workbench, place: Stall) -> None:
    """It is tried in all three places, and as soon as one has it, the worker works on."""
    bench = unsaved
    calls = len(bench.calls)
    bench.store.accept("e2", user_id="next")
    tries = len(bench.tries("settle"))
    wait_until(lambda: len(bench.tries("settle")) > tries + 3, PATIENCE_SECONDS, "more tries")
    assert calls == len(bench.calls)

    bench.mend(place)
    if place is Stall.LOG:
        wait_until(lambda: bench.worker.lines("call", event_id="e1"), MAX_RETRY_SECONDS, "the line")
    elif place is Stall.DISK:
        wait_until(bench.spooled, MAX_RETRY_SECONDS, "the result in the spool")
    bench.mend(*(stall for stall in ALL_STALLS if stall is not place))

    records = [bench.wait_for(event_id, "opened") for event_id in ("e1", "e2")]
    assert [1, 1] == [record.attempts for record in records]
    assert [1, 1] == [len(bench.chats_of(user_id)) for user_id in ("unsaved", "next")]


def test_an_unsaved_result_is_written_at_the_end(unsaved: Workbench) -> None:
    """The disk responds again before the stop; the next worker settles what it has."""
    bench = unsaved
    bench.mend(Stall.DISK)

    assert 0 == bench.stop().code
    assert bench.chats_of("unsaved")[0] in bench.spooled()
    bench.mend(Stall.LOG, Stall.REDIS)
    bench.start_ordinary()

    assert 1 == bench.wait_for("e1", "opened").attempts


def test_a_stop_does_not_wait_for_a_disk_that_hangs(unsaved: Workbench) -> None:
    """All there is to do was done."""
    end = unsaved.stop()

    assert 0 == end.code
    assert end.seconds < PATIENCE_SECONDS / 3
