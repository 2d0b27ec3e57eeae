"""The record in Redis: one JSON object, whose fields relay.lua documents.

A field without a value is left out, never null or empty; numbers are whole and below 10^14. Fields
that this release does not know stay in what is parsed here, and in what a script writes again.
"""

from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from app.chats.errors import RecordFromNewerRelease
from app.chats.event import EPOCH, OnUnknown, OpenChatEvent
from app.chats.grant import Task
from app.chats.record import (
    Chat,
    Failure,
    FailureCode,
    Record,
    Session,
    Status,
    TaskState,
    TaskStatus,
)
from app.store.history import Denials, HistoryEntry

VERSION = 2
TASKS_VERSION = 3  # of a record with a member id or tasks
SHORT_TOKEN_CHARACTERS = 8  # of a token that is shown: enough to find its log line
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


def is_forgotten(fields: dict[str, Any], forgotten: str | None) -> bool:
    """Check whether ``forgotten``, the text of its key, names the life of these fields."""
    return forgotten is not None and forgotten.split(" ")[0] == str(fields.get("accepted_ms"))


def read_record(
    event_id: str, fields: dict[str, Any], *, on_unknown: OnUnknown = OnUnknown.HOLD
) -> Record:
    """Build the record of ``event_id``; ``on_unknown`` holds where the event leaves it open.

    Raises ``RecordFromNewerRelease`` where another release wrote what this one cannot read.
    """
    status = _status(fields)
    settled_ms, occurred_ms = fields.get("settled_ms"), fields.get("occurred_ms")
    # A record of version 2 is complete once it is settled.
    completed_ms = settled_ms if fields["v"] == VERSION else fields.get("completed_ms")
    return Record(
        event_id=event_id,
        user_id=fields.get("user_id"),
        member_id=fields.get("member_id"),
        status=status,
        created=_created(status, fields),
        chat=_chat(fields),
        failure=_failure(fields),
        attempts=fields["attempts"],
        possible_orphan=fields.get("possible_orphan", False),
        duplicate_chat_ids=tuple(fields.get("duplicate_chat_ids", ())),
        accepted_at=to_datetime(fields["accepted_ms"]),
        settled_at=None if settled_ms is None else to_datetime(settled_ms),
        completed_at=None if completed_ms is None else to_datetime(completed_ms),
        expires_at=None if completed_ms is None else to_datetime(completed_ms + fields["ttl_ms"]),
        tasks=_tasks(fields),
        occurred_at=None if occurred_ms is None else to_datetime(occurred_ms),
        on_unknown=fields.get("on_unknown", on_unknown),
        metadata=from_json(fields.get("metadata", "{}")),
    )


def read_history(fields: dict[str, Any]) -> tuple[HistoryEntry, ...]:
    """Build the record's history, oldest entry first."""
    return tuple(
        HistoryEntry(
            at=to_datetime(entry["at_ms"]),
            what=entry["what"],
            task=entry.get("task"),
            attempt=entry["attempt"],
            times=entry.get("times", 1),
            by=entry.get("by"),
            action=entry.get("action"),
            chat_id=entry.get("chat_id"),
            token=shorten_token(entry.get("token")),
        )
        for entry in fields.get("history", ())
    )


def read_denials(fields: dict[str, Any]) -> Denials | None:
    """Build the record's denials, while its event waits after one."""
    if "denied" not in fields:
        return None
    denied = fields["denied"]
    return Denials(denied["times"], denied["own"], to_datetime(denied["since_ms"]))


def tokens_of(fields: dict[str, Any]) -> dict[str, int]:
    """Return the attempt of each token of a create that the record or its history has."""
    history = fields.get("history", ())
    tokens = {entry["token"]: entry["attempt"] for entry in history if "token" in entry}
    if "grant_token" in fields and "task" not in fields:
        tokens[fields["grant_token"]] = fields["attempt"]
    return tokens


def shorten_token(token: str | None) -> str | None:
    """Shorten a token for people."""
    return token and f"{token[:SHORT_TOKEN_CHARACTERS]}…"


def new_fields(event: OpenChatEvent, *, ttl_ms: int, traceparent: str | None) -> dict[str, Any]:
    """Build the fields that an event brings; ``accept`` adds the others."""
    return _with_values(
        user_id=event.user_id,
        member_id=event.member_id,
        bot_name=event.bot_name,
        tasks=_new_tasks(event) or None,
        fingerprint=event.fingerprint,
        ttl_ms=ttl_ms,
        occurred_ms=event.occurred_at and _milliseconds(event.occurred_at),
        on_unknown=event.on_unknown,
        metadata=to_json(event.metadata).decode() if event.metadata else None,
        traceparent=traceparent,
    )


def _new_tasks(event: OpenChatEvent) -> dict[str, Any]:
    pending = {"status": TaskStatus.PENDING}
    tasks: dict[str, Any] = {}
    if event.message:
        tasks[Task.MESSAGE] = pending | ({"private": True} if event.message.private else {})
    if event.open:
        tasks[Task.OPEN] = pending
    return tasks


def differing_fields(event: OpenChatEvent, stored: dict[str, Any]) -> tuple[str, ...]:
    """Return the JSON pointers of the fields in which ``event`` differs from the stored one.

    The text is nowhere to be compared with: it differs where all else agrees.
    """
    tasks, message = stored.get("tasks", {}), event.message
    stored_message = tasks.get(Task.MESSAGE)
    # Of a member's event the user id is Channel.io's answer.
    user_id = None if "member_id" in stored else stored.get("user_id")
    differs = {
        "/user_id": event.user_id != user_id,
        "/member_id": event.member_id != stored.get("member_id"),
        "/on_unknown": event.on_unknown != stored.get("on_unknown"),
        "/metadata": event.metadata != from_json(stored.get("metadata", "{}")),
        "/open": event.open != (Task.OPEN in tasks),
        "/message": (message is None) != (stored_message is None),
    }
    if message is not None and stored_message is not None:
        differs["/message/private"] = message.private != ("private" in stored_message)
        differs["/message/bot_name"] = message.bot_name != stored.get("bot_name")
        differs["/message/text"] = not any(differs.values())
    return tuple(pointer for pointer, is_different in differs.items() if is_different)


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
    left: dict[str, Any],
    *,
    user_id: str,
    member_id: str | None,
    attempt: int,
    accepted_ms: int,
    ttl_ms: int,
) -> dict[str, Any]:
    """Build a record that stands at ``attempt`` from what is known elsewhere.

    ``left`` are the fields that Redis still has; its instant of acceptance and its TTL win. Without
    them there are no tasks. Of the grants in between it is not known that they were for the create.
    """
    of_member = {"v": TASKS_VERSION, "member_id": member_id} if member_id else {"v": VERSION}
    return (
        of_member
        | {"accepted_ms": accepted_ms, "ttl_ms": ttl_ms}
        | left
        | {
            "status": Status.CALLING,
            "user_id": user_id,
            "attempt": attempt,
            "attempts": left.get("attempts", 0) + attempt - left.get("attempt", 0),
        }
    )


def to_datetime(milliseconds: int) -> datetime:
    """Convert an instant of Redis to aware UTC."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def _milliseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)


def _status(fields: dict[str, Any]) -> Status:
    try:
        if fields["v"] in {VERSION, TASKS_VERSION}:
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


def _tasks(fields: dict[str, Any]) -> dict[str, TaskState] | None:
    tasks = fields.get("tasks")
    return tasks and {
        name: TaskState(task["status"], task.get("attempts", 0), task.get("id"), _failure(task))
        for name in (Task.MESSAGE, Task.OPEN)
        if (task := tasks.get(name))
    }


def _failure(fields: dict[str, Any]) -> Failure | None:
    if "failure" not in fields:
        return None
    content = fields["failure"]
    return Failure(_code(content["code"]), content["detail"], content.get("upstream_status"))


def _code(text: str) -> str:
    try:
        return FailureCode(text)
    except ValueError:
        return text  # a newer release's


def _session_text(session: Session | None) -> str | None:
    return None if session is None else _json_text(id=session.id, key=session.key)


def _json_text(**fields: Any) -> str | None:
    known = _with_values(**fields)
    return to_json(known).decode() if known else None


def _with_values(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
