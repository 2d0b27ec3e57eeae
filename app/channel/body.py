"""Parser of response bodies: identifiers only, no personal data.

No function here raises, for any bytes. ``charset`` is the one that the answer
names.
"""

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import Any

from app.chats.record import Chat, Session, is_chat_id

MAX_IDENTIFIER_CHARACTERS = 256
MAX_CURSOR_CHARACTERS = 2048
CURSOR_FIELDS = ("next", "nextCursor")
UNIFIED = "unified"

_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_FOUND = re.compile(r"not[ _-]?found|no such (user|bot)|찾을 수 없|존재하지 않", re.IGNORECASE)
_BOT = re.compile(r"(?:(?<![A-Za-z])b|B)ot(?![a-z])|봇")
_UNREADABLE = "\ufffd"
# Charsets in which a byte of one character may look like a backslash, or which Korean errors come
# in; each is read as the charset that contains it.
_CHARSETS = {
    "euc_kr": "cp949",
    "cp949": "cp949",
    "shift_jis": "cp932",
    "cp932": "cp932",
    "euc_jp": "euc_jp",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "cp950",
    "cp950": "cp950",
}


@dataclass(frozen=True, slots=True)
class ChannelUser:
    """A user; ``unified_id`` is the user that this one was merged into, if any."""

    id: str
    unified_id: str | None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message in a chat. Its text is a person's, and stays out of ``repr``."""

    id: str | None
    request_id: str | None
    text: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessagePage:
    """A page of a chat's messages.

    ``is_last``: it has the chat's first message. ``next`` leads to the page before it, and is
    ``None`` from the last one, or where it cannot be read.
    """

    messages: list[ChatMessage]
    is_last: bool
    next: str | None


def read_user(body: bytes | None, charset: str | None = None) -> ChannelUser | None:
    """Return the user of an answer, or ``None`` if the id that counts cannot be read."""
    user = _object_in(_read_object(body, charset), "user")
    user_id, unified_id = _user_id_in(user, "id"), _user_id_in(user, "unifiedId")
    is_merged = user.get("type") == UNIFIED
    if user_id is None or (is_merged and unified_id is None):
        return None
    return ChannelUser(user_id, unified_id if is_merged else None)


def read_messages(body: bytes | None, charset: str | None = None) -> MessagePage | None:
    """Return a page of messages, or ``None`` if they cannot be read."""
    answer = _read_object(body, charset)
    found = answer.get("messages")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        return None
    cursors = [answer[name] for name in CURSOR_FIELDS if answer.get(name) is not None]
    are_readable = all(map(_is_cursor, cursors))
    messages = [
        ChatMessage(
            _identifier_in(message, "id"),
            str(message["requestId"]) if message.get("requestId") else None,
            _text_in(message, "plainText"),
        )
        for message in found
    ]
    return MessagePage(messages, not cursors, cursors[0] if cursors and are_readable else None)


def read_message_id(body: bytes | None, charset: str | None = None) -> str | None:
    """Return the id of the message of an answer, if it can be read."""
    return _identifier_in(_object_in(_read_object(body, charset), "message"), "id")


def read_chat_state(body: bytes | None, charset: str | None = None) -> str | None:
    """Return the state of the chat of an answer, or ``None`` if it cannot be read."""
    return _identifier_in(_object_in(_read_object(body, charset), "userChat"), "state")


def is_bot_not_found(body: bytes | None, charset: str | None = None) -> bool:
    """Return whether an error's body reports, in English or Korean, an unknown bot name."""
    text = _error_text(body, charset)
    return bool(_BOT.search(text) and _NOT_FOUND.search(text))


def read_chat(body: bytes | None, charset: str | None = None) -> Chat | None:
    """Return the chat of a create's answer, or ``None`` if its id cannot be read."""
    answer = _read_object(body, charset)
    user_chat = _object_in(answer, "userChat")
    chat_id = _identifier_in(user_chat, "id")
    if chat_id is None or not is_chat_id(chat_id):
        return None
    return Chat(
        chat_id,
        _identifier_in(user_chat, "channelId"),
        _identifier_in(user_chat, "state"),
        _session_in(answer, "session"),
        _session_in(answer, "userSession"),
    )


def has_channel(body: bytes | None, charset: str | None = None) -> bool:
    """Return whether this is the answer to a request for the channel."""
    return isinstance(_read_object(body, charset).get("channel"), dict)


def is_user_not_found(body: bytes | None, charset: str | None = None) -> bool:
    """Return whether an error's body reports, in English or Korean, a missing user."""
    return bool(_NOT_FOUND.search(_error_text(body, charset)))


def _error_text(body: bytes | None, charset: str | None) -> str:
    """Return the text of an error, behind what its JSON reads as: that may escape Korean."""
    parsed = json.dumps(_read_object(body, charset), ensure_ascii=False)
    return parsed + _decode(body or b"", charset)


def _read_object(body: bytes | None, charset: str | None) -> dict[str, Any]:
    """Return the JSON object that ``body`` is, or an empty one.

    Only the ids matter: neither a line feed in a name nor a number of any length loses them.
    """
    try:
        value = json.loads(_decode(body or b"", charset), strict=False, parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _decode(body: bytes, charset: str | None) -> str:
    """Return the text of ``body``, without a byte order mark.

    JSON is UTF-8, or was once UTF-16 or UTF-32, and a charset changes nothing of that:
    https://www.rfc-editor.org/rfc/rfc8259#section-11. Of text that is neither only what can be read
    matters, so other bytes are replaced.
    """
    encoding = json.detect_encoding(body)
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        text = body.decode(_known_charset(charset) or encoding, "replace")
    return text.lstrip("\ufeff")


def _known_charset(charset: str | None) -> str | None:
    try:
        return _CHARSETS.get(codecs.lookup(charset or "utf-8").name)
    except (LookupError, ValueError):
        return None


def _object_in(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _session_in(answer: dict[str, Any], name: str) -> Session | None:
    session = _object_in(answer, name)
    session_id = _identifier_in(session, "id")
    return None if session_id is None else Session(session_id, _identifier_in(session, "key"))


def _identifier_in(parent: dict[str, Any], name: str) -> str | None:
    value = parent.get(name)
    return value if isinstance(value, str) and _is_identifier(value) else None


def _user_id_in(parent: dict[str, Any], name: str) -> str | None:
    value = parent.get(name)
    return value if isinstance(value, str) and _USER_ID.fullmatch(value) else None


def _text_in(parent: dict[str, Any], name: str) -> str | None:
    value = parent.get(name)
    return value if isinstance(value, str) and value else None


def _is_cursor(value: Any) -> bool:
    is_text = isinstance(value, str) and value.isprintable()
    return is_text and 1 <= len(value) <= MAX_CURSOR_CHARACTERS


def _is_identifier(text: str) -> bool:
    is_short = 1 <= len(text) <= MAX_IDENTIFIER_CHARACTERS
    return is_short and text.isprintable() and _UNREADABLE not in text
