"""Values that operators enter, on the command line and in forms, and how they are read."""

import re
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from app.chats.event import EventId, MemberId, UserId
from app.chats.record import MAX_CHAT_ID_CHARACTERS, is_chat_id
from app.store.keys import Person

MAX_CODE_CHARACTERS = 64
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EVENT_ID: TypeAdapter[str] = TypeAdapter(EventId)
_USER_ID: TypeAdapter[str] = TypeAdapter(UserId)
_MEMBER_ID: TypeAdapter[str] = TypeAdapter(MemberId)


class WrongValue(ValueError):
    """A value that cannot be what it is entered for; the message describes what can."""


def parse_event_id(text: str) -> str:
    """Refuse what cannot be an event id, of which some cannot be sent to Redis."""
    try:
        return _EVENT_ID.validate_python(text)
    except ValidationError as error:
        raise WrongValue(
            "an event id is 1 to 128 of A-Z, a-z, 0-9, '.', '_', ':', '~' and '-'."
        ) from error


def parse_user(text: str) -> Person:
    """Read a Channel.io user id. Raises ``WrongValue``."""
    try:
        return Person("user_id", _USER_ID.validate_python(text))
    except ValidationError as error:
        raise WrongValue("a user id is 1 to 64 of A-Z, a-z, 0-9, _ and -.") from error


def parse_member(text: str) -> Person:
    """Read a caller's member id. Raises ``WrongValue``."""
    try:
        return Person("member_id", _MEMBER_ID.validate_python(text))
    except ValidationError as error:
        raise WrongValue(
            "a member id is 1 to 64 characters, none of them white space or a control character."
        ) from error


def parse_since(text: str) -> datetime:
    """Read an instant, in UTC where it has no offset, or a time ago. Raises ``WrongValue``."""
    try:
        if ago := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise WrongValue(
            "a time is such as 2026-11-22, 2026-11-22T10:00:00Z, or 90s, 30m, 2h, 7d ago."
        ) from error


def parse_code(text: str) -> str:
    """Take any printable text: a newer release may have added a code. Raises ``WrongValue``."""
    if 1 <= len(text) <= MAX_CODE_CHARACTERS and text.isprintable():
        return text
    raise WrongValue("a code is such as user_not_found.")


def parse_chat_id(text: str) -> str:
    """Read a chat id, of which nothing is stripped. Raises ``WrongValue``."""
    if is_chat_id(text):
        return text
    raise WrongValue(
        f"a chat id is 1 to {MAX_CHAT_ID_CHARACTERS} printable characters without '/'."
        " White space at its ends is refused, not stripped."
    )
