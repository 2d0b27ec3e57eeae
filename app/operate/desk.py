"""What every command works with, and how each of them ends."""

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import click

from app.chats.errors import NothingDone, StoreUnavailable
from app.chats.overview import Overview
from app.chats.record import Chat, FailureCode, Record, Status
from app.chats.story import Story

EXIT_NOTHING_DONE = 1
EXIT_UNAVAILABLE = 3
MAX_NAME_CHARACTERS = 64


class Operations(Protocol):
    """What the commands do; methods raise ``NothingDone`` and ``StoreUnavailable``."""

    def overview(self) -> Overview:
        """How the relay stands."""

    def records(
        self, status: Status, *, limit: int | None = None
    ) -> Iterator[tuple[str, Record | None]]:
        """The events of one status; ``None`` for a record that only a newer release can read."""

    def story(self, event_id: str) -> Story:
        """What is known of one event."""

    def resolve_with_chat(self, event_id: str, chat_id: str, *, by: str) -> Record:
        """Publish a chat that was found."""

    def recreate(self, event_id: str, *, by: str) -> Record:
        """Consent to one more call."""

    def give_up(self, event_id: str, *, by: str) -> Record:
        """Let a held event fail."""

    def redrive(self, event_id: str, *, by: str, code: FailureCode | None = None) -> Record:
        """Try a failed event again."""

    def recover(
        self, event_id: str, *, user_id: str, attempt: int, chat: Chat, at: datetime
    ) -> str:
        """Settle a created chat that only a log line holds; what became of the event."""


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What one of the relay's processes would run with; ``problems`` keep it from starting."""

    process: str
    values: Mapping[str, Any]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the commands are given. Nothing connects before a command needs it."""

    connect: Callable[[], Operations]
    settings: Callable[[], Sequence[ProcessSettings]]


class Commands(click.Group):
    """A group whose commands end with 1 where nothing was done, and with 3 without Redis."""

    changing = frozenset({"resolve", "redrive", "recover"})

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the relay refuses becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except NothingDone as error:
            click.echo(f"Nothing was done: {error}.", err=True)
            ctx.exit(EXIT_NOTHING_DONE)
        except StoreUnavailable as error:
            click.echo(_without_redis(error, ctx.invoked_subcommand), err=True)
            ctx.exit(EXIT_UNAVAILABLE)


def _without_redis(error: StoreUnavailable, command: str | None) -> str:
    sentence = f"Redis did not answer: {' '.join(str(error).split()).rstrip('.')}."
    if command not in Commands.changing:
        return sentence
    return f"{sentence} It may have been done or not: `explain` tells, once Redis is there."


def _name(_: click.Context, __: click.Parameter, given: str | None) -> str:
    name = _login_name() if given is None else given.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise click.BadParameter(f"a name is 1 to {MAX_NAME_CHARACTERS} printable characters.")
    return name


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return f"uid {os.getuid()}"


json_option = click.option(
    "--json", "is_json", is_flag=True, help="JSON instead of text; records as the HTTP API's."
)
as_option = click.option(
    "--as", "by", metavar="NAME", callback=_name, help="Who decides; else the login name."
)
