"""Answers of Channel.io as a worker holds them."""

from app.chats.grant import Grant
from app.chats.outcome import Created, Outcome
from app.chats.record import Chat
from app.worker.spool import Answer


def answer_of(event_id: str, outcome: Outcome | None = None) -> Answer:
    """An answer for an event; a chat named after it, unless told otherwise."""
    record = {"v": "1", "status": "calling", "attempt": "1", "attempts": "1", "user": "u1"}
    grant = Grant(event_id, "u1", 1, f"token-of-{event_id}", record)
    return Answer(grant, outcome or Created(Chat(f"chat-of-{event_id}")))
