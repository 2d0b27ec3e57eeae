"""Test users: one for each behaviour of the stand-in that a reader may try.

``make run`` prints them, and docs/integrating.md has them in a table.
"""

from dataclasses import dataclass
from typing import Any

from tools.stack.channel_io.behaviours import Behaviour, Operation

TASKS: dict[Operation, dict[str, Any]] = {
    Operation.MESSAGE: {"message": {"text": "Hello."}},
    Operation.OPEN: {"open": True},
}


@dataclass(frozen=True, slots=True)
class Card:
    """Test user, the action of Channel.io for it, and the record afterwards."""

    behaviour: Behaviour
    channel_io: str
    record: str
    operation: Operation = Operation.CREATE

    @property
    def user_id(self) -> str:
        """Return the ``user_id`` to post."""
        return self.behaviour.user_id_for(self.operation)

    @property
    def event(self) -> dict[str, Any]:
        """Return the event to post, with the task that the operation is for."""
        return {"event_id": self.user_id, "user_id": self.user_id, **TASKS.get(self.operation, {})}


CARDS = (
    Card(Behaviour.CREATE, "makes a chat, as for every user not named here", "`opened`"),
    Card(
        Behaviour.CREATE_SLOW,
        "makes a chat, and answers after two seconds",
        "`calling`, then `opened`",
    ),
    Card(
        Behaviour.NO_SESSION,
        "makes a chat, and names no session",
        "`opened`, with `session` null",
    ),
    Card(Behaviour.USER_NOT_FOUND, "answers 404", "`failed`, `user_not_found`"),
    Card(Behaviour.REJECTED_422, "answers 422", "`failed`, `rejected`"),
    Card(
        Behaviour.THROTTLED,
        "answers 429 with `Retry-After: 1`, every time",
        "`accepted`; all calls pause for a second each time",
    ),
    Card(
        Behaviour.FORBIDDEN,
        "answers 403, as for a wrong key",
        "`accepted`; calls may stop until a probe succeeds",
    ),
    Card(Behaviour.SERVER_ERROR, "answers 500, and may have made a chat", "`unknown`, `no_answer`"),
    Card(
        Behaviour.CREATE_THEN_CLOSE,
        "makes a chat, and closes the connection without an answer",
        "`unknown`, `no_answer`",
    ),
    Card(
        Behaviour.CREATE_THEN_SILENCE,
        "makes a chat, and does not answer",
        "`calling` until `CALL_DEADLINE_SECONDS`, then `unknown`, `no_answer`",
    ),
    Card(
        Behaviour.NO_CHAT_ID,
        "makes a chat, and answers 200 without its id",
        "`unknown`, `unreadable_answer`",
    ),
    Card(
        Behaviour.CREATE_THEN_CLOSE,
        "makes a chat and its message, and closes the connection without an answer to the latter",
        "`opened`; the message is `done`, found by a look a minute later",
        Operation.MESSAGE,
    ),
    Card(
        Behaviour.REJECTED_422,
        "makes a chat, and answers its message with 422",
        "`opened`; the message `failed`, `rejected`",
        Operation.MESSAGE,
    ),
    Card(
        Behaviour.REJECTED_422,
        "makes a chat, and answers its open with 422",
        "`opened`; the open `failed`, `rejected`",
        Operation.OPEN,
    ),
)
