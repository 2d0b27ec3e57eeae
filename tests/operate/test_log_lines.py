"""Calls that created a chat, read back from a log and from what collectors make of it."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chats.grant import Grant
from app.chats.outcome import Created
from app.chats.record import Chat, Session
from app.operate.log_lines import MAX_LINE_BYTES, UnreadableLine, read_created_lines
from app.store.operations import LoggedChat
from app.telemetry.call_line import EVENT, call_fields

CHAT = Chat("chat-1", "6263", "initial", Session("s-1", "its-key"), None)
LOGGED = LoggedChat(
    event_id="e1",
    user_id="u1",
    attempt=1,
    life_ms=1_764_500_000_000,
    token="token-of-the-grant",
    chat=replace(CHAT, session=Session("s-1", None)),
)
GRANT = Grant("e1", "u1", 1, "token-of-the-grant", {"accepted_ms": 1_764_500_000_000})
# As a worker writes it.
CALL = {
    "event": EVENT,
    **call_fields(
        GRANT, Created(CHAT), trace_id="4bf92f3577b34da6a3ce929d0e0e4736", seconds=0.0125
    ),
    "logger": "relay.worker",
    "level": "info",
    "timestamp": "2026-11-22T10:00:01.391Z",
}
LINE = json.dumps(CALL)

WRAPPED: dict[str, Callable[[str], str]] = {
    "as it is": lambda line: line,
    "byte order mark": lambda line: f"\ufeff{line}",
    "carriage return": lambda line: f"{line}\r",
    "docker compose logs": lambda line: f"worker-1  | {line}",
    "docker compose logs -t": lambda line: f"worker-1  | 2026-11-22T10:00:00.123456789Z {line}",
    "docker logs -t": lambda line: f"2026-11-22T10:00:00.123456789Z {line}",
    "a container's file": lambda line: f"2026-11-22T10:00:00.123456789+09:00 stdout F {line}",
    "kubectl logs --prefix": lambda line: f"[pod/relay-0/worker] {line}",
    "docker's json-file": lambda line: json.dumps({"log": line + "\n", "stream": "stdout"}),
    "message as text": lambda line: json.dumps({"@timestamp": "now", "message": line}),
    "msg as text": lambda line: json.dumps({"level": "info", "msg": line}),
    "log as an object": lambda line: json.dumps({"pod": "relay-0", "log": json.loads(line)}),
    "message as an object": lambda line: json.dumps({"message": json.loads(line)}),
    "msg as an object": lambda line: json.dumps({"msg": json.loads(line), "log": "stdout"}),
}

# In none of these the line is a whole one: it may be what a stranger sent to some server.
ESCAPED = json.dumps(LINE)[1:-1]
NOT_READ: dict[str, Callable[[str], str]] = {
    "a user agent": lambda line: f'1.2.3.4 - - [22/Nov] "GET / HTTP/1.1" 200 0 "-" "{line}"',
    "an escaped user agent": lambda _: f'1.2.3.4 - - "GET /" 200 0 "-" "{ESCAPED}"',
    "a bare user agent": lambda line: f"1.2.3.4 {line}",
    "a user agent after a bar": lambda line: f'1.2.3.4 - | "-" | {line}',
    "a user agent in a container's file": lambda line: (
        f"2026-11-22T10:00:00.1Z stdout F 1.2.3.4 {line}"
    ),
    "a carriage return in it": lambda line: f"1.2.3.4 \r{line}\r",
    "a line separator in it": lambda line: f"1.2.3.4 \u2028{line}\x85{line}",
    "a cut line of a container": lambda line: f"2026-11-22T10:00:00.1Z stdout P {line}",
    "prefix with an object": lambda line: f'{{"pod": "relay-0"}} {line}',
    "syslog": lambda line: f"<14>1 2026-11-22T10:00:00Z host relay 1 - - {line}",
    "with something behind": lambda line: f"{line} \x1b[0m (truncated)",
    "two in a line": lambda line: line + line,
    "another field": lambda line: json.dumps({"pod": "relay-0", "json": json.loads(line)}),
    "another field, as text": lambda line: json.dumps({"event": "request", "path": line}),
    "an object in an object": lambda line: json.dumps({"fields": {"message": line}}),
    "text in text": lambda line: json.dumps({"log": json.dumps({"log": line})}),
    "an object in text": lambda line: json.dumps({"log": json.dumps({"msg": json.loads(line)})}),
    "a list": lambda line: json.dumps({"log": [line]}),
    "a list of lines": lambda line: json.dumps([json.loads(line)]),
    "text around it in a field": lambda line: json.dumps({"log": f"stdout F {line}"}),
    "two fields": lambda line: json.dumps({"log": line, "message": line}),
    "a field twice": lambda line: f'{{"log": {json.dumps(line)}, "log": {json.dumps(line)}}}',
    "a name twice": lambda line: line[:-1] + ', "chat_id": "forged"}',
    "longer than a line": lambda line: json.dumps({"pad": "x" * MAX_LINE_BYTES, "log": line}),
    "behind what is longer than a line": lambda line: " " * MAX_LINE_BYTES + line,
}
# Those of which only the begin is looked at.
UNSEEN = {"longer than a line", "behind what is longer than a line"}

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


def read(*lines: str) -> list[LoggedChat | UnreadableLine]:
    """Return the created lines of a log with these lines."""
    text = "".join(f"{line}\n" for line in lines)
    return list(read_created_lines(io.BytesIO(text.encode(errors="surrogateescape"))))


def without(*names: str, **changed: Any) -> str:
    """The line without these fields, or with others."""
    return json.dumps({name: CALL[name] for name in CALL if name not in names} | changed)


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_line_is_read_as_collectors_keep_it(wrap: Callable[[str], str]) -> None:
    """Every field of a chat comes back, but the keys of its sessions."""
    assert [LOGGED] == read(wrap(LINE))


@pytest.mark.parametrize("name", NOT_READ)
def test_a_line_in_any_other_form_is_passed_over(name: str) -> None:
    """It is named, so that a person may read the id; the lines after it are read."""
    unreadable = [] if name in UNSEEN else [UnreadableLine(1)]

    assert [*unreadable, LOGGED] == read(NOT_READ[name](LINE), LINE)


def test_the_last_line_may_lack_its_end() -> None:
    """Its file was copied while it grew; a cut one is named."""
    whole, cut = (io.BytesIO(text.encode()) for text in (LINE, f"\n{LINE[:-1]}"))

    assert [LOGGED] == list(read_created_lines(whole))
    assert [UnreadableLine(2)] == list(read_created_lines(cut))


@pytest.mark.parametrize("garbage", GARBAGE)
def test_everything_else_is_passed_over(garbage: str) -> None:
    """Without a word: a log is full of other lines."""
    assert [] == read(garbage)


@given(st.binary())
def test_no_bytes_make_it_stumble(content: bytes) -> None:
    """Whatever stands before and after, the line that is whole is found."""
    log = io.BytesIO(content + f"\n{LINE}\n".encode() + content)

    assert LOGGED in list(read_created_lines(log))


@pytest.mark.parametrize(
    "cut",
    [
        LINE[:-1],
        LINE[: len(LINE) // 2],
        json.dumps({"log": LINE[:-1]}),
        without("chat_id"),
        without("event_id"),
        without("user_id"),
        without(chat_id="a/b"),
        without(chat_id=None),
        without(event_id="../e1"),
        without(attempt="one"),
        without(attempt=0),
        without(attempt=True),
        without(attempt=10**14),
        without(life="yesterday"),
        without(life=1.5),
        without(life=10**14),
        without(token="{relay}:gate"),
        without(token=""),
        without(session_id="\ud83d"),
        without(channel_id="x" * 257),
    ],
)
def test_an_unreadable_created_chat_is_reported(cut: str) -> None:
    """A person may still read the id: the line is named, and the ones after it are read."""
    assert [UnreadableLine(2), LOGGED] == read("", cut, LINE)
