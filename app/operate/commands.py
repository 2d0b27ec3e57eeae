"""The commands. Exit codes: 0 done, 1 nothing was done, 2 wrong usage, 3 Redis did not confirm."""

import getpass
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Protocol

import click

from app.chats.errors import NothingDone, StoreUnavailable
from app.chats.outcome import Chat, FailureCode
from app.chats.overview import Overview, Story
from app.chats.record import Record, Status
from app.operate import tables
from app.operate.log_lines import created_lines

EXIT_NOTHING_DONE = 1
EXIT_UNAVAILABLE = 3
MAX_CHAT_ID_CHARACTERS = 256
CODES = [code.value for code in FailureCode]
LISTED = [status.value for status in Status if status is not Status.OPENED]


class Operations(Protocol):
    """What the commands do; methods raise ``NothingDone`` and ``StoreUnavailable``."""

    def overview(self) -> Overview:
        """How the relay stands."""

    def records(self, status: Status, *, limit: int | None = None) -> Iterator[Record]:
        """The records of one status."""

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
        """Settle a created chat that only a log line holds."""


Connect = Callable[[], Operations]
as_json = click.option("--json", "is_json", is_flag=True, help="JSON instead of a table.")
by_name = click.option(
    "--as", "by", default=getpass.getuser, help="Who decides; the login name if left out."
)


@click.group()
def cli() -> None:
    """See how the relay stands, and decide what nobody else can."""


@cli.command()
@as_json
@click.pass_obj
def status(connect: Connect, *, is_json: bool) -> None:
    """How many events wait, are called, are held, have failed; and the gate."""
    with _exit_codes():
        overview = connect().overview()
        click.echo(tables.as_json(overview) if is_json else tables.overview(overview))


@cli.command("list")
@click.option(
    "--status", "of", type=click.Choice(LISTED), default=Status.UNKNOWN.value, show_default=True
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@as_json
@click.pass_obj
def list_(connect: Connect, *, of: str, limit: int, is_json: bool) -> None:
    """The events of one status, those that have been so the longest first."""
    with _exit_codes():
        found = list(connect().records(Status(of), limit=limit))
        click.echo(tables.as_json(found) if is_json else tables.records(found, of))


@cli.command()
@click.argument("event_id")
@as_json
@click.pass_obj
def explain(connect: Connect, event_id: str, *, is_json: bool) -> None:
    """What happened to an event, why it is where it is, and what can be done."""
    with _exit_codes():
        story = connect().story(event_id)
        click.echo(tables.as_json(story) if is_json else tables.story(story))


@cli.command()
@click.argument("event_id", required=False)
@click.option("--chat-id", help="Publish this chat: it was found at Channel.io.")
@click.option("--recreate", is_flag=True, help="Consent to one more call, and a possible orphan.")
@click.option("--give-up", is_flag=True, help="Let it fail; whether there is a chat stays unknown.")
@click.option("--all-held", is_flag=True, help="Every held event; not with --chat-id.")
@by_name
@as_json
@click.pass_obj
def resolve(
    connect: Connect,
    event_id: str | None,
    *,
    chat_id: str | None,
    recreate: bool,
    give_up: bool,
    all_held: bool,
    by: str,
    is_json: bool,
) -> None:
    """Decide about a held event in one of three ways."""
    if [chat_id is not None, recreate, give_up].count(True) != 1:
        raise click.UsageError("say one of --chat-id, --recreate and --give-up")
    if (event_id is None) != all_held or (all_held and chat_id is not None):
        raise click.UsageError("name one EVENT_ID, or say --all-held (not with --chat-id)")
    with _exit_codes():
        operations = connect()
        decide = _decision(operations, chat_id, by, is_recreate=recreate)
        events = [event_id] if event_id is not None else _ids(operations, Status.UNKNOWN)
        _act_on(events, decide, is_all=all_held, is_json=is_json)


@cli.command()
@click.argument("event_id", required=False)
@click.option("--all-failed", is_flag=True, help="Every failed event with the code of --code.")
@click.option("--code", type=click.Choice(CODES), help="Only failures with this code.")
@by_name
@as_json
@click.pass_obj
def redrive(
    connect: Connect,
    event_id: str | None,
    *,
    all_failed: bool,
    code: str | None,
    by: str,
    is_json: bool,
) -> None:
    """Try failed events again, where surely no attempt made a chat."""
    if (event_id is None) != all_failed or all_failed != (code is not None):
        raise click.UsageError("name one EVENT_ID, or say --all-failed --code CODE")
    wanted = FailureCode(code) if code else None
    with _exit_codes():
        operations = connect()
        events = [event_id] if event_id is not None else _ids(operations, Status.FAILED, wanted)
        _act_on(
            events,
            lambda event: operations.redrive(event, by=by, code=wanted),
            is_all=all_failed,
            is_json=is_json,
        )


@cli.command()
@click.option(
    "--from-log", "log", type=click.File(errors="replace"), required=True, help="- is stdin."
)
@as_json
@click.pass_obj
def recover(connect: Connect, *, log: IO[str], is_json: bool) -> None:
    """Settle the created chats that a worker's log holds; what is settled already stays."""
    with _exit_codes():
        operations = connect()
        results = [
            {"event_id": line.event_id, "chat_id": line.chat.id, "result": line.settle(operations)}
            for line in created_lines(log)
        ]
        if not results:
            raise NothingDone("the log holds no line of a call that created a chat")
        click.echo(json.dumps(results) if is_json else tables.recovered(results))


def _decision(
    operations: Operations, chat_id: str | None, by: str, *, is_recreate: bool
) -> Callable[[str], Record]:
    if chat_id is not None:
        return lambda event: operations.resolve_with_chat(event, _chat_id(chat_id), by=by)
    if is_recreate:
        return lambda event: operations.recreate(event, by=by)
    return lambda event: operations.give_up(event, by=by)


def _chat_id(text: str) -> str:
    if not 1 <= len(text) <= MAX_CHAT_ID_CHARACTERS or "/" in text or not text.isprintable():
        raise NothingDone("a chat id is 1 to 256 printable characters without '/'")
    return text


def _ids(operations: Operations, status: Status, code: FailureCode | None = None) -> list[str]:
    """The ids first, all of them: acting on an event takes it off the list."""
    return [
        record.event_id
        for record in operations.records(status)
        if code is None or (record.failure and record.failure.code is code)
    ]


def _act_on(
    events: Sequence[str], act: Callable[[str], Record], *, is_all: bool, is_json: bool
) -> None:
    """Act on each event; of many, those that were settled meanwhile are passed over."""
    done: list[Record] = []
    passed: list[str] = []
    with click.progressbar(events, file=sys.stderr, hidden=not is_all) as progress:
        for event in progress:
            try:
                done.append(act(event))
            except NothingDone as error:
                if not is_all:
                    raise
                passed.append(str(error))
    if not done:
        raise NothingDone(passed[0] if passed else "there is no such event")
    for sentence in passed:
        click.echo(f"passed over: {sentence}", err=True)
    click.echo(tables.as_json(done) if is_json else tables.records(done, "done"))


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        yield
    except NothingDone as error:
        click.echo(f"Nothing was done: {error}.", err=True)
        sys.exit(EXIT_NOTHING_DONE)
    except StoreUnavailable as error:
        click.echo(f"Redis did not confirm it ({error}); look before you repeat it.", err=True)
        sys.exit(EXIT_UNAVAILABLE)
