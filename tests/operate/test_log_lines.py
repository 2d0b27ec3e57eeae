"""Calls that created a chat, read back from a log and from what collectors make of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.operate.log_lines import CreatedLine, UnreadableLine, read_created_lines

CALL = {
    "event_id": "e1",
    "user_id": "u1",
    "attempt": 1,
    "outcome": "created",
    "upstream_status": 200,
    "duration_ms": 12.5,
    "chat_id": "chat-1",
    "channel_id": "6263",
    "chat_state": "initial",
    "session_id": "s-1",
    "user_session_id": None,
    "event": "call",
    "logger": "relay.worker",
    "level": "info",
    "timestamp": "2026-11-22T10:00:00.123456Z",
}
LINE = json.dumps(CALL)

WRAPPED: dict[str, Callable[[str], str]] = {
    "as it is": lambda line: line,
    "compose": lambda line: f"worker-1  | {line}",
    "kubernetes": lambda line: f"2026-11-22T10:00:00.123456789Z stdout F {line}",
    "prefix with braces": lambda line: f"[pod/{{relay}}/worker {{0}}] {line}",
    "prefix with an object": lambda line: f'{{"pod": "relay-0"}} {line}',
    "with something behind": lambda line: f"{line} \x1b[0m (truncated)",
    "docker's json-file": lambda line: json.dumps({"log": line + "\n", "stream": "stdout"}),
    "message as text": lambda line: json.dumps({"@timestamp": "now", "message": line}),
    "msg as text": lambda line: json.dumps({"level": "info", "msg": line}),
    "log as an object": lambda line: json.dumps({"pod": "relay-0", "log": json.loads(line)}),
    "message as an object": lambda line: json.dumps({"message": json.loads(line)}),
    "msg as an object": lambda line: json.dumps({"msg": json.loads(line), "log": "stdout"}),
    "syslog": lambda line: f"<14>1 2026-11-22T10:00:00Z host relay 1 - - {line}",
}

# None of these is a form in which a collector is known to keep a line.
NOT_READ: dict[str, Callable[[str], str]] = {
    "another field": lambda line: json.dumps({"pod": "relay-0", "json": json.loads(line)}),
    "another field, as text": lambda line: json.dumps({"event": "request", "path": line}),
    "an object in an object": lambda line: json.dumps({"fields": {"message": line}}),
    "text in text": lambda line: json.dumps({"log": json.dumps({"log": line})}),
    "an object in text": lambda line: json.dumps({"log": json.dumps({"msg": json.loads(line)})}),
    "a list": lambda line: json.dumps({"log": [line]}),
    "text around it in a field": lambda line: json.dumps({"log": f"stdout F {line}"}),
}

GARBAGE = [
    "",
    "{",
    "{}",
    "[]",
    "null",
    "{" * 1000,
    '{"a":' * 2000,
    "not JSON at all {",
    "Traceback (most recent call last):",
    '{"event": "call", "outcome": "refused", "event_id": "e1"}',
    '{"event": "settled", "event_id": "e1", "result": "duplicate"}',
    '{"event": "call"}',
    json.dumps({"event": "request", "path": '{"event": "call"}'}),
    "\ufffd\x00\ufffd",
]


def read(*lines: str) -> list[CreatedLine | UnreadableLine]:
    """What a log of these lines holds."""
    return list(read_created_lines(lines))


def without(*names: str, **changed: Any) -> str:
    """The line without these fields, or with others."""
    return json.dumps({name: CALL[name] for name in CALL if name not in names} | changed)


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_line_is_read_as_collectors_keep_it(wrap: Callable[[str], str]) -> None:
    """With every field that a record has room for."""
    (line,) = read(wrap(LINE))

    assert isinstance(line, CreatedLine)
    assert ("e1", "u1", 1, "chat-1") == (line.event_id, line.user_id, line.attempt, line.chat_id)
    assert ("s-1", None) == (line.session_id, line.user_session_id)
    assert 2026 == line.timestamp.year


@pytest.mark.parametrize("wrap", NOT_READ.values(), ids=NOT_READ.keys())
def test_a_line_in_any_other_form_is_passed_over(wrap: Callable[[str], str]) -> None:
    """It is named, so that a person may read the id; the lines after it are read."""
    assert [UnreadableLine(1), CreatedLine.model_validate(CALL)] == read(wrap(LINE), LINE)


def test_lines_that_lost_their_break_are_read() -> None:
    """What is whole is settled, what is cut is named, and other calls hide neither."""
    refused = without(outcome="refused")
    second = without(chat_id="chat-2")

    lines = read(refused + LINE + second, refused + LINE[:-20])

    assert [
        CreatedLine.model_validate(CALL),
        CreatedLine.model_validate(json.loads(second)),
        UnreadableLine(2),
    ] == lines


@pytest.mark.parametrize("garbage", GARBAGE)
def test_everything_else_is_passed_over(garbage: str) -> None:
    """Without a word: a log is full of other lines."""
    assert [] == read(garbage)


@given(st.text())
def test_no_text_makes_it_stumble(text: str) -> None:
    """Whatever stands before and after, the line that is whole is found."""
    found = read(text, LINE, text)

    assert CreatedLine.model_validate(CALL) in found


@pytest.mark.parametrize(
    "cut",
    [
        LINE[:-1],
        LINE[: len(LINE) // 2],
        json.dumps({"log": LINE[:-1]}),
        without("chat_id"),
        without("event_id"),
        without("user_id"),
        without("timestamp"),
        without(chat_id="a/b"),
        without(chat_id=None),
        without(event_id="../e1"),
        without(attempt="one"),
        without(attempt=0),
        without(attempt=True),
        without(attempt=10**14),
        without(timestamp="yesterday"),
        without(timestamp="2026-11-22T10:00:00"),
    ],
)
def test_a_created_chat_that_cannot_be_read_is_told(cut: str) -> None:
    """A person may still read the id: the line is named, and the ones after it are read."""
    assert [UnreadableLine(2), CreatedLine.model_validate(CALL)] == read("", cut, LINE)
