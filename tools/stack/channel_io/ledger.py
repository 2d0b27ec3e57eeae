"""Ledger of the stand-in: its requests, and the chats that it made."""

import threading
import time
from dataclasses import dataclass, field
from types import MappingProxyType

from tools.stack.channel_io.answers import new_chat_id


@dataclass(frozen=True, slots=True)
class Create:
    """One chat that exists. ``at`` is in epoch seconds."""

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
        """Return whether any body was announced, an empty one in chunks too."""
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
        """A copy of what was created up to now."""
        with self._lock:
            return list(self._creates)

    @property
    def requests(self) -> list[Request]:
        """A copy of what arrived up to now."""
        with self._lock:
            return list(self._requests)

    def create(self, user_id: str) -> Create:
        """Make a new chat, as every call does."""
        with self._lock:
            now = time.time()
            create = Create(user_id, new_chat_id(now), now)
            self._creates.append(create)
        return create

    def note(self, request: Request) -> None:
        """Keep a request that has arrived."""
        with self._lock:
            self._requests.append(request)
