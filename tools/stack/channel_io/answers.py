"""Channel.io's responses, and their bytes."""

import gzip
import json
import secrets
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

Json = dict[str, Any]
Content = Json | list[Any] | bytes
Headers = Iterable[tuple[str, str]]

CHANNEL_ID = "6263"
NAME = "Minji Kasparov"
EMAIL = "minji.kasparov@customer.example"
PHONE = "+821055550123"
MESSAGE_TEXT = "my passport number is M70689098"

# No log line, record or answer of the relay may contain these.
PERSONAL = (NAME, EMAIL, PHONE, MESSAGE_TEXT)

JSON_TYPE = "application/json;charset=UTF-8"
HTML = b"<html><head><title>%d</title></head><body><h1>An edge answers</h1></body></html>"


def new_chat_id(created_at: float) -> str:
    """Return 20 lowercase hex digits; the first 8 are ``created_at`` in epoch seconds."""
    return f"{int(created_at):08x}{secrets.token_hex(6)}"


def chat_answer(user_id: str, chat_id: str, created_at: float) -> Json:
    """Return the body of v4's answer to a create, with personal data."""
    created_ms = int(created_at * 1000)
    return {
        "userChat": _user_chat(user_id, chat_id, created_ms, "initial"),
        "message": {
            "chatKey": f"userChat-{chat_id}",
            "id": secrets.token_hex(10),
            "channelId": CHANNEL_ID,
            "chatId": chat_id,
            "plainText": MESSAGE_TEXT,
            "createdAt": created_ms,
        },
        "bookmark": None,
        "session": _session("bot", "61225", chat_id, created_ms),
        "user": _user(user_id, created_ms),
        "userSession": _session("user", user_id, chat_id, created_ms),
        "chatTags": [],
        "userOnline": {"personType": "user", "personId": user_id, "channelId": CHANNEL_ID},
        "supportBot": {"id": "61225", "channelId": CHANNEL_ID, "name": "Support"},
        "marketing": None,
    }


def user_chat_answer(user_id: str, chat_id: str, created_at: float, state: str) -> Json:
    """Return a chat, with personal data."""
    return {"userChat": _user_chat(user_id, chat_id, int(created_at * 1000), state)}


def user_answer(user_id: str, member_id: str, unified_id: str | None) -> Json:
    """Return a user, with personal data; ``unified_id`` is for a merged one."""
    user = _user(user_id, int(time.time() * 1000)) | {"memberId": member_id}
    if unified_id is not None:
        user |= {"type": "unified", "unifiedId": unified_id}
    return {"user": user}


def channel_answer() -> Json:
    """Return the answer to ``GET {base}/channel``."""
    return {"channel": {"id": CHANNEL_ID, "name": "Stand-in", "country": "KR", "state": "active"}}


def error_answer(field: str, message: str) -> Json:
    """Return an error in one of Channel.io's forms."""
    return {"errors": [{"field": field, "message": message}]}


def operation_error_answer(status: int, code: str, message: str) -> Json:
    """Return an error in another of Channel.io's forms."""
    return {"status": status, "operationErrorCode": code, "message": message, "details": []}


def html_answer(status: int) -> bytes:
    """Return the page of an edge server in front of Channel.io."""
    return HTML % status


def encode(content: Content) -> bytes:
    """Return the bytes of a body."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def media_type(content: Content) -> str:
    """Return HTML's media type for bytes that start with a tag, else JSON's."""
    return "text/html" if isinstance(content, bytes) and content[:1] == b"<" else JSON_TYPE


def http_bytes(status: int, headers: Headers, body: bytes) -> bytes:
    """Return a whole HTTP/1.1 answer; no header is added to ``headers``."""
    reason = HTTPStatus(status).phrase
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes, chunk_bytes: int = 100) -> bytes:
    """Return ``body`` in the chunked transfer coding, RFC 9112 section 7.1."""
    pieces = [body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def gzipped_spaces(size_bytes: int) -> bytes:
    """Return a small gzip body that unpacks to ``size_bytes`` of empty JSON."""
    return gzip.compress(b"{" + b" " * (size_bytes - 2) + b"}")


def _user_chat(user_id: str, chat_id: str, created_ms: int, state: str) -> Json:
    return {
        "id": chat_id,
        "channelId": CHANNEL_ID,
        "state": state,
        "managed": False,
        "handling": "user",
        "userId": user_id,
        "name": NAME,
        "createdAt": created_ms,
        "updatedAt": created_ms,
        "version": 0,
    }


def _session(person_type: str, person_id: str, chat_id: str, created_ms: int) -> Json:
    return {
        "id": secrets.token_hex(10),
        "key": f"{person_type}-{person_id}-userChat-{chat_id}",
        "chatId": chat_id,
        "chatType": "userChat",
        "chatKey": f"userChat-{chat_id}",
        "channelId": CHANNEL_ID,
        "personType": person_type,
        "personId": person_id,
        "unread": 0,
        "createdAt": created_ms,
    }


def _user(user_id: str, created_ms: int) -> Json:
    return {
        "id": user_id,
        "channelId": CHANNEL_ID,
        "memberId": "customer-8841",
        "type": "member",
        "name": NAME,
        "profile": {"name": NAME, "email": EMAIL, "mobileNumber": PHONE},
        "createdAt": created_ms,
    }
