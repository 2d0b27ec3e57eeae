"""How a record's text in Redis reads as a ``Record``."""

from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from app.chats.errors import RecordFromNewerRelease
from app.chats.event import EPOCH, OpenChatEvent
from app.chats.record import Chat, Failure, FailureCode, Record, Session, Status

VERSION = "1"
# A line each, in this order; what they are is told in relay.lua.
FIELDS = (
    *("v", "status", "user", "fingerprint", "accepted", "ttl", "attempt", "attempts", "metadata"),
    *("settled", "chat_id", "chat", "traceparent", "token", "on_unknown", "unknowns", "consented"),
    *("orphan", "since", "duplicates", "failure", "history"),
)
# Where the chat's id stands in what is kept beside it: JSON has no such character unescaped.
_SAME_ID = "\x01"


def as_fields(text: str) -> dict[str, str]:
    """The lines of a record's text by their names, without those that are empty."""
    return {name: line for name, line in zip(FIELDS, text.split("\n"), strict=False) if line}


def read_record(event_id: str, fields: dict[str, str]) -> Record:
    """Build the record of ``event_id``.

    Raises ``RecordFromNewerRelease`` where another release wrote what this one cannot read.
    """
    status = _status(fields)
    settled_ms = int(fields["settled"]) if "settled" in fields else None
    return Record(
        event_id=event_id,
        user_id=fields["user"],
        status=status,
        created=_created(status, fields),
        chat=_chat(fields),
        failure=_failure(fields),
        attempts=int(fields["attempts"]),
        possible_orphan="orphan" in fields,
        duplicate_chat_ids=tuple(filter(None, fields.get("duplicates", "").split("/"))),
        accepted_at=instant(int(fields["accepted"])),
        settled_at=None if settled_ms is None else instant(settled_ms),
        expires_at=None if settled_ms is None else instant(settled_ms + int(fields["ttl"])),
        metadata=from_json(fields["metadata"]) if "metadata" in fields else {},
    )


def new_record(event: OpenChatEvent, *, accepted_ms: int) -> Record:
    """Build the record of an event that has just been accepted."""
    return Record(
        event_id=event.event_id,
        user_id=event.user_id,
        status=Status.ACCEPTED,
        created=False,
        chat=None,
        failure=None,
        attempts=0,
        possible_orphan=False,
        duplicate_chat_ids=(),
        accepted_at=instant(accepted_ms),
        settled_at=None,
        expires_at=None,
        metadata=event.metadata,
    )


def write_chat(chat: Chat) -> str:
    """What the record keeps of a chat beside its id: ``[channel, state, session, user session]``.

    In practice the sessions' keys end with the chat's id, which is not written again.
    """
    sessions = [
        session and [session.id, session.key] for session in (chat.session, chat.user_session)
    ]
    content = to_json([chat.channel_id, chat.state, *sessions]).decode()
    return content.replace(chat.id, _SAME_ID)


def write_metadata(metadata: dict[str, str]) -> str:
    """The JSON of an event's metadata as the record keeps it."""
    return to_json(metadata).decode()


def write_failure(failure: Failure) -> str:
    """The JSON of a failure as the record keeps it."""
    return to_json([failure.code, failure.detail, failure.upstream_status]).decode()


def _status(fields: dict[str, str]) -> Status:
    try:
        if fields["v"] == VERSION:
            return Status(fields["status"])
    except (KeyError, ValueError):
        pass
    raise RecordFromNewerRelease("the record was written by a newer release of the relay")


def _created(status: Status, fields: dict[str, str]) -> bool | None:
    if status is Status.OPENED:
        return True
    if status is Status.CALLING or status is Status.UNKNOWN or "unknowns" in fields:
        return None
    return False


def _chat(fields: dict[str, str]) -> Chat | None:
    if "chat_id" not in fields:
        return None
    chat_id = fields["chat_id"]
    channel_id, state, *sessions = from_json(fields["chat"].replace(_SAME_ID, chat_id))
    return Chat(chat_id, channel_id, state, *map(_session, sessions))


def _session(content: list[Any] | None) -> Session | None:
    return Session(*content) if content else None


def _failure(fields: dict[str, str]) -> Failure | None:
    if "failure" not in fields:
        return None
    code, detail, upstream_status = from_json(fields["failure"])
    return Failure(FailureCode(code), detail, upstream_status)


def instant(milliseconds: int) -> datetime:
    """An instant of Redis, in milliseconds, as aware UTC."""
    return EPOCH + timedelta(milliseconds=milliseconds)
