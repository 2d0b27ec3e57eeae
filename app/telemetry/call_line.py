"""The canonical ``call`` log line: one definition for the worker and for ``recover --from-log``."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.chats.event import EventId, MemberId, UserId
from app.chats.grant import Grant, Task
from app.chats.outcome import Created, Done, Outcome, Resolved, Throttled
from app.chats.record import Chat, Session, is_chat_id

EVENT = "call"
OUTCOME_FIELD = "outcome"


def _check_chat_id(text: str) -> str:
    if not is_chat_id(text):
        raise ValueError
    return text


Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Text = Annotated[str, Field(max_length=256)]
Number = Annotated[int, Field(ge=1, lt=10**14, strict=True)]


class CallLine(BaseModel):
    """Fields of every ``call`` line; ``life`` is the ``accepted_ms`` of the event's record.

    Older releases wrote neither ``life`` nor ``token``, and no ``task``: it was the create.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    event_id: EventId
    user_id: UserId | None
    member_id: MemberId | None = None
    task: Task = Task.CREATE
    attempt: Number
    life: Number | None = None
    token: Token | None = None


class CreatedLine(CallLine):
    """The line of a call that created a chat. It has the sessions' ids without their keys."""

    user_id: UserId
    task: Literal[Task.CREATE] = Task.CREATE
    chat_id: Annotated[str, AfterValidator(_check_chat_id)]
    channel_id: Text | None = None
    chat_state: Text | None = None
    session_id: Text | None = None
    user_session_id: Text | None = None

    @property
    def chat(self) -> Chat:
        """The created chat."""
        return Chat(
            self.chat_id,
            self.channel_id,
            self.chat_state,
            Session(self.session_id, None) if self.session_id else None,
            Session(self.user_session_id, None) if self.user_session_id else None,
        )


def call_fields(grant: Grant, outcome: Outcome, *, trace_id: str, seconds: float) -> dict[str, Any]:
    """Return the fields of a call's line."""
    fields: dict[str, Any] = {
        "event_id": grant.event_id,
        "user_id": grant.user_id,
        "member_id": grant.member_id,
        "task": grant.task,
        "attempt": grant.attempt,
        "life": grant.stored_fields.get("accepted_ms"),
        "token": grant.token,
    }
    about = {
        OUTCOME_FIELD: outcome.kind,
        "upstream_status": outcome.upstream_status,
        "trace_id": trace_id,
        "duration_ms": round(seconds * 1000, 1),
    }
    match outcome:
        case Created(chat):
            line = CreatedLine.model_construct(
                **fields,
                chat_id=chat.id,
                channel_id=chat.channel_id,
                chat_state=chat.state,
                session_id=chat.session and chat.session.id,
                user_session_id=chat.user_session and chat.user_session.id,
            )
            return about | line.model_dump()
        case Throttled(retry_after_ms):
            about["retry_after_ms"] = retry_after_ms
        case Resolved(user_id):
            about["resolved_user_id"] = user_id
        case Done(has_acted, message_id):
            about |= {"has_acted": has_acted, "message_id": message_id}
        case _:
            about["detail"] = outcome.detail
    return CallLine.model_construct(**fields).model_dump() | about
