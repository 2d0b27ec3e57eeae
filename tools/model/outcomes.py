"""One outcome of each kind, for the tests in which only the kind matters."""

from app.chats.outcome import Created, Denied, NotSent, Outcome, Refused, Throttled, Unknown
from app.chats.record import Chat, FailureCode, Session

CHAT = Chat(
    id="chat-1",
    channel_id="6263",
    state="initial",
    session=Session("s-1", "bot-1-userChat-chat-1"),
    user_session=Session("s-2", None),
)
CREATED = Created(CHAT)
REFUSED = Refused(FailureCode.USER_NOT_FOUND, "There is no such user.", 404)
DENIED = Denied("The key is wrong.", 401)
THROTTLED = Throttled(30_000)
NOT_SENT = NotSent("Nothing was sent: the connection was refused.")
UNKNOWN = Unknown(FailureCode.NO_ANSWER, "No answer came.")

OUTCOMES: dict[str, Outcome] = {
    "created": CREATED,
    "refused": REFUSED,
    "denied": DENIED,
    "throttled": THROTTLED,
    "not_sent": NOT_SENT,
    "unknown": UNKNOWN,
}


def created(chat_id: str) -> Created:
    """Build the outcome of a created chat of which only the id is known."""
    return Created(Chat(chat_id))
