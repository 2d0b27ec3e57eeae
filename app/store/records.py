"""The record in Redis: one JSON object, whose fields relay.lua documents.

A field without a value is left out, never null or empty; numbers are whole and below 10^14. Fields
that this release does not know stay in what is parsed here, and in what a script writes again.
"""

from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from app.chats.errors import RecordFromNewerRelease
from app.chats.event import EPOCH, OpenChatEvent
from app.chats.record import Chat, Failure, FailureCode, Record, Session, Status
from app.chats.story import Moment

VERSION = 2
MAX_NUMBER = 10**14 - 1  # Lua's cjson writes 14 digits


def parse_fields(text: str) -> dict[str, Any]:
    """Parse a record's text; what is no JSON object has no fields, and so no version."""
    if not text.startswith("{"):
        return {}
    try:
        fields: dict[str, Any] = from_json(text)
    except ValueError:
        return {}
    return fields


def read_record(event_id: str, fields: dict[str, Any]) -> Record:
    """Build the record of ``event_id``.

    Raises ``RecordFromNewerRelease`` where another release wrote what this one cannot read.
    """
    status = _status(fields)
    settled_ms = fields.get("settled_ms")
    return Record(
        event_id=event_id,
        user_id=fields["user_id"],
        status=status,
        created=_created(status, fields),
        chat=_chat(fields),
        failure=_failure(fields),
        attempts=fields["attempts"],
        possible_orphan=fields.get("possible_orphan", False),
        duplicate_chat_ids=tuple(fields.get("duplicate_chat_ids", ())),
        accepted_at=to_datetime(fields["accepted_ms"]),
        settled_at=None if settled_ms is None else to_datetime(settled_ms),
        expires_at=None if settled_ms is None else to_datetime(settled_ms + fields["ttl_ms"]),
        metadata=from_json(fields.get("metadata", "{}")),
    )


def read_history(fields: dict[str, Any]) -> tuple[Moment, ...]:
    """Build the record's history, oldest entry first."""
    return tuple(
        Moment(
            at=to_datetime(entry["at_ms"]),
            what=entry["what"],
            attempt=entry["attempt"],
            times=entry.get("times", 1),
            by=entry.get("by"),
            action=entry.get("action"),
            chat_id=entry.get("chat_id"),
        )
        for entry in fields.get("history", ())
    )


def new_fields(event: OpenChatEvent, *, ttl_ms: int, traceparent: str | None) -> dict[str, Any]:
    """Build the fields that an event brings; ``accept`` adds the others."""
    return _with_values(
        user_id=event.user_id,
        fingerprint=event.fingerprint,
        ttl_ms=ttl_ms,
        on_unknown=event.on_unknown,
        metadata=to_json(event.metadata).decode() if event.metadata else None,
        traceparent=traceparent,
    )


def chat_fields(chat: Chat) -> dict[str, Any]:
    """Build the fields of an opened record's chat: its id, and JSON texts."""
    return _with_values(
        chat_id=chat.id,
        chat=_json_text(channel_id=chat.channel_id, state=chat.state),
        session=_session_text(chat.session),
        user_session=_session_text(chat.user_session),
    )


def failure_fields(failure: Failure) -> dict[str, Any]:
    """Build the object that a record has of its failure."""
    return _with_values(
        code=failure.code, detail=failure.detail, upstream_status=failure.upstream_status
    )


def calling_fields(
    left: dict[str, Any], *, user_id: str, attempt: int, accepted_at: datetime, ttl_ms: int
) -> dict[str, Any]:
    """Build a record that stands at ``attempt`` from what is known elsewhere.

    ``left`` are the fields that Redis still has; its instant of acceptance and its TTL win.
    """
    accepted_ms = round((accepted_at - EPOCH).total_seconds() * 1000)
    return (
        {"accepted_ms": min(accepted_ms, MAX_NUMBER), "ttl_ms": ttl_ms}
        | left
        | {
            "v": VERSION,
            "status": Status.CALLING,
            "user_id": user_id,
            "attempt": attempt,
            "attempts": attempt,
        }
    )


def to_datetime(milliseconds: int) -> datetime:
    """Convert an instant of Redis to aware UTC."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def _status(fields: dict[str, Any]) -> Status:
    try:
        if fields["v"] == VERSION:
            return Status(fields["status"])
    except (KeyError, ValueError):
        pass
    raise RecordFromNewerRelease("the record was written by a newer release of the relay")


def _created(status: Status, fields: dict[str, Any]) -> bool | None:
    if status is Status.OPENED:
        return True
    if status is Status.CALLING or status is Status.UNKNOWN or "unknowns" in fields:
        return None
    return False


def _chat(fields: dict[str, Any]) -> Chat | None:
    if "chat_id" not in fields:
        return None
    about = from_json(fields.get("chat", "{}"))
    return Chat(
        id=fields["chat_id"],
        channel_id=about.get("channel_id"),
        state=about.get("state"),
        session=_session(fields.get("session")),
        user_session=_session(fields.get("user_session")),
    )


def _session(text: str | None) -> Session | None:
    if text is None:
        return None
    content = from_json(text)
    return Session(content["id"], content.get("key"))


def _failure(fields: dict[str, Any]) -> Failure | None:
    if "failure" not in fields:
        return None
    content = fields["failure"]
    return Failure(FailureCode(content["code"]), content["detail"], content.get("upstream_status"))


def _session_text(session: Session | None) -> str | None:
    return None if session is None else _json_text(id=session.id, key=session.key)


def _json_text(**fields: Any) -> str | None:
    known = _with_values(**fields)
    return to_json(known).decode() if known else None


def _with_values(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
