"""The command line as a whole, and the commands that only read.

Exit codes: 0 done, 1 nothing was done, 2 wrong usage or settings, 3 Redis did not answer,
confirm, or refused.
"""

from datetime import datetime

import click

from app.chats.record import Status
from app.operate import json_output, text_output
from app.operate.context import CliContext, CommandGroup, json_option
from app.operate.decisions import HELD_CODES, cancel, pause, redrive, resolve, resume
from app.operate.options import (
    choose_person,
    code_option,
    event_id_type,
    member_option,
    since_option,
    user_option,
)
from app.operate.recovery import recover
from app.operate.removal import forget
from app.operate.selection import Selection
from app.store.keys import Person
from app.store.relay_stats import RelayStats

EXIT_SETTINGS_INVALID = 2
LISTED = [status.value for status in Status if status is not Status.OPENED]


@click.group(cls=CommandGroup)
def cli() -> None:
    """Show the relay's events, and decide about held and failed ones.

    Exit codes: 0 done, 1 nothing to do, 2 wrong usage or settings, 3 Redis did not answer, did not
    confirm, or refused.
    """


@cli.command()
@json_option
@click.pass_obj
def status(context: CliContext, *, is_json: bool) -> None:
    """Show counts of events, workers and the gate."""
    stats = context.connect().relay_stats()
    _warn_if_unused(stats)
    if is_json:
        click.echo(json_output.format_relay_stats(stats))
    else:
        click.echo(text_output.format_relay_stats(stats))


@cli.command("list")
@click.option(
    "--status",
    "wanted",
    type=click.Choice(LISTED),
    help="Else unknown, or failed if --code is a failure's. Opened ones are found over HTTP.",
)
@code_option
@user_option
@member_option
@since_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@json_option
@click.pass_obj
def list_(
    context: CliContext,
    *,
    wanted: str | None,
    code: str | None,
    user: Person | None,
    member: Person | None,
    since: datetime | None,
    limit: int,
    is_json: bool,
) -> None:
    """List the events of one status, longest in it first.

    Accepted ones are all that wait, for a task of an opened event too; calling ones all that have a
    grant; failed ones include opened events with a failed task.
    """
    is_failure = code is not None and code not in HELD_CODES
    status = Status(wanted or (Status.FAILED if is_failure else Status.UNKNOWN))
    person = choose_person(user, member)
    selection = Selection(status=status, person=person, code=code, since=since, limit=limit)
    operations = context.connect()
    found = [event for page in selection.pages(operations) for event in page.events]
    records = [record for _, record in found if record]
    for event_id, record in found:
        if record is None:
            click.echo(f"passed over: a newer release of the relay wrote {event_id}", err=True)
    if is_json:
        click.echo(json_output.format_records(records))
    else:
        is_filtered = bool(person or code or since)
        click.echo(text_output.format_records(records, status, is_filtered=is_filtered))
    if len(found) == limit:
        click.echo(f"There may be more than these {limit}: see --limit.", err=True)
    if not found:
        _warn_if_unused(operations.relay_stats())


@cli.command()
@click.argument("event_id", type=event_id_type)
@json_option
@click.pass_obj
def explain(context: CliContext, event_id: str, *, is_json: bool) -> None:
    """Show an event's history, its state, and what can be done."""
    operations = context.connect()
    history = operations.event_history(event_id)
    if is_json:
        click.echo(json_output.format_event_history(history))
    else:
        click.echo(text_output.format_event_history(history, operations.relay_stats()))


@cli.command()
@click.option(
    "--for", "process", type=click.Choice(["web", "worker"]), help="That one only; else both."
)
@json_option
@click.pass_context
def settings(ctx: click.Context, *, process: str | None, is_json: bool) -> None:
    """Show the settings of web and worker, secrets masked.

    Needs no Redis. Ends with 2 if none of the processes shown could start.
    """
    context: CliContext = ctx.obj
    previews = [preview for preview in context.settings() if process in {None, preview.process}]
    if is_json:
        click.echo(json_output.format_settings(previews))
    else:
        click.echo(text_output.format_settings(previews))
    if all(preview.problems for preview in previews):
        ctx.exit(EXIT_SETTINGS_INVALID)


def _warn_if_unused(stats: RelayStats) -> None:
    if not stats.is_used:
        click.echo("Nothing was ever stored under this prefix: see KEY_PREFIX.", err=True)


for command in (resolve, redrive, cancel, pause, resume, forget, recover):
    cli.add_command(command)
