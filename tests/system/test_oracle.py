"""The oracle finds each way in which a run can break the promise, and nothing in a good one."""

from dataclasses import replace

import pytest

from tools.stack.channel_io import PERSONAL, Create, Message, Open
from tools.stack.oracle import Json, Run, faults_of, has_ended, leaks_in

CREATE = Create("u1", "chat-1", 0.0)
ORPHAN = Create("u1", "chat-2", 0.0)
OPENED: Json = {
    "event_id": "e1",
    "user_id": "u1",
    "status": "opened",
    "created": True,
    "chat": {"id": "chat-1"},
    "possible_orphan": False,
    "duplicate_chat_ids": [],
}
CONSENTED = {**OPENED, "possible_orphan": True}
UNKNOWN = {**OPENED, "status": "unknown", "created": None, "chat": None}
FAILED = {**UNKNOWN, "status": "failed", "created": False}
GOOD = Run(creates=[CREATE], records={"e1": OPENED}, seen=[UNKNOWN, OPENED], received=["chat-1"])
MESSAGE = Message("chat-1", "m1", "hello", "r1", (), None, 0.0)
STRAY = replace(MESSAGE, chat_id="chat-2")
OPEN = Open("chat-1", "Relay", 0.0)
DONE: Json = {"status": "done"}
COMPLETE = {**OPENED, "tasks": {"message": DONE, "open": DONE}, "complete": True}
INCOMPLETE = {**COMPLETE, "complete": False}
DOUBTED = {**COMPLETE, "tasks": {"message": {"status": "failed"}}}
TASKS = replace(GOOD, records={"e1": COMPLETE}, messages=[MESSAGE], opens=[OPEN])


@pytest.mark.parametrize(
    "run",
    [
        GOOD,
        TASKS,
        replace(TASKS, opens=[]),
        replace(TASKS, messages=[MESSAGE] * 2, allowed_messages={"e1": 2}),
        replace(TASKS, opens=[OPEN] * 2, allowed_opens={"e1": 2}),
        replace(GOOD, records={"e1": DOUBTED}),
        replace(GOOD, records={"e1": DOUBTED}, messages=[MESSAGE]),
        Run(creates=[CREATE], records={"e1": {**UNKNOWN, "complete": False}}),
        replace(GOOD, creates=[CREATE, ORPHAN], records={"e1": CONSENTED}),
        replace(GOOD, creates=[CREATE, ORPHAN], records={"e1": CONSENTED}, spooled=["chat-2"]),
        replace(GOOD, records={"e1": UNKNOWN}, seen=[], spooled=["chat-1"]),
        Run(creates=[CREATE], records={"e1": UNKNOWN}),
        Run(creates=[], records={"e1": FAILED}),
    ],
)
def test_a_run_that_kept_the_promise_has_no_fault(run: Run) -> None:
    """Opened, held, failed, consented to, or still in the spool: all of it is allowed."""
    assert [] == faults_of(run)


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (replace(GOOD, records={"e1": None}, seen=[]), "is gone"),
        (replace(GOOD, records={"e1": {**OPENED, "status": "calling"}}), "is still calling"),
        (replace(GOOD, creates=[CREATE, ORPHAN]), "2 chats of u1 were created, 1 allowed"),
        (replace(GOOD, creates=[CREATE, ORPHAN]), "chat-2 exists"),
        (replace(GOOD, creates=[CREATE, Create("u2", "chat-3", 0.0)]), "1 chats of u2"),
        (replace(GOOD, received=["chat-1", "chat-2"]), "chat-2 was received, and is lost"),
        (Run(creates=[CREATE], records={"e1": FAILED}), "no record of u1 admits it"),
        (replace(GOOD, seen=[{**OPENED, "chat": {"id": "chat-0"}}]), "published with chat-0"),
        (replace(GOOD, creates=[Create("u2", "chat-1", 0.0)]), "has chat-1, made for u2"),
        (replace(TASKS, records={"e1": INCOMPLETE}), "e1 is opened, and not complete"),
        (replace(GOOD, records={"e1": {**FAILED, "complete": False}}), "failed, and not complete"),
        (replace(TASKS, messages=[MESSAGE] * 2), "2 messages, 1 allowed"),
        (replace(TASKS, messages=[MESSAGE] * 3, allowed_messages={"e1": 2}), "3 messages, 2"),
        (replace(TASKS, messages=[MESSAGE] * 2, allowed_messages={"e2": 2}), "2 messages, 1"),
        (replace(TASKS, messages=[MESSAGE, STRAY]), "chat-2 has 1 messages, and no record"),
        (replace(GOOD, messages=[MESSAGE]), "1 messages, 0 allowed"),
        (replace(TASKS, messages=[]), "message done, and chat-1 has none"),
        (replace(TASKS, messages=[STRAY]), "message done, and chat-1 has none"),
        (replace(TASKS, opens=[OPEN] * 2), "2 opens, 1 allowed"),
        (replace(TASKS, opens=[OPEN, replace(OPEN, chat_id="chat-2")]), "chat-2 has 1 opens"),
        (replace(GOOD, opens=[OPEN]), "1 opens, 0 allowed"),
    ],
)
def test_a_broken_promise_is_named(run: Run, fault: str) -> None:
    """Each rule finds what only it can find."""
    assert any(fault in said for said in faults_of(run)), faults_of(run)


@pytest.mark.parametrize(
    ("record", "ended"),
    [
        (OPENED, True),
        (COMPLETE, True),
        (INCOMPLETE, False),
        (FAILED, True),
        (UNKNOWN, True),
        ({**UNKNOWN, "complete": False}, True),
        ({**OPENED, "status": "calling"}, False),
    ],
)
def test_an_event_ends_complete_or_held(record: Json, *, ended: bool) -> None:
    """A record without ``complete`` ends with its status."""
    assert ended == has_ended(record)


def test_leaks_are_found() -> None:
    """Secrets that are named, and whatever Channel.io says of a person."""
    assert ["hush", PERSONAL[0]] == leaks_in(f"hush, {PERSONAL[0]}", ["hush", "quiet"])
