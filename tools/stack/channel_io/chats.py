"""Chats of the stand-in: their states, and their messages."""

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from tools.stack.channel_io.ledger import Create, Ledger, Message, Open

INITIAL = "initial"
OPENED = "opened"
UNKNOWN_BOT = "stand-in-unknown-bot"


@dataclass(slots=True, kw_only=True)
class Switches:
    """Unproven properties of Channel.io, as tests set them.

    ``list_lag_seconds`` is the age at which a new message appears in lists; messages made while
    ``hides_new_messages`` appear when it is set to False. Pages have ``page_size`` messages at
    most, whichever ``limit`` is requested.
    """

    deduplicates_request_ids: bool = False
    lists_request_ids: bool = True
    list_lag_seconds: float = 0.0
    hides_new_messages: bool = False
    page_size: int = 500
    cursor_field: str = "next"
    message_opens_chat: bool = False
    refuses_second_open: bool = False
    unknown_bots: Collection[str] = (UNKNOWN_BOT,)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A message in a chat; ``visible_at`` is in seconds of the monotonic clock."""

    message: Message
    visible_at: float = 0.0
    is_held: bool = False


class Chats:
    """All chats of the ledger; safe to read and change from any thread."""

    def __init__(self, ledger: Ledger) -> None:
        """Start with the default switches."""
        self.switches = Switches()
        self._ledger = ledger
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._entries: defaultdict[str, list[_Entry]] = defaultdict(list)

    def find(self, chat_id: str) -> Create | None:
        """Return the create of a chat, None if there is none."""
        return self._ledger.create_of(chat_id)

    def state_of(self, chat_id: str) -> str:
        """Return a chat's state; every chat starts as ``initial``."""
        with self._lock:
            return self._states.get(chat_id, INITIAL)

    def set_state(self, chat_id: str, state: str) -> None:
        """Change a chat's state, as a person does."""
        with self._lock:
            self._states[chat_id] = state

    def open(self, chat_id: str, bot_name: str) -> bool:
        """Open a chat; return False if it was open and a second open is refused."""
        with self._lock:
            if self._states.get(chat_id) == OPENED and self.switches.refuses_second_open:
                return False
            self._states[chat_id] = OPENED
            self._ledger.add_open(Open(chat_id, bot_name, time.time()))
        return True

    def post(
        self,
        chat_id: str,
        text: str,
        request_id: str | None,
        options: tuple[str, ...],
        bot_name: str | None,
    ) -> Message:
        """Add a message; return the earlier one if its ``requestId`` is deduplicated."""
        with self._lock:
            if self.switches.deduplicates_request_ids and request_id is not None:
                for entry in self._entries[chat_id]:
                    if entry.message.request_id == request_id:
                        return entry.message
            message = _new_message(chat_id, text, request_id, options, bot_name)
            visible_at = time.monotonic() + self.switches.list_lag_seconds
            entry = _Entry(message, visible_at, self.switches.hides_new_messages)
            self._entries[chat_id].append(entry)
            self._ledger.add_message(message)
            if self.switches.message_opens_chat and not message.is_private:
                self._states.setdefault(chat_id, OPENED)
        return message

    def add_from_person(self, chat_id: str, text: str) -> None:
        """Add a message of a person, which is in lists at once and not in the ledger."""
        with self._lock:
            self._entries[chat_id].append(_Entry(_new_message(chat_id, text, None, (), None)))

    def delete(self, message_id: str) -> None:
        """Remove a message from its chat, as a person does; the ledger keeps it."""
        with self._lock:
            for entries in self._entries.values():
                entries[:] = [one for one in entries if one.message.message_id != message_id]

    def messages_in(self, chat_id: str) -> list[Message]:
        """Return the messages that a list shows now, newest first."""
        with self._lock:
            now = time.monotonic()
            return [
                entry.message
                for entry in reversed(self._entries[chat_id])
                if entry.visible_at <= now
                and not (entry.is_held and self.switches.hides_new_messages)
            ]


def _new_message(
    chat_id: str,
    text: str,
    request_id: str | None,
    options: tuple[str, ...],
    bot_name: str | None,
) -> Message:
    message_id = secrets.token_hex(10)
    return Message(chat_id, message_id, text, request_id, options, bot_name, time.time())
