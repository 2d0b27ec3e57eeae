"""Reads the canonical log lines of calls back, for when Redis and the spool's disk both failed."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, ValidationError

from app.chats.event import EventId, UserId
from app.chats.record import Chat, Session, is_chat_id

# Text in an object in an object, and what was wrapped so twice.
MAX_NESTING = 8
MAX_BRACES = 50

# What is left of a line that tells of a created chat, however it was cut or wrapped.
_MARK = re.compile(r'"outcome\W+created\b')
_DECODER = json.JSONDecoder()


class Recovery(Protocol):
    """Settles what a line holds."""

    def recover(
        self, event_id: str, *, user_id: str, attempt: int, chat: Chat, at: datetime
    ) -> str:
        """Settle a created chat; return what became of the event."""


def _check_chat_id(text: str) -> str:
    if not is_chat_id(text):
        raise ValueError
    return text


class CreatedLine(BaseModel):
    """One call that created a chat, as the log tells it. The sessions' keys are not in the log."""

    event_id: EventId
    user_id: UserId
    attempt: Annotated[int, Field(ge=1, strict=True)]
    chat_id: Annotated[str, AfterValidator(_check_chat_id)]
    channel_id: str | None = None
    chat_state: str | None = None
    session_id: str | None = None
    user_session_id: str | None = None
    timestamp: AwareDatetime

    def settle(self, recovery: Recovery) -> str:
        """Settle it; twice is once."""
        return recovery.recover(
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
    """A line, counted from 1, that tells of a created chat and lacks what it takes to settle it."""

    number: int


def read_created_lines(log: Iterable[str]) -> Iterator[CreatedLine | UnreadableLine]:
    """The lines of ``log`` that tell of a created chat; all others are passed over.

    A log collector may have written something before or after the JSON object, or have put it,
    parsed or as text, into an object of its own.
    """
    for number, text in enumerate(log, start=1):
        call = _call_in(text, MAX_NESTING)
        if call is not None and call.get("outcome") != "created":
            continue
        if call is not None or _MARK.search(text):
            yield _line(call) or UnreadableLine(number)


def _line(call: dict[str, Any] | None) -> CreatedLine | None:
    try:
        return CreatedLine.model_validate(call)
    except ValidationError:
        return None


def _call_in(value: Any, depth: int) -> dict[str, Any] | None:
    """The canonical line of a call that is ``value``, or is somewhere in it."""
    if isinstance(value, dict) and value.get("event") == "call":
        return value
    if depth == 0 or not isinstance(value, dict | str):
        return None
    inner = value.values() if isinstance(value, dict) else _objects_in(value)
    return next(filter(None, (_call_in(each, depth - 1) for each in inner)), None)


def _objects_in(text: str) -> Iterator[Any]:
    """Every JSON object in the text that is not inside of another."""
    start = text.find("{")
    for _ in range(MAX_BRACES):
        if start < 0:
            return
        try:
            value, end = _DECODER.raw_decode(text, start)
            yield value
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


def _session(session_id: str | None) -> Session | None:
    return Session(session_id, None) if session_id else None
