"""Options that several commands share, and the question before permanent changes."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from pydantic import TypeAdapter, ValidationError

from app.chats.errors import NothingDone
from app.chats.event import EventId, MemberId, UserId
from app.store.keys import Person

MAX_CODE_CHARACTERS = 64
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EVENT_ID: TypeAdapter[str] = TypeAdapter(EventId)
_USER_ID: TypeAdapter[str] = TypeAdapter(UserId)
_MEMBER_ID: TypeAdapter[str] = TypeAdapter(MemberId)


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


def parse_event_id(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Refuse what cannot be an event id, of which some cannot be sent to Redis."""
    try:
        return None if text is None else _EVENT_ID.validate_python(text)
    except ValidationError as error:
        raise click.BadParameter(
            "an event id is 1 to 128 of A-Z, a-z, 0-9, '.', '_', ':', '~' and '-'."
        ) from error


def _parse_user(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else _USER_ID.validate_python(text)
    except ValidationError as error:
        raise click.BadParameter("a user id is 1 to 64 of A-Z, a-z, 0-9, _ and -.") from error


def _parse_member(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else _MEMBER_ID.validate_python(text)
    except ValidationError as error:
        raise click.BadParameter(
            "a member id is 1 to 64 characters, none of them white space or a control character."
        ) from error


def choose_person(user_id: str | None, member_id: str | None) -> Person | None:
    """Return the person of ``--user`` or ``--member``, if one was given."""
    if user_id is not None and member_id is not None:
        raise click.UsageError("Say --user or --member, not both.")
    if member_id is not None:
        return Person("member_id", member_id)
    return None if user_id is None else Person("user_id", user_id)


def _parse_since(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if ago := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            "a time is such as 2026-11-22, 2026-11-22T10:00:00Z, or 90s, 30m, 2h, 7d ago."
        ) from error


def _parse_code(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Take any text: a newer release may have added a code."""
    if text is None or (1 <= len(text) <= MAX_CODE_CHARACTERS and text.isprintable()):
        return text
    raise click.BadParameter("a code is such as user_not_found.")


user_option = click.option(
    "--user", "user_id", metavar="ID", callback=_parse_user, help="Only this user's events."
)
member_option = click.option(
    "--member",
    "member_id",
    metavar="ID",
    callback=_parse_member,
    help="Only events posted with this member id.",
)
since_option = click.option(
    "--since",
    metavar="T",
    callback=_parse_since,
    help="Only events accepted since: 2026-11-22, 2026-11-22T10:00:00Z (UTC by default), 2h.",
)
code_option = click.option(
    "--code", metavar="CODE", callback=_parse_code, help="Only failures with this code."
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
