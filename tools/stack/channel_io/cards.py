"""Test users: one for each behaviour of the stand-in that a reader may try.

``make run`` prints them, and docs/integrating.md has them in a table.
"""

from dataclasses import dataclass
from typing import Any, Literal

from tools.stack.channel_io.behaviours import Behaviour, Operation

TEXT = "Your refund is on its way."


@dataclass(frozen=True, slots=True)
class Card:
    """Test user, the action of Channel.io for it, and the record afterwards.

    ``field`` is the field of the event that names the user; ``message`` and ``open`` are the tasks
    that the event asks for.
    """

    id: str
    channel_io: str
    record: str
    field: Literal["user_id", "member_id"] = "user_id"
    message: bool = False
    open: bool = False

    @property
    def posted_as(self) -> str:
        """Return the fields to post, for a table."""
        tasks = [f"`{name}`" for name in ("message", "open") if getattr(self, name)]
        return f"`{self.field}`, with {' and '.join(tasks)}" if tasks else f"`{self.field}`"

    def build_event(self, event_id: str) -> dict[str, Any]:
        """Build the event to post."""
        event: dict[str, Any] = {"event_id": event_id, self.field: self.id}
        if self.message:
            event["message"] = {"text": TEXT}
        if self.open:
            event["open"] = True
        return event


CARDS = (
    Card(
        Behaviour.CREATE.user_id,
        "makes a chat, as for every user not named here",
        "`opened`",
    ),
    Card(
        Behaviour.CREATE_SLOW.user_id,
        "makes a chat, and answers after two seconds",
        "`calling`, then `opened`",
    ),
    Card(
        Behaviour.NO_SESSION.user_id,
        "makes a chat, and names no session",
        "`opened`, with `session` null",
    ),
    Card(Behaviour.USER_NOT_FOUND.user_id, "answers 404", "`failed`, `user_not_found`"),
    Card(Behaviour.REJECTED_422.user_id, "answers 422", "`failed`, `rejected`"),
    Card(
        Behaviour.THROTTLED.user_id,
        "answers 429 with `Retry-After: 1`, every time",
        "`accepted`; all calls pause for a second each time",
    ),
    Card(
        Behaviour.FORBIDDEN.user_id,
        "answers 403, as for a wrong key",
        "`accepted`; calls may stop until a probe succeeds",
    ),
    Card(
        Behaviour.SERVER_ERROR.user_id,
        "answers 500, and may have made a chat",
        "`unknown`, `no_answer`",
    ),
    Card(
        Behaviour.CREATE_THEN_CLOSE.user_id,
        "makes a chat, and closes the connection without an answer",
        "`unknown`, `no_answer`",
    ),
    Card(
        Behaviour.CREATE_THEN_SILENCE.user_id,
        "makes a chat, and does not answer",
        "`calling` until `CALL_DEADLINE_SECONDS`, then `unknown`, `no_answer`",
    ),
    Card(
        Behaviour.NO_CHAT_ID.user_id,
        "makes a chat, and answers 200 without its id",
        "`unknown`, `unreadable_answer`",
    ),
    Card(
        "stand-in-unknown",
        "has no such member",
        "`failed`, `user_not_found`",
        field="member_id",
    ),
    Card(
        "stand-in-merged-2",
        "has merged the member's user into another, and that one into a third",
        "`opened`, with the `user_id` of the third",
        field="member_id",
    ),
    Card(
        Behaviour.CREATE_THEN_CLOSE.user_id_for(Operation.MESSAGE),
        "takes the message, and closes the connection without an answer",
        "`opened`; after a minute, when a look finds the message, `tasks.message` is `done`",
        message=True,
    ),
    Card(
        Behaviour.REJECTED_422.user_id_for(Operation.MESSAGE),
        "answers 422 to the message",
        "`opened`; `tasks.message` is `failed`, `rejected`, and `tasks.open` is `skipped`",
        message=True,
        open=True,
    ),
    Card(
        Behaviour.REJECTED_422.user_id_for(Operation.OPEN),
        "answers 422 to the open",
        "`opened`; `tasks.open` is `failed`, `rejected`",
        open=True,
    ),
)
