"""Operations of Channel.io, executed on the stand-in's members and chats."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tools.stack.channel_io.answers import (
    CHANNEL_ID,
    Json,
    channel_answer,
    chat_answer,
    error_answer,
    operation_error_answer,
    user_answer,
    user_chat_answer,
)
from tools.stack.channel_io.behaviours import Operation
from tools.stack.channel_io.chats import Chats
from tools.stack.channel_io.ledger import Create, Ledger, Message
from tools.stack.channel_io.members import Members
from tools.stack.channel_io.versions import VersionFacts

BOT_NAME = re.compile(r"[^@#$%:/]{1,30}")
DEFAULT_LIMIT = 25
MAX_LIMIT = 500
NO_CHATS: Json = {"userChats": [], "sessions": [], "users": []}


class RefusedRequest(Exception):
    """Request that Channel.io refuses, with its status and the body of the answer."""

    def __init__(self, status: int, content: Json) -> None:
        super().__init__(status)
        self.status = status
        self.content = content


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """Request in one version; ``subject`` is the user or chat in its path, decoded."""

    version: VersionFacts
    subject: str
    query: Mapping[str, str]
    body: bytes


class Channel:
    """The stand-in's channel; each operation returns its answer, or raises RefusedRequest."""

    def __init__(self, ledger: Ledger, members: Members, chats: Chats) -> None:
        """Execute the operations on these."""
        self._ledger = ledger
        self._members = members
        self._chats = chats
        self._operations: dict[Operation, Callable[[ApiRequest], Json]] = {
            Operation.PROBE: lambda _: channel_answer(),
            Operation.RESOLVE: self._resolve,
            Operation.CREATE: self._create,
            Operation.LIST_CHATS: lambda _: NO_CHATS,  # a chat made by the API is in no list
            Operation.LIST_MESSAGES: self._list_messages,
            Operation.MESSAGE: self._message,
            Operation.GET_CHAT: self._get_chat,
            Operation.OPEN: self._open,
        }

    def perform(self, operation: Operation, request: ApiRequest) -> Json:
        """Execute an operation, and record its effect."""
        return self._operations[operation](request)

    def user_of(self, operation: Operation, subject: str) -> str | None:
        """Return the user or member of an operation; None for a probe or an unknown chat."""
        match operation:
            case Operation.PROBE:
                return None
            case Operation.RESOLVE | Operation.CREATE | Operation.LIST_CHATS:
                return subject.removeprefix("@")
            case _:
                create = self._chats.find(subject)
                return create.user_id if create else None

    def _resolve(self, request: ApiRequest) -> Json:
        name = request.subject.removeprefix("@")
        is_member = request.subject.startswith("@")
        user_id = self._members.user_id_of(name) if is_member else name
        if user_id is None:
            status = request.version.unknown_user_status
            raise RefusedRequest(status, error_answer("userId", "User not found"))
        return user_answer(user_id, name, self._members.unified_id_of(user_id))

    def _create(self, request: ApiRequest) -> Json:
        create = self._ledger.create(request.subject)
        return chat_answer(create.user_id, create.chat_id, create.at)

    def _list_messages(self, request: ApiRequest) -> Json:
        chat_id = self._find(request).chat_id
        messages = self._chats.messages_in(chat_id)
        if request.query.get("sortOrder", "desc") == "asc":
            messages.reverse()
        rest = _messages_after(messages, request.query.get("since"))
        page = rest[: min(_limit(request), self._chats.switches.page_size)]
        cursor = page[-1].message_id if len(page) < len(rest) else None
        return {
            "messages": [self._fields(message) for message in page],
            self._chats.switches.cursor_field: cursor,
        }

    def _message(self, request: ApiRequest) -> Json:
        chat_id = self._find(request).chat_id
        bot_name = self._bot_name(request)
        content = _read_object(request.body)
        message = self._chats.post(
            chat_id,
            _text_of(content),
            content.get("requestId"),
            _options_of(content, request.version),
            bot_name,
        )
        return {"message": self._fields(message)}

    def _get_chat(self, request: ApiRequest) -> Json:
        create = self._find(request)
        state = self._chats.state_of(create.chat_id)
        return user_chat_answer(create.user_id, create.chat_id, create.at, state)

    def _open(self, request: ApiRequest) -> Json:
        chat_id = self._find(request).chat_id
        bot_name = self._bot_name(request)
        if bot_name is None:
            raise _invalid("botName", "is required")
        if not self._chats.open(chat_id, bot_name):
            raise _invalid("state", "is opened")
        return self._get_chat(request)

    def _find(self, request: ApiRequest) -> Create:
        create = self._chats.find(request.subject)
        if create is None:
            raise RefusedRequest(404, operation_error_answer(404, "notFound", "No such chat"))
        return create

    def _bot_name(self, request: ApiRequest) -> str | None:
        name = request.query.get("botName")
        if name is None:
            return None
        if not BOT_NAME.fullmatch(name):
            raise _invalid("botName", "is not a name")
        if request.version.refuses_unknown_bots and name in self._chats.switches.unknown_bots:
            raise RefusedRequest(422, operation_error_answer(422, "botNotFound", "No such bot"))
        return name

    def _fields(self, message: Message) -> Json:
        fields: Json = {
            "chatKey": f"userChat-{message.chat_id}",
            "id": message.message_id,
            "channelId": CHANNEL_ID,
            "chatType": "userChat",
            "chatId": message.chat_id,
            "plainText": message.text,
            "options": list(message.options),
            "createdAt": int(message.at * 1000),
        }
        if self._chats.switches.lists_request_ids and message.request_id is not None:
            fields["requestId"] = message.request_id
        return fields


def _messages_after(messages: list[Message], cursor: str | None) -> list[Message]:
    if cursor is None:
        return messages
    for position, message in enumerate(messages):
        if message.message_id == cursor:
            return messages[position + 1 :]
    raise _invalid("since", "is no cursor")


def _limit(request: ApiRequest) -> int:
    text = request.query.get("limit", str(DEFAULT_LIMIT))
    if not (text.isdecimal() and 1 <= int(text) <= MAX_LIMIT):
        raise _invalid("limit", f"is not between 1 and {MAX_LIMIT}")
    return int(text)


def _read_object(body: bytes) -> Json:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise RefusedRequest(400, {"type": "badRequest", "message": "No JSON object"})
    return content


def _text_of(content: Json) -> str:
    """Return the text of ``plainText`` or of ``blocks``."""
    text = content.get("plainText")
    if text is None:
        blocks = content.get("blocks")
        if not (isinstance(blocks, list) and all(map(_is_text_block, blocks))):
            raise _invalid("blocks", "is not a list of blocks")
        text = "\n".join(block["value"] for block in blocks)
    if not isinstance(text, str) or not text:
        raise _invalid("plainText", "is empty")
    return text


def _is_text_block(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("value"), str)
    )


def _options_of(content: Json, version: VersionFacts) -> tuple[str, ...]:
    options = content.get("options") or []
    if not (isinstance(options, list) and version.options.issuperset(options)):
        raise _invalid("options", "has an unknown option")
    return tuple(options)


def _invalid(field: str, message: str) -> RefusedRequest:
    return RefusedRequest(422, error_answer(field, message))
