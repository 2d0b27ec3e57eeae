"""The commands that decide about events: held, failed and waiting ones, and all calls."""

from datetime import datetime

import click

from app.chats.grant import Task
from app.chats.record import FailureCode, Record, Status
from app.operate import json_output, text_output
from app.operate.actions import MAYBE_TWICE, Action, decide, describe_tasks, why_not
from app.operate.bulk import confirm_all, decide_all, preview_all
from app.operate.context import CliContext, as_option, json_option
from app.operate.filters import parse_chat_id
from app.operate.options import (
    Parsed,
    bulk_dry_run_option,
    choose_person,
    code_option,
    confirm,
    event_id_type,
    limit_option,
    member_option,
    since_option,
    user_option,
    yes_option,
)
from app.operate.selection import Selection
from app.store.keys import Person
from app.store.operations import Operations

HELD_CODES = frozenset(
    {FailureCode.NO_ANSWER, FailureCode.UNREADABLE_ANSWER, FailureCode.WORKER_LOST}
)
# A task fails with `no_answer`, where an event is held.
FAILED_CODES = tuple(
    code for code in FailureCode if code not in HELD_CODES or code is FailureCode.NO_ANSWER
)


@click.command()
@click.argument("event_id", required=False, type=event_id_type)
@click.option(
    "--chat-id",
    metavar="ID",
    type=Parsed(parse_chat_id),
    help="Publish this chat, for good: it was found there.",
)
@click.option("--recreate", is_flag=True, help="Consent to one more call, and a possible orphan.")
@click.option("--give-up", is_flag=True, help="Let it fail; whether there is a chat stays unknown.")
@click.option("--all-held", is_flag=True, help="Every held event; not with --chat-id.")
@user_option
@member_option
@since_option
@limit_option
@bulk_dry_run_option
@yes_option
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
    user: Person | None,
    member: Person | None,
    since: datetime | None,
    limit: int | None,
    is_dry_run: bool,
    is_yes: bool,
    by: str,
    is_json: bool,
) -> None:
    """Decide about a held event in one of three ways.

    A late answer that was settled first is kept. With --all-held: all held events, or those that
    --user, --since and --limit select.
    """
    if [chat_id is not None, recreate, give_up].count(True) != 1:
        raise click.UsageError("Say one of --chat-id, --recreate and --give-up.")
    if (event_id is None) != all_held or (all_held and chat_id is not None):
        raise click.UsageError("Name one EVENT_ID, or say --all-held (not with --chat-id).")
    person = choose_person(user, member)
    _check_alone(event_id, person, since, limit, is_dry_run, bulk="--all-held")
    operations = context.connect()
    action = _choose_action(chat_id, is_recreate=recreate)
    if event_id is not None:
        record = operations.check_held(event_id)
        for sentence in describe_tasks(action, record):
            click.echo(sentence, err=True)
        if chat_id is not None:
            question = (
                f"Publish {chat_id} as the chat of {event_id} (user {record.user_id}), for good?"
            )
            confirm(question, is_yes=is_yes)
        record = decide(operations, action, event_id, by=by, chat_id=chat_id or "")
        _print_record(record, is_json=is_json)
        return
    selection = Selection(status=Status.UNKNOWN, person=person, since=since, limit=limit)
    why_none = "no event is held" if not (person or since) else "no such event is held"
    if is_dry_run:
        preview_all(operations, selection, lambda _: None, why_none=why_none, is_json=is_json)
        return
    question = (
        "Call once more for up to {count} held events, and perhaps leave as many empty chats?"
        " Their tasks go on after that."
        if recreate
        else "Let up to {count} held events fail, for good, and skip their tasks?"
    )
    confirm_all(operations, selection, question, why_none=why_none, is_yes=is_yes)
    done = "wait for one more call: {count}" if recreate else "failed: {count}"
    decide_all(
        operations,
        selection,
        lambda event_id, _: decide(operations, action, event_id, by=by),
        done=done,
        why_none=why_none,
        is_json=is_json,
    )


@click.command()
@click.argument("event_id", required=False, type=event_id_type)
@click.option("--all-failed", is_flag=True, help="Every failed event with the code of --code.")
@code_option
@user_option
@member_option
@since_option
@limit_option
@bulk_dry_run_option
@yes_option
@as_option
@json_option
@click.pass_obj
def redrive(
    context: CliContext,
    event_id: str | None,
    *,
    all_failed: bool,
    code: str | None,
    user: Person | None,
    member: Person | None,
    since: datetime | None,
    limit: int | None,
    is_dry_run: bool,
    is_yes: bool,
    by: str,
    is_json: bool,
) -> None:
    """Try failed events, or failed tasks, again.

    An event only if no attempt made a chat. Their deadline begins anew. A task that failed as
    no_answer may be done twice. Codes: user_not_found, rejected, expired, abandoned, no_answer,
    bot_not_found, chat_not_found, text_lost, and those of newer releases.
    """
    if (event_id is None) != all_failed or all_failed != (code is not None):
        raise click.UsageError("Name one EVENT_ID, or say --all-failed --code CODE.")
    if code in HELD_CODES and code not in FAILED_CODES:
        raise click.UsageError(f"{code} is no failure: such events are held, see resolve.")
    person = choose_person(user, member)
    _check_alone(event_id, person, since, limit, is_dry_run, bulk="--all-failed")
    operations = context.connect()
    if event_id is not None:
        _redrive_one(operations, event_id, by=by, is_yes=is_yes, is_json=is_json)
        return
    selection = Selection(status=Status.FAILED, person=person, code=code, since=since, limit=limit)
    hint = "" if code in FAILED_CODES else f" (codes: {', '.join(FAILED_CODES)})"
    why_none = f"no {'such ' if person or since else ''}event has failed with {code}{hint}"
    if is_dry_run:
        preview_all(operations, selection, _why_not, why_none=why_none, is_json=is_json)
        return
    question = f"Try all of up to {{count}} failed events again that failed with {code}?"
    if code == FailureCode.NO_ANSWER:
        question = f"{MAYBE_TWICE} {question}"
    confirm_all(operations, selection, question, why_none=why_none, is_yes=is_yes)
    decide_all(
        operations,
        selection,
        lambda event_id, _: operations.redrive(event_id, by=by, code=code),
        done="tried again: {count}",
        why_none=why_none,
        is_json=is_json,
    )


@click.command()
@click.argument("event_id", type=event_id_type)
@as_option
@json_option
@click.pass_obj
def cancel(context: CliContext, event_id: str, *, by: str, is_json: bool) -> None:
    """End an event that waits for its call: it fails as abandoned.

    Of an opened event the task that waits fails. A call that has begun is not stopped.
    """
    _print_record(context.connect().cancel(event_id, by=by), is_json=is_json)


@click.command()
@as_option
@click.pass_obj
def pause(context: CliContext, *, by: str) -> None:
    """Pause all calls of all workers, until `resume`.

    Events are still accepted, and their deadlines go on.
    """
    context.connect().pause(by=by)
    click.echo(
        "No call begins until `python -m app.operate resume`; those under way end. Events are"
        " accepted, and their deadlines go on: one that waits longer than EVENT_DEADLINE_SECONDS"
        " fails."
    )


@click.command()
@as_option
@click.pass_obj
def resume(context: CliContext, *, by: str) -> None:
    """End a pause of all calls."""
    context.connect().resume(by=by)
    click.echo("Calls go on.")


def _check_alone(event_id: str | None, *selecting: object, bulk: str) -> None:
    """Refuse options of a command about many in one about a single event."""
    if event_id is not None and any(selecting):
        raise click.UsageError(
            f"--user, --member, --since, --limit and --dry-run go with {bulk} only."
        )


def _redrive_one(
    operations: Operations, event_id: str, *, by: str, is_yes: bool, is_json: bool
) -> None:
    """Try one event again; ask before a message that may have been sent already."""
    record = operations.event_history(event_id).record
    code = record.last_failure.code if record.last_failure else None
    task, _ = record.failed_task or (None, None)
    if task == Task.MESSAGE and code == FailureCode.NO_ANSWER:
        confirm(f"{MAYBE_TWICE} Send it again?", is_yes=is_yes)
    # With the code: another failure, that came meanwhile, was not asked about.
    _print_record(operations.redrive(event_id, by=by, code=code), is_json=is_json)


def _why_not(record: Record) -> str | None:
    return why_not(Action.REDRIVE, record)


def _choose_action(chat_id: str | None, *, is_recreate: bool) -> Action:
    if chat_id is not None:
        return Action.PUBLISH
    return Action.RECREATE if is_recreate else Action.GIVE_UP


def _print_record(record: Record, *, is_json: bool) -> None:
    if is_json:
        click.echo(json_output.format_record(record))
    else:
        click.echo(text_output.format_records([record], "done"))
