"""Ledger of the stand-in: requests, and the chats, messages and opens that they made."""

import threading
import time
from dataclasses import dataclass, field
from types import MappingProxyType

from tools.stack.channel_io.answers import new_chat_id


@dataclass(frozen=True, slots=True)
class Create:
    """A chat that was created. ``at`` is in epoch seconds."""

    user_id: str
    chat_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a chat. ``at`` is in epoch seconds."""

    chat_id: str
    message_id: str
    text: str
    request_id: str | None
    options: tuple[str, ...]
    bot_name: str | None
    at: float

    @property
    def is_private(self) -> bool:
        """Return whether the agents alone see it."""
        return "private" in self.options


@dataclass(frozen=True, slots=True)
class Open:
    """A chat that a request opened. ``at`` is in epoch seconds."""

    chat_id: str
    bot_name: str
    at: float


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived. Header names are in lower case; ``at`` is in epoch seconds.

    ``client_port`` identifies the connection.
    """

    method: str
    path: str
    headers: MappingProxyType[str, str]
    body: bytes
    client_port: int
    at: float = field(default_factory=time.time)

    @property
    def has_body(self) -> bool:
        """Return whether the request had a body, even an empty chunked one."""
        return bool(self.body) or "transfer-encoding" in self.headers


class Ledger:
    """All requests in order, and their effects; safe to read and write from any thread."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._creates: dict[str, Create] = {}
        self._messages: list[Message] = []
        self._opens: list[Open] = []
        self._requests: list[Request] = []

    @property
    def creates(self) -> list[Create]:
        """Return a copy of the creates."""
        with self._lock:
            return list(self._creates.values())

    @property
    def messages(self) -> list[Message]:
        """Return a copy of the messages."""
        with self._lock:
            return list(self._messages)

    @property
    def opens(self) -> list[Open]:
        """Return a copy of the opens."""
        with self._lock:
            return list(self._opens)

    @property
    def requests(self) -> list[Request]:
        """Return a copy of the requests."""
        with self._lock:
            return list(self._requests)

    def create(self, user_id: str) -> Create:
        """Create a chat, as every call does."""
        with self._lock:
            now = time.time()
            create = Create(user_id, new_chat_id(now), now)
            self._creates[create.chat_id] = create
        return create

    def create_of(self, chat_id: str) -> Create | None:
        """Return the create of a chat, None if there is none."""
        with self._lock:
            return self._creates.get(chat_id)

    def add_message(self, message: Message) -> None:
        """Record a message, as every send makes one."""
        with self._lock:
            self._messages.append(message)

    def add_open(self, opened: Open) -> None:
        """Record an open."""
        with self._lock:
            self._opens.append(opened)

    def note(self, request: Request) -> None:
        """Record a request."""
        with self._lock:
            self._requests.append(request)
