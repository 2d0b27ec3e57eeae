"""Grants of the tests, and their tasks performed."""

import time
from typing import Any

from pydantic import SecretStr

from app.channel.attempt import CallContext
from app.channel.tasks import ChannelTasks
from app.chats.grant import Grant, Task
from app.chats.outcome import Outcome
from tests.channel.calls import AMPLE_SECONDS, CHAT_ID, USER_ID, client_of
from tests.channel.raw_server import RawServer

TEXT = "주문이 도착했습니다 🎉"


def resolve_of(member_id: str) -> Grant:
    """A grant to find a member's user."""
    fields = {"member_id": member_id, "attempts": 0, "attempt": 1}
    return Grant("e1", None, 1, "token", fields, Task.RESOLVE)


def create_of(user_id: str) -> Grant:
    """A grant to create a chat."""
    return Grant("e1", user_id, 1, "token", {"attempts": 1, "attempt": 1})


def message_of(
    text: str = TEXT,
    *,
    event_id: str = "e1",
    chat_id: str = CHAT_ID,
    bot_name: str | None = None,
    **task: Any,
) -> Grant:
    """A grant to send a message; ``task`` has fields of it: private, look_only."""
    fields = _fields_of(chat_id, bot_name) | {"tasks": {"message": {"status": "pending", **task}}}
    return Grant(event_id, USER_ID, 2, "token", fields, Task.MESSAGE, SecretStr(text))


def open_of(chat_id: str = CHAT_ID, *, bot_name: str | None = "Bell", **task: Any) -> Grant:
    """A grant to open a chat for the agents; ``task`` has fields of it: look_only."""
    fields = _fields_of(chat_id, bot_name) | {"tasks": {"open": {"status": "pending", **task}}}
    return Grant("e1", USER_ID, 3, "token", fields, Task.OPEN)


def tasks_at(
    url: str,
    *,
    key_prefix: str = "relay",
    bot_name: str | None = None,
    api_version: str | None = None,
) -> ChannelTasks:
    """Tasks at a base URL, with the stand-in's keys."""
    client = client_of(url, api_version=api_version)
    return ChannelTasks(client, key_prefix=key_prefix, bot_name=bot_name)


def perform(url: str, grant: Grant, **settings: str | None) -> Outcome:
    """Perform a grant's task, in ample time."""
    outcome, _ = perform_counted(url, grant, **settings)
    return outcome


def perform_counted(url: str, grant: Grant, **settings: str | None) -> tuple[Outcome, int]:
    """Perform a grant's task; return its outcome, and how many requests were counted."""
    call = CallContext(time.monotonic() + AMPLE_SECONDS)
    outcome = tasks_at(url, **settings).perform(grant, call)  # type: ignore[arg-type]
    return outcome, call.requests


def _fields_of(chat_id: str, bot_name: str | None) -> dict[str, Any]:
    fields = {"chat_id": chat_id, "attempts": 1, "attempt": 2}
    return fields if bot_name is None else {**fields, "bot_name": bot_name}


def request_lines(server: RawServer) -> list[str]:
    """Return the first lines of the requests that a server received."""
    return [request.partition(b"\r\n")[0].decode() for request in server.received_up_to_now()]
