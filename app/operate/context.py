"""Context and exit codes of the command line, and the options that commands share."""

import getpass
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from app.chats.errors import NothingDone, StoreRefused, StoreUnavailable
from app.store.operations import Operations
from app.store.scripts import NotAcknowledged

EXIT_NOTHING_DONE = 1
EXIT_UNAVAILABLE = 3
MAX_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class SettingsPreview:
    """The settings that a process would run with; ``problems`` keep it from starting.

    ``ignored`` are the variables that have no effect on it, each with the reason.
    """

    process: str
    values: Mapping[str, Any]
    problems: Sequence[str]
    ignored: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CliContext:
    """The command line's collaborators. Nothing connects before a command needs it."""

    connect: Callable[[], Operations]
    settings: Callable[[], Sequence[SettingsPreview]]


class CommandGroup(click.Group):
    """Commands that end with 1 where nothing was done, and with 3 without Redis."""

    changing = frozenset({"resolve", "redrive", "cancel", "pause", "resume", "forget", "recover"})

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn the relay's errors into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except NothingDone as error:
            click.echo(f"Nothing was done: {error}.", err=True)
            ctx.exit(EXIT_NOTHING_DONE)
        except StoreUnavailable as error:
            click.echo(_describe_outage(error, ctx.invoked_subcommand), err=True)
            ctx.exit(EXIT_UNAVAILABLE)


def _describe_outage(error: StoreUnavailable, command: str | None) -> str:
    sentence = f"{_name_outage(error)}: {' '.join(str(error).split()).rstrip('.')}."
    if command not in CommandGroup.changing:
        return sentence
    return (
        f"{sentence} It may have been done or not:"
        " `python -m app.operate explain EVENT_ID` shows that, once Redis is there."
    )


def _name_outage(error: StoreUnavailable) -> str:
    if isinstance(error, NotAcknowledged):
        return "Redis did not confirm"
    return "Redis refused" if isinstance(error, StoreRefused) else "Redis did not answer"


def _parse_name(_: click.Context, __: click.Parameter, given: str | None) -> str:
    name = _read_login_name() if given is None else given.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise click.BadParameter(f"a name is 1 to {MAX_NAME_CHARACTERS} printable characters.")
    return name


def _read_login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return f"uid {os.getuid()}"


json_option = click.option(
    "--json", "is_json", is_flag=True, help="JSON instead of text; records as the HTTP API's."
)
as_option = click.option(
    "--as", "by", metavar="NAME", callback=_parse_name, help="Who decides; else the login name."
)
