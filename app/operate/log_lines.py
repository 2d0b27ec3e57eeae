"""Reads the canonical log lines of calls back, for when Redis and the spool's disk both failed."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from app.chats.outcome import Chat, Session


class Recovery(Protocol):
    """Settles what a line holds."""

    def recover(
        self, event_id: str, *, user_id: str, attempt: int, chat: Chat, at: datetime
    ) -> str:
        """Settle a created chat; return what became of the event."""


@dataclass(frozen=True, slots=True)
class Line:
    """One call that created a chat, as the log tells it. The sessions' keys are not in the log."""

    event_id: str
    user_id: str
    attempt: int
    chat: Chat
    at: datetime

    def settle(self, recovery: Recovery) -> str:
        """Settle it; twice is once."""
        return recovery.recover(
            self.event_id, user_id=self.user_id, attempt=self.attempt, chat=self.chat, at=self.at
        )


def created_lines(log: Iterable[str]) -> Iterator[Line]:
    """The lines of ``log`` that tell of a created chat; all others are passed over.

    Whatever a log collector wrote in front of the JSON object is passed over as well.
    """
    for text in log:
        line = _parse(text[text.find("{") :])
        if line.get("event") == "call" and line.get("outcome") == "created":
            yield _line(line)


def _parse(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def _line(line: dict[str, Any]) -> Line:
    chat = Chat(
        line["chat_id"],
        line.get("channel_id"),
        line.get("chat_state"),
        _session(line.get("session_id")),
        _session(line.get("user_session_id")),
    )
    at = datetime.fromisoformat(line["timestamp"])
    return Line(line["event_id"], line["user_id"], line["attempt"], chat, at)


def _session(session_id: str | None) -> Session | None:
    return Session(session_id, None) if session_id else None
