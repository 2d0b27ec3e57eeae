"""The event that callers post, and its fingerprint."""

import hashlib
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import (
    PydanticCustomError,
    PydanticKnownError,
    PydanticSerializationError,
    to_json,
)

MAX_CLOCK_SKEW = timedelta(minutes=5)
MAX_METADATA_PAIRS = 10
MAX_METADATA_BYTES = 1024
MAX_TEXT_CHARACTERS = 4000
WRONG_USER = "user"  # type of the fault of an event with two users or none
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Python takes 24:00 (from 3.14 on) and offsets of 99 minutes for times; RFC 3339 does not.
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)


class OnUnknown(StrEnum):
    """The next step after a call whose result is unknown."""

    HOLD = "hold"
    RECREATE = "recreate"


def _is_path_segment(event_id: str) -> str:
    if event_id in {".", ".."}:
        raise PydanticCustomError("event_id", "must not be '.' or '..'")
    return event_id


def _parse_instant(value: Any) -> Any:
    """RFC 3339 with an offset, https://www.rfc-editor.org/rfc/rfc3339#section-5.6, as UTC."""
    if value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise PydanticCustomError(
            "rfc3339", "must be an RFC 3339 time with an offset, such as 2026-11-22T10:00:00Z"
        )
    try:
        return EPOCH + (datetime.fromisoformat(value.upper()) - EPOCH)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("rfc3339", "is not a time that exists") from error


def _is_not_ahead(instant: datetime | None) -> datetime | None:
    if instant is not None and instant > datetime.now(UTC) + MAX_CLOCK_SKEW:
        raise PydanticCustomError("ahead", "must not be more than 5 minutes ahead")
    return instant


def _parse_metadata(value: Any) -> Any:
    return {} if value is None else value


def _parse_on_unknown(value: Any) -> Any:
    if value is None:
        return None
    try:
        return OnUnknown(value)
    except ValueError as error:
        raise PydanticCustomError("on_unknown", "must be 'hold' or 'recreate'") from error


def _parse_flag(value: Any) -> Any:
    return False if value is None else value


def _is_present(value: Any) -> Any:
    if value is None:
        raise PydanticKnownError("missing")
    return value


def _is_text(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not 1 <= len(text) <= MAX_TEXT_CHARACTERS:
        raise PydanticCustomError("text", "must be 1 to 4000 characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError("text", "must be Unicode without lone surrogates") from error
    return secret


def _is_small(metadata: dict[str, str]) -> dict[str, str]:
    if len(metadata) > MAX_METADATA_PAIRS:
        raise PydanticCustomError("metadata", "must have at most 10 pairs")
    try:
        size_bytes = len(to_json(metadata))
    except PydanticSerializationError as error:
        raise PydanticCustomError(
            "metadata", "must be valid Unicode, without lone surrogates"
        ) from error
    if size_bytes > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata", "must be at most 1024 bytes as compact JSON")
    return metadata


EventId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:~-]+$"),
    AfterValidator(_is_path_segment),
]
UserId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
MemberId = Annotated[str, StringConstraints(pattern=r"^[^\s\p{Cc}]{1,64}$")]
BotName = Annotated[str, StringConstraints(pattern=r"^[^@#$%:/]{1,30}$")]


class FirstMessage(BaseModel):
    """The first message of the chat. ``private``: for the agents' eyes alone.

    The text is a person's: nothing but its own key in Redis and the request that sends it has it.
    ``bot_name`` is ``None`` where the caller left it to ``BOT_NAME``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    text: Annotated[SecretStr, BeforeValidator(_is_present), AfterValidator(_is_text)]
    private: Annotated[bool, BeforeValidator(_parse_flag)] = False
    bot_name: BotName | None = None


class OpenChatEvent(BaseModel):
    """Open a chat for this user: an event as an internal system posts it.

    ``event_id`` is the idempotency key. The user is named by Channel.io's ``user_id`` or by the
    caller's own ``member_id``, never both. ``open``: put the chat before the agents.
    ``occurred_at`` is aware UTC; ``on_unknown`` is ``None`` where the caller left it to the relay's
    setting; ``metadata`` is kept and returned, never used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    event_id: EventId
    user_id: UserId | None = None
    member_id: MemberId | None = None
    message: FirstMessage | None = None
    open: Annotated[bool, BeforeValidator(_parse_flag)] = False
    occurred_at: Annotated[
        datetime | None, BeforeValidator(_parse_instant), AfterValidator(_is_not_ahead)
    ] = None
    on_unknown: Annotated[OnUnknown | None, BeforeValidator(_parse_on_unknown)] = None
    metadata: Annotated[
        dict[str, str], BeforeValidator(_parse_metadata), AfterValidator(_is_small)
    ] = Field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """``1:`` and the URL-safe SHA-256 of the fields by which two events are the same."""
        content: dict[str, Any] = {
            "member_id": self.member_id,
            "message": self.message and _content_of(self.message),
            "metadata": dict(sorted(self.metadata.items())),
            "on_unknown": self.on_unknown,
            "open": self.open or None,
            "user_id": self.user_id,
        }
        content = {name: value for name, value in content.items() if value is not None}
        digest = hashlib.sha256(to_json(content)).digest()
        return "1:" + urlsafe_b64encode(digest).decode().rstrip("=")

    @model_validator(mode="after")
    def _has_one_user(self) -> Self:
        if self.user_id is None and self.member_id is None:
            raise PydanticCustomError(WRONG_USER, "user_id or member_id is required")
        if self.user_id is not None and self.member_id is not None:
            raise PydanticCustomError(WRONG_USER, "user_id and member_id must not both be given")
        return self

    @property
    def bot_name(self) -> str | None:
        """The name that the event gives the bot."""
        return self.message.bot_name if self.message else None


def _content_of(message: FirstMessage) -> dict[str, Any]:
    """Build a message's part of the fingerprint, its keys in order."""
    content = {
        "bot_name": message.bot_name,
        "private": message.private or None,
        "text": message.text.get_secret_value(),
    }
    return {name: value for name, value in content.items() if value is not None}
