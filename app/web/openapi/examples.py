"""What is sent and answered, for example: written by the code that answers."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from app.chats.record import Chat, Failure, FailureCode, Record, Session, Status, as_json
from app.web.problems import PROBLEMS, Refusal, answer

EVENT_ID = "refund-7731"
USER_ID = "6606508eaa71575f1e8c"
CHAT_ID = "6606508eaa71575f1e8d"
METADATA = {"order": "7731"}
EVENT = {
    "event_id": EVENT_ID,
    "user_id": USER_ID,
    "occurred_at": "2026-11-22T10:00:00Z",
    "on_unknown": "hold",
    "metadata": METADATA,
}
ACCEPTED_AT = datetime(2026, 11, 22, 10, 0, 1, 123_000, tzinfo=UTC)
SETTLED_AT = ACCEPTED_AT + timedelta(milliseconds=268)

FAILURES = {
    Status.FAILED: Failure(FailureCode.USER_NOT_FOUND, "Channel.io has no such user.", 404),
    Status.UNKNOWN: Failure(FailureCode.NO_ANSWER, "No answer came before the deadline."),
}

ERRORS: dict[str, list[dict[str, str]]] = {
    "invalid-event": [
        {"pointer": "/user_id", "detail": "is required"},
        {"pointer": "/on_unknwon", "detail": "is not a known field"},
    ],
    "invalid-parameter": [{"parameter": "limit", "detail": "must be a number from 1 to 100"}],
    "not-ready": [{"check": "redis: does not answer"}],
}


def records(*statuses: Status) -> dict[str, Any]:
    """An example of a record in each of these statuses."""
    return {status.value: {"value": as_json(_record(status))} for status in statuses}


def problem(slug: str) -> dict[str, Any]:
    """An example of a problem, with a summary and what can be done about it."""
    kind = PROBLEMS[slug]
    return {
        "summary": kind.title,
        "description": f"{kind.meaning} {kind.remedy}",
        "value": json.loads(answer(Refusal(slug, errors=ERRORS.get(slug))).data),
    }


def _record(status: Status) -> Record:
    is_settled = status in {Status.OPENED, Status.FAILED}
    return Record(
        event_id=EVENT_ID,
        user_id=USER_ID,
        status=status,
        created={Status.OPENED: True, Status.ACCEPTED: False, Status.FAILED: False}.get(status),
        chat=_chat() if status is Status.OPENED else None,
        failure=FAILURES.get(status),
        attempts=0 if status is Status.ACCEPTED else 1,
        possible_orphan=False,
        duplicate_chat_ids=(),
        accepted_at=ACCEPTED_AT,
        settled_at=SETTLED_AT if is_settled else None,
        expires_at=SETTLED_AT + timedelta(days=30) if is_settled else None,
        metadata=METADATA,
    )


def _chat() -> Chat:
    return Chat(
        CHAT_ID,
        "6263",
        "initial",
        Session("5fe8b8d1a2c94e07", f"bot-61225-userChat-{CHAT_ID}"),
        Session("0d6f7c3be4a158f2", f"user-{USER_ID}"),
    )
