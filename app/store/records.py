"""How a record's fields in Redis read as a ``Record``."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.chats.errors import RecordFromNewerRelease
from app.chats.outcome import Chat, FailureCode, Session
from app.chats.record import Failure, Record, Status

VERSION = "1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_fields(flat: Sequence[str]) -> dict[str, str]:
    """The name, value, name, value… of a script's reply as a dictionary."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


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
        metadata=json.loads(fields.get("metadata", "{}")),
    )


def write_chat(chat: Chat) -> str:
    """The JSON of a chat as the record keeps it; the id has a field of its own."""
    sessions = {"session": chat.session, "user_session": chat.user_session}
    content: dict[str, Any] = {"channel_id": chat.channel_id, "state": chat.state}
    content |= {name: [kept.id, kept.key] for name, kept in sessions.items() if kept}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def write_failure(failure: Failure) -> str:
    """The JSON of a failure as the record keeps it."""
    content = [failure.code, failure.detail, failure.upstream_status]
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


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
    if status in {Status.CALLING, Status.UNKNOWN} or "unknowns" in fields:
        return None
    return False


def _chat(fields: dict[str, str]) -> Chat | None:
    if "chat_id" not in fields:
        return None
    content = json.loads(fields["chat"])
    return Chat(
        id=fields["chat_id"],
        channel_id=content["channel_id"],
        state=content["state"],
        session=_session(content.get("session")),
        user_session=_session(content.get("user_session")),
    )


def _session(content: list[Any] | None) -> Session | None:
    return Session(*content) if content else None


def _failure(fields: dict[str, str]) -> Failure | None:
    if "failure" not in fields:
        return None
    code, detail, upstream_status = json.loads(fields["failure"])
    return Failure(FailureCode(code), detail, upstream_status)


def instant(milliseconds: int) -> datetime:
    """An instant of Redis, in milliseconds, as aware UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
