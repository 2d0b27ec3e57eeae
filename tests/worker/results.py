"""Results of calls as a worker holds them."""

from typing import Any

from pydantic import SecretStr

from app.chats.grant import Grant, Task
from app.chats.outcome import Created, Done, LookFailed, NotFound, Outcome, OutcomeKind, Resolved
from app.chats.record import Chat
from app.telemetry.trace_context import Trace
from app.worker.spool import CallResult
from tools.model.outcomes import OUTCOMES

# A distinctive text, which only its own key in Redis and the request that sends it may have.
TEXT = "only-Minji-may-read-this 🎉"
# One of each kind, of all tasks.
ALL_OUTCOMES: dict[OutcomeKind, Outcome] = {
    **{OutcomeKind(kind): outcome for kind, outcome in OUTCOMES.items()},
    OutcomeKind.RESOLVED: Resolved("u-resolved"),
    OutcomeKind.DONE: Done(has_acted=True, message_id="message-1"),
    OutcomeKind.LOOK_FAILED: LookFailed("A read of Channel.io had no whole answer."),
    OutcomeKind.NOT_FOUND: NotFound("The message is not in the chat."),
}
TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def result_of(
    event_id: str, outcome: Outcome | None = None, *, seconds: float = 0.1, **others: Any
) -> CallResult:
    """A result for an event; a chat named after it by default.

    ``others`` are further fields of the record.
    """
    fields = {"v": 2, "status": "calling", "attempt": 1, "attempts": 1, "user_id": "u1", **others}
    grant = Grant(event_id, "u1", 1, f"token-of-{event_id}", fields)
    return CallResult(grant, outcome or Created(Chat(f"chat-of-{event_id}")), TRACE, seconds)


def task_result_of(task: Task, outcome: Outcome, *, requests: int = 2) -> CallResult:
    """A result of a task for an event with a member, a message and an open."""
    user_id = None if task is Task.RESOLVE else "u-resolved"
    fields = {
        "v": 3,
        "status": "opened",
        "attempt": 4,
        "attempts": 1,
        "accepted_ms": 1_700_000_000_000,
        "member_id": "member-1",
        "chat_id": "chat-1",
        "tasks": {"message": {"status": "pending"}, "open": {"status": "pending"}},
    }
    text = SecretStr(TEXT) if task is Task.MESSAGE else None
    grant = Grant("e1", user_id, 4, "token-of-e1", fields, task, text)
    return CallResult(grant, outcome, TRACE, 0.1, requests)


def logged_result_of(event_id: str) -> CallResult:
    """The same, of which the log has the line."""
    result = result_of(event_id)
    result.is_logged = True
    return result


def take_line(_event: str, **_fields: object) -> bool:
    """Take every line."""
    return True
