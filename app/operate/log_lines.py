"""Reader of a worker's canonical `call` lines, for when Redis and the spool's disk both failed."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, ValidationError

from app.chats.event import EventId, UserId
from app.chats.record import Chat, Session, is_chat_id
from app.store.operations import Operations

# Where a collector's object keeps the line that it was given.
LINE_FIELDS = ("log", "message", "msg")
MAX_BRACES = 50

Call = dict[str, Any]

# What is left of a line with a created chat, however it was cut or wrapped.
_MARK = re.compile(r'"outcome\W+created\b')
_DECODER = json.JSONDecoder()


def _check_chat_id(text: str) -> str:
    if not is_chat_id(text):
        raise ValueError
    return text


class CreatedLine(BaseModel):
    """One call that created a chat, as it is logged: without the sessions' keys."""

    event_id: EventId
    user_id: UserId
    attempt: Annotated[int, Field(ge=1, lt=10**14, strict=True)]
    chat_id: Annotated[str, AfterValidator(_check_chat_id)]
    channel_id: str | None = None
    chat_state: str | None = None
    session_id: str | None = None
    user_session_id: str | None = None
    timestamp: AwareDatetime

    def settle(self, operations: Operations) -> str:
        """Settle the answer, and return what became of the event; twice is once."""
        return operations.recover(
            self.event_id,
            user_id=self.user_id,
            attempt=self.attempt,
            chat=self._chat(),
            at=self.timestamp,
        )

    def _chat(self) -> Chat:
        return Chat(
            self.chat_id,
            self.channel_id,
            self.chat_state,
            _session(self.session_id),
            _session(self.user_session_id),
        )


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line, counted from 1, with a created chat that cannot be settled from it."""

    number: int


def read_created_lines(log: Iterable[str]) -> Iterator[CreatedLine | UnreadableLine]:
    """Yield the calls of ``log`` that created a chat; pass over all other lines.

    A call is a JSON object that stands in its line, with or without text around it. Or a
    collector's object stands there, and has the line of the call in one of ``LINE_FIELDS``, as
    text or as an object.
    """
    for number, text in enumerate(log, start=1):
        calls, rest = _split_calls(text)
        for call in calls:
            if call.get("outcome") == "created":
                yield _validate(call) or UnreadableLine(number)
        if _MARK.search(rest):
            yield UnreadableLine(number)


def _validate(call: Call) -> CreatedLine | None:
    try:
        return CreatedLine.model_validate(call)
    except ValidationError:
        return None


def _split_calls(text: str) -> tuple[list[Call], str]:
    """Return the calls of a line, and the line without the objects that they came from."""
    calls, rest = [], text
    for found, source in _read_objects(text):
        if call := _call_of(found):
            calls.append(call)
            rest = rest.replace(source, "", 1)
    return calls, rest


def _call_of(found: dict[str, Any]) -> Call | None:
    candidates = (found, *(_parse(found.get(name)) for name in LINE_FIELDS))
    return next(filter(_is_call, candidates), None)


def _is_call(found: Any) -> bool:
    return isinstance(found, dict) and found.get("event") == "call"


def _parse(line: Any) -> Any:
    if not isinstance(line, str):
        return line
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _read_objects(text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every JSON object in ``text`` that is not inside of another, and its source."""
    start = text.find("{")
    for _ in range(MAX_BRACES):
        if start < 0:
            return
        try:
            found, end = _DECODER.raw_decode(text, start)
            yield found, text[start:end]
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


def _session(session_id: str | None) -> Session | None:
    return Session(session_id, None) if session_id else None
