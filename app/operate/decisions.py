"""The commands that decide about held events and about failed ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import click

from app.chats.errors import NothingDone, StoreUnavailable
from app.chats.record import MAX_CHAT_ID_CHARACTERS, FailureCode, Record, Status, is_chat_id
from app.operate import json_output, text_output
from app.operate.context import CliContext, as_option, json_option
from app.store.operations import Operations

CODES = [
    code.value
    for code in (
        FailureCode.USER_NOT_FOUND,
        FailureCode.REJECTED,
        FailureCode.EXPIRED,
        FailureCode.ABANDONED,
    )
]

Decision = Callable[[str], Record]


def _parse_chat_id(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is None or is_chat_id(text):
        return text
    raise click.BadParameter(
        f"a chat id is 1 to {MAX_CHAT_ID_CHARACTERS} printable characters without '/'."
    )


@click.command()
@click.argument("event_id", required=False)
@click.option(
    "--chat-id",
    metavar="ID",
    callback=_parse_chat_id,
    help="Publish this chat: it was found there.",
)
@click.option("--recreate", is_flag=True, help="Consent to one more call, and a possible orphan.")
@click.option("--give-up", is_flag=True, help="Let it fail; whether there is a chat stays unknown.")
@click.option("--all-held", is_flag=True, help="Every held event; not with --chat-id.")
@as_option
@json_option
@click.pass_obj
def resolve(
    context: CliContext,
    event_id: str | None,
    *,
    chat_id: str | None,
    recreate: bool,
    give_up: bool,
    all_held: bool,
    by: str,
    is_json: bool,
) -> None:
    """Decide about a held event in one of three ways.

    A late answer that was settled first stands.
    """
    if [chat_id is not None, recreate, give_up].count(True) != 1:
        raise click.UsageError("Say one of --chat-id, --recreate and --give-up.")
    if (event_id is None) != all_held or (all_held and chat_id is not None):
        raise click.UsageError("Name one EVENT_ID, or say --all-held (not with --chat-id).")
    operations = context.connect()
    decide = _choose_decision(operations, by, chat_id=chat_id, is_recreate=recreate)
    if event_id is not None:
        _decide_one(event_id, decide, is_json=is_json)
    else:
        _decide_all(_list_held(operations), decide, "no event is held", is_json=is_json)


@click.command()
@click.argument("event_id", required=False)
@click.option("--all-failed", is_flag=True, help="Every failed event with the code of --code.")
@click.option("--code", type=click.Choice(CODES), help="Only failures with this code.")
@as_option
@json_option
@click.pass_obj
def redrive(
    context: CliContext,
    event_id: str | None,
    *,
    all_failed: bool,
    code: str | None,
    by: str,
    is_json: bool,
) -> None:
    """Try failed events again, with a new deadline, if no attempt made a chat."""
    if (event_id is None) != all_failed or all_failed != (code is not None):
        raise click.UsageError("Name one EVENT_ID, or say --all-failed --code CODE.")
    operations = context.connect()
    wanted = FailureCode(code) if code else None

    def decide(event_id: str) -> Record:
        return operations.redrive(event_id, by=by, code=wanted)

    if event_id is not None:
        _decide_one(event_id, decide, is_json=is_json)
    else:
        why = f"no event has failed with {wanted}"
        _decide_all(_list_failed(operations, wanted), decide, why, is_json=is_json)


def _choose_decision(
    operations: Operations, by: str, *, chat_id: str | None, is_recreate: bool
) -> Decision:
    if chat_id is not None:
        return lambda event_id: operations.resolve_with_chat(event_id, chat_id, by=by)
    if is_recreate:
        return lambda event_id: operations.recreate(event_id, by=by)
    return lambda event_id: operations.give_up(event_id, by=by)


def _list_held(operations: Operations) -> list[str]:
    return [event_id for event_id, _ in operations.records(Status.UNKNOWN)]


def _list_failed(operations: Operations, code: FailureCode | None) -> list[str]:
    return [
        event_id
        for event_id, record in operations.records(Status.FAILED)
        if record and record.failure and record.failure.code is code
    ]


def _decide_one(event_id: str, decide: Decision, *, is_json: bool) -> None:
    record = decide(event_id)
    if is_json:
        click.echo(json_output.format_record(record))
    else:
        click.echo(text_output.format_records([record], "done"))


@dataclass(slots=True)
class _BatchResult:
    """The events that a command about many has decided about, and those that it passed over."""

    done: list[Record] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def decide(self, event_id: str, decide: Decision) -> None:
        """Decide about one event, or note why it is passed over."""
        try:
            self.done.append(decide(event_id))
        except NothingDone as refusal:
            self.refusals.append(str(refusal))

    def report(self, *, is_json: bool) -> None:
        """Print the reasons for what was passed over, and the records that were changed."""
        for refusal in self.refusals:
            click.echo(f"passed over: {refusal}", err=True)
        if self.done and is_json:
            click.echo(json_output.format_records(self.done))
        elif self.done:
            click.echo(text_output.format_records(self.done, ""))


def _decide_all(
    event_ids: Sequence[str], decide: Decision, why_none: str, *, is_json: bool
) -> None:
    result = _BatchResult()
    try:
        for event_id in event_ids:
            result.decide(event_id, decide)
    except StoreUnavailable:
        # Each event is decided by itself, so those before the fault are done, and reported.
        click.echo(f"stopped after {len(result.done)} of {len(event_ids)} events", err=True)
        raise
    finally:
        result.report(is_json=is_json)
    if not result.done:
        raise NothingDone(f"all {len(event_ids)} were passed over" if event_ids else why_none)
