"""The command line as a whole, and the commands that only read.

Exit codes: 0 done, 1 nothing was done, 2 wrong usage or settings, 3 Redis did not answer.
"""

import click

from app.chats.record import Status
from app.operate import json_output, text_output
from app.operate.context import CliContext, CommandGroup, json_option
from app.operate.decisions import redrive, resolve
from app.operate.recovery import recover

EXIT_SETTINGS_INVALID = 2
LISTED = [status.value for status in Status if status is not Status.OPENED]


@click.group(cls=CommandGroup)
def cli() -> None:
    """Show the relay's events, and decide about held and failed ones.

    Ends with 0 if it was done, 1 if there was nothing to do, 2 for wrong usage or settings, and 3
    if Redis did not answer.
    """


@cli.command()
@json_option
@click.pass_obj
def status(context: CliContext, *, is_json: bool) -> None:
    """Show how many events wait, are called, are held, have failed; and the gate."""
    overview = context.connect().overview()
    if is_json:
        click.echo(json_output.format_overview(overview))
    else:
        click.echo(text_output.format_overview(overview))


@cli.command("list")
@click.option(
    "--status",
    "wanted",
    type=click.Choice(LISTED),
    default=Status.UNKNOWN.value,
    show_default=True,
    help="Opened ones are found by event, user or chat over HTTP.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@json_option
@click.pass_obj
def list_(context: CliContext, *, wanted: str, limit: int, is_json: bool) -> None:
    """List the events of one status, those that have been so the longest first."""
    found = list(context.connect().records(Status(wanted), limit=limit))
    records = [record for _, record in found if record]
    for event_id, record in found:
        if record is None:
            click.echo(f"passed over: a newer release of the relay wrote {event_id}", err=True)
    if is_json:
        click.echo(json_output.format_records(records))
    else:
        click.echo(text_output.format_records(records, wanted))
    if len(found) == limit:
        click.echo(f"There may be more than these {limit}: see --limit.", err=True)


@cli.command()
@click.argument("event_id")
@json_option
@click.pass_obj
def explain(context: CliContext, event_id: str, *, is_json: bool) -> None:
    """Show an event's history, why it is where it is, and what can be done."""
    operations = context.connect()
    story = operations.story(event_id)
    if is_json:
        click.echo(json_output.format_story(story))
    else:
        click.echo(text_output.format_story(story, operations.overview()))


@cli.command()
@json_option
@click.pass_context
def settings(ctx: click.Context, *, is_json: bool) -> None:
    """Show the settings of web and worker in this environment, secrets masked. Needs no Redis.

    Ends with 2 if neither of them could start.
    """
    context: CliContext = ctx.obj
    previews = context.settings()
    if is_json:
        click.echo(json_output.format_settings(previews))
    else:
        click.echo(text_output.format_settings(previews))
    if all(preview.problems for preview in previews):
        ctx.exit(EXIT_SETTINGS_INVALID)


for command in (resolve, redrive, recover):
    cli.add_command(command)
