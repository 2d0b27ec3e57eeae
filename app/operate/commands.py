"""The command line as a whole, and the commands that only look.

Exit codes: 0 done, 1 nothing was done, 2 wrong usage or settings, 3 Redis did not answer.
"""

import click

from app.chats.record import Status
from app.operate import documents, tables
from app.operate.decisions import redrive, resolve
from app.operate.desk import Commands, Desk, json_option
from app.operate.recovery import recover

EXIT_SETTINGS_INVALID = 2
LISTED = [status.value for status in Status if status is not Status.OPENED]


@click.group(cls=Commands)
def cli() -> None:
    """See how the relay stands, and decide what nobody else can.

    Ends with 0 if it was done, 1 if there was nothing to do, 2 for wrong usage or settings, and 3
    if Redis did not answer.
    """


@cli.command()
@json_option
@click.pass_obj
def status(desk: Desk, *, is_json: bool) -> None:
    """How many events wait, are called, are held, have failed; and the gate."""
    overview = desk.connect().overview()
    click.echo(documents.overview(overview) if is_json else tables.overview(overview))


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
def list_(desk: Desk, *, wanted: str, limit: int, is_json: bool) -> None:
    """The events of one status, those that have been so the longest first."""
    found = list(desk.connect().records(Status(wanted), limit=limit))
    records = [record for _, record in found if record]
    for event_id, record in found:
        if record is None:
            click.echo(f"passed over: a newer release of the relay wrote {event_id}", err=True)
    click.echo(documents.records(records) if is_json else tables.records(records, wanted))
    if len(found) == limit:
        click.echo(f"There may be more than these {limit}: see --limit.", err=True)


@cli.command()
@click.argument("event_id")
@json_option
@click.pass_obj
def explain(desk: Desk, event_id: str, *, is_json: bool) -> None:
    """What happened to an event, why it is where it is, and what can be done."""
    operations = desk.connect()
    story = operations.story(event_id)
    if is_json:
        click.echo(documents.story(story))
    else:
        click.echo(tables.story(story, operations.overview()))


@cli.command()
@json_option
@click.pass_context
def settings(ctx: click.Context, *, is_json: bool) -> None:
    """What web and worker would run with in this environment, secrets masked. Needs no Redis.

    Ends with 2 if neither of them could start.
    """
    found = ctx.obj.settings()
    click.echo(documents.settings(found) if is_json else tables.settings(found))
    if all(process.problems for process in found):
        ctx.exit(EXIT_SETTINGS_INVALID)


for command in (resolve, redrive, recover):
    cli.add_command(command)
