"""Ledger of the stand-in: the requests, and the chats that it made."""

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
    """All creates and requests in order; safe to read and write from any thread."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._creates: list[Create] = []
        self._requests: list[Request] = []

    @property
    def creates(self) -> list[Create]:
        """Return a copy of the creates."""
        with self._lock:
            return list(self._creates)

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
            self._creates.append(create)
        return create

    def note(self, request: Request) -> None:
        """Record a request."""
        with self._lock:
            self._requests.append(request)
