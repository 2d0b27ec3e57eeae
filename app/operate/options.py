"""Options that several commands share, and the question before permanent changes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from app.chats.errors import NothingDone
from app.operate.filters import (
    WrongValue,
    parse_code,
    parse_event_id,
    parse_member,
    parse_since,
    parse_user,
)
from app.store.keys import Person


class UnconfirmedError(click.ClickException):
    """A question that cannot be asked. It has the exit code of wrong usage."""

    exit_code = 2


def confirm(question: str, *, is_yes: bool) -> None:
    """Ask on the terminal, unless ``--yes`` was given. Raises ``NothingDone`` for a no."""
    if is_yes:
        return
    if not sys.stdin.isatty():
        raise UnconfirmedError(f"{question} There is no terminal to ask on: add --yes.")
    if not click.confirm(question, err=True):
        raise NothingDone("it was not confirmed")


@contextmanager
def progress_bar(length: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error, if that is a terminal; yield what advances it."""
    with click.progressbar(
        length=length, file=sys.stderr, hidden=not sys.stderr.isatty(), show_pos=True
    ) as bar:
        yield bar.update


class Parsed(click.ParamType[Any]):
    """A type of option whose text is read by one of ``app.operate.filters``."""

    name = "text"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text, or refuse it in the words of its parser."""
        try:
            return self._parse(value)
        except WrongValue as error:
            self.fail(str(error), param, ctx)


def choose_person(user: Person | None, member: Person | None) -> Person | None:
    """Return the person of ``--user`` or ``--member``, if one was given."""
    if user is not None and member is not None:
        raise click.UsageError("Say --user or --member, not both.")
    return user or member


event_id_type = Parsed(parse_event_id)
user_option = click.option(
    "--user", metavar="ID", type=Parsed(parse_user), help="Only this user's events."
)
member_option = click.option(
    "--member",
    metavar="ID",
    type=Parsed(parse_member),
    help="Only events posted with this member id.",
)
since_option = click.option(
    "--since",
    metavar="T",
    type=Parsed(parse_since),
    help="Only events accepted since: 2026-11-22, 2026-11-22T10:00:00Z (UTC by default), 2h.",
)
code_option = click.option(
    "--code", metavar="CODE", type=Parsed(parse_code), help="Only failures with this code."
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="At most so many events."
)
dry_run_option = click.option(
    "--dry-run", "is_dry_run", is_flag=True, help="Show what would be done, and do nothing."
)
bulk_dry_run_option = click.option(
    "--dry-run",
    "is_dry_run",
    is_flag=True,
    help="Of many events only: show what would be done, and do nothing.",
)
yes_option = click.option(
    "--yes", "is_yes", is_flag=True, help="Do not ask; needed where there is no terminal."
)
