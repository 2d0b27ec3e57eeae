"""Reading of an answer's body: identifiers, and nothing of a person.

No body makes anything here raise, whatever its bytes are.
"""

import json
import re
from typing import Any

from app.chats.record import Chat, Session, is_chat_id

MAX_IDENTIFIER_CHARACTERS = 256

_NOT_FOUND = re.compile(r"not[ _-]?found|no such user|찾을 수 없|존재하지 않", re.IGNORECASE)


def read_chat(body: bytes | None) -> Chat | None:
    """The chat of a create's answer, or ``None`` where its id cannot be read."""
    answer = _read_object(body)
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


def has_channel(body: bytes | None) -> bool:
    """Return whether this is the answer to a request for the channel."""
    return isinstance(_read_object(body).get("channel"), dict)


def says_not_found(body: bytes | None) -> bool:
    """Return whether an error's body says, in English or Korean, that there is no such user."""
    text = (body or b"").decode("utf-8", "replace")
    # JSON may write Korean as \\uXXXX, so what parses is searched as it reads.
    return bool(_NOT_FOUND.search(json.dumps(_read_object(body), ensure_ascii=False) + text))


def _read_object(body: bytes | None) -> dict[str, Any]:
    """The JSON object that ``body`` is, or an empty one."""
    try:
        value = json.loads((body or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


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


def _is_identifier(text: str) -> bool:
    return 1 <= len(text) <= MAX_IDENTIFIER_CHARACTERS and text.isprintable()
