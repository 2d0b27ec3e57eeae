"""Tasks in a worker: each is performed, logged, counted and settled, and its text stays private.

The text is distinctive, and is looked for in all that the worker writes, whatever fails.
"""

from pathlib import Path
from typing import Any

import pytest
import requests

from app.chats.grant import Task
from app.chats.outcome import Done
from app.chats.record import Record
from tests.scraped import samples
from tests.worker.conftest import OpenSpool, close
from tests.worker.faults import Stall, StoreFault
from tests.worker.results import TEXT, task_result_of
from tests.worker.test_call import everything_in
from tests.worker.workbench import PATIENCE_SECONDS, Workbench
from tools.stack.channel_io import Behaviour, Message, Operation
from tools.stack.processes import free_port, wait_until

FIRST = StoreFault.NONE
MESSAGE = {"text": TEXT, "bot_name": "Bell"}


def accept(bench: Workbench, user_id: str, event_id: str = "e1", **fields: Any) -> None:
    """Accept an event with a message, for that user."""
    bench.store.accept(event_id, **{"user_id": user_id, "message": MESSAGE, **fields})


def wait_for_complete(bench: Workbench, event_id: str = "e1") -> Record:
    """Return the record once nothing more will be done."""
    wait_until(lambda: bench.store.record(event_id).is_complete, PATIENCE_SECONDS, "complete")
    return bench.store.record(event_id)


def messages_of(bench: Workbench, user_id: str) -> list[Message]:
    """Return what was sent to the chats of a user."""
    chats = bench.chats_of(user_id)
    return [message for message in bench.channel_io.messages if message.chat_id in chats]


def task_lines(bench: Workbench, event_id: str = "e1") -> list[str]:
    """Return the tasks and outcomes of an event's calls, in order."""
    lines = bench.worker.lines("call", event_id=event_id)
    return [f"{line['task']} {line['outcome']}" for line in lines]


def assert_private(bench: Workbench, *, is_kept: bool = False) -> None:
    """Hold log, spool and Redis to the promise; Redis may have the text while it ``is_kept``."""
    files = [bench.log, *bench.spool.glob("*")]
    written = [path.read_text(errors="replace") for path in files]
    if not is_kept:
        written.append(everything_in(bench.client))
    assert not [text for text in written if TEXT.split(" ", maxsplit=1)[0] in text]


def test_each_task_is_performed_logged_counted_and_settled(bench: Workbench) -> None:
    """One grant for each, in their order; the metrics name the task, and no id."""
    port = free_port()
    member_id = "m/1-김"
    bench.channel_io.put_member(member_id, "user-of-m1")
    bench.store.accept("e1", member_id=member_id, message={**MESSAGE, "private": True}, open=True)

    bench.start_ordinary(METRICS_PORT=str(port))

    record = wait_for_complete(bench)
    (chat_id,) = bench.chats_of("user-of-m1")
    (message,) = messages_of(bench, "user-of-m1")
    assert (TEXT, True, "Bell") == (message.text, message.is_private, message.bot_name)
    assert ("user-of-m1", chat_id, "opened") == (
        record.user_id,
        record.chat and record.chat.id,
        bench.channel_io.state_of(chat_id),
    )
    tasks = record.tasks or {}
    assert {"message": ("done", 1, message.message_id), "open": ("done", 1, None)} == {
        name: (task.status, task.attempts, task.id) for name, task in tasks.items()
    }
    bench.worker.wait_for_line("call", task="open")
    lines = bench.worker.lines("call")
    assert ["resolve resolved", "create created", "message done", "open done"] == task_lines(bench)
    assert {member_id} == {line["member_id"] for line in lines}
    assert [None, *["user-of-m1"] * 3] == [line["user_id"] for line in lines]
    assert [1, 2, 3, 4] == [line["attempt"] for line in lines]
    assert message.message_id == lines[2]["message_id"]
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS).text
    for line in lines:
        name = f'relay_calls_total{{outcome="{line["outcome"]}",task="{line["task"]}"}}'
        assert 1 == samples(text)[name]
    assert not [word for word in (TEXT, member_id, "user-of-m1", "e1") if f'"{word}"' in text]
    assert_private(bench)


@pytest.mark.parametrize(
    ("operation", "behaviour", "outcome"),
    [
        (Operation.LIST_MESSAGES, Behaviour.GARBAGE, "message look_failed"),
        (Operation.LIST_MESSAGES, Behaviour.CREATE_THEN_TRUNCATE, "message look_failed"),
        (Operation.MESSAGE, Behaviour.THROTTLED, "message throttled"),
        (Operation.MESSAGE, Behaviour.UNAUTHORIZED, "message denied"),
        (Operation.MESSAGE, Behaviour.BROKEN_JSON_200, "message done"),
        (Operation.MESSAGE, Behaviour.REJECTED_422, "message refused"),
        (Operation.MESSAGE, Behaviour.CREATE_THEN_RESET, "message unknown"),
        (Operation.MESSAGE, Behaviour.HUGE_HEADERS, "message unknown"),
    ],
)
def test_no_answer_brings_the_text_into_a_log(
    bench: Workbench, operation: Operation, behaviour: Behaviour, outcome: str
) -> None:
    """Whatever the channel does, the worker writes ids and reasons of its own."""
    user_id = f"private-{operation}-{behaviour}"
    bench.channel_io.plan(behaviour, user_id=user_id, operation=operation)
    accept(bench, user_id)

    bench.start(LOG_LEVEL="DEBUG", CALL_DEADLINE_SECONDS="1")

    record = wait_for_complete(bench)
    assert ["create created", outcome] == task_lines(bench)[:2]
    is_refused = outcome == "message refused"
    message = (record.tasks or {})["message"]
    assert ("failed" if is_refused else "done") == message.status
    assert (0 if is_refused else 1) == len(messages_of(bench, user_id))
    assert_private(bench, is_kept=is_refused)  # an operator may redrive it


@pytest.mark.parametrize("fault", [StoreFault.LOSE, StoreFault.BREAK])
@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_a_message_whose_settle_fails_is_settled_from_the_spool(
    bench: Workbench, fault: StoreFault, *, is_before: bool
) -> None:
    """Redis is away, or our own code breaks: nothing is sent again, and no traceback quotes it."""
    user_id = f"unsettled-{fault.name}-{is_before}"
    accept(bench, user_id, open=True)
    faults = {"settle": [FIRST, fault]}

    bench.start(before=faults if is_before else None, after=None if is_before else faults)

    record = wait_for_complete(bench)
    (message,) = messages_of(bench, user_id)
    tasks = record.tasks or {}
    assert ("done", message.message_id, 1) == (
        tasks["message"].status,
        tasks["message"].id,
        tasks["message"].attempts,
    )
    assert ["create created", "message done", "open done"] == task_lines(bench)
    assert (fault is StoreFault.BREAK) == bool(bench.worker.lines("call_failed"))
    assert_private(bench)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [(Behaviour.CREATE, "done"), (Behaviour.CREATE_THEN_CLOSE, "unknown")],
)
def test_a_message_in_the_spool_is_settled_after_a_restart(
    bench: Workbench, behaviour: Behaviour, outcome: str
) -> None:
    """Without its text, which no file has; one in doubt is looked for, and found."""
    user_id = f"restarted-{outcome}"
    bench.channel_io.plan(behaviour, user_id=user_id, operation=Operation.MESSAGE)
    accept(bench, user_id)
    bench.start(
        before={"settle": [FIRST, StoreFault.LOSE, *[StoreFault.HANG] * 9]},
        CALL_DEADLINE_SECONDS="1",
    )
    wait_until(lambda: f'"kind":"{outcome}"' in bench.spooled(), PATIENCE_SECONDS, "the result")
    bench.kill()
    assert '"task":"message"' in bench.spooled()
    assert_private(bench, is_kept=True)
    (message,) = messages_of(bench, user_id)

    bench.start(CALL_DEADLINE_SECONDS="1")
    record = wait_for_complete(bench)

    task = (record.tasks or {})["message"]
    assert ("done", message.message_id, 1) == (task.status, task.id, task.attempts)
    assert [message] == messages_of(bench, user_id)
    wait_until(lambda: not bench.spooled(), PATIENCE_SECONDS, "the spool to be empty")
    assert_private(bench)


def test_a_message_that_nothing_has_taken_is_not_logged_with_its_text(bench: Workbench) -> None:
    """Log, disk and Redis are stalled; what is kept of it is written in the end, without it."""
    user_id = "stalled"
    bench.channel_io.plan(Behaviour.CREATE_THEN_WAIT, user_id=user_id, operation=Operation.MESSAGE)
    accept(bench, user_id)
    bench.start(CALL_DEADLINE_SECONDS="60")
    bench.channel_io.wait_for_arrivals()
    bench.stall(*Stall)
    bench.channel_io.release()
    bench.worker.wait_for_line("answer_not_spooled", event_id="e1")
    bench.mend(*Stall)

    record = wait_for_complete(bench)

    assert "done" == (record.tasks or {})["message"].status
    assert 1 == len(messages_of(bench, user_id))
    wait_until(lambda: not bench.spooled(), PATIENCE_SECONDS, "the spool to be empty")
    assert_private(bench)


def test_lines_of_a_newer_release_hold_up_nothing(bench: Workbench, open_spool: OpenSpool) -> None:
    """They are set aside for it, and reported; events are worked on, tasks and all."""
    leave_newer_line(bench.spool, open_spool)
    accept(bench, "beside-newer")

    bench.start()

    assert "done" == (wait_for_complete(bench).tasks or {})["message"].status
    bench.worker.wait_for_line("spool_line_unreadable", level="error")
    (aside,) = bench.spool.glob("*.unreadable")
    assert '"task":"translate"' in aside.read_text()
    assert 0 == bench.stop().code


def leave_newer_line(directory: Path, open_spool: OpenSpool) -> None:
    """Leave the file of a dead process with a result of a task that this release has not."""
    dead = open_spool(directory)
    dead.keep(task_result_of(Task.OPEN, Done(has_acted=True)))
    close(dead)
    (file,) = directory.glob("*.jsonl")
    file.write_text(file.read_text().replace('"task":"open"', '"task":"translate"'))
