"""The command that reads the ids of created chats back from a worker's log."""

from collections.abc import Iterable
from typing import IO

import click

from app.chats.errors import NothingDone
from app.operate import documents, tables
from app.operate.desk import Desk, Operations, json_option
from app.operate.log_lines import CreatedLine, read_created_lines

Result = dict[str, str]

# What `settle` says of an answer that changed the record.
CHANGED = {"opened", "duplicate"}


@click.command()
@click.option(
    "--from-log",
    "log",
    type=click.File(errors="replace"),
    required=True,
    help="A file of the worker's log lines, whatever a collector wrote around them; - is stdin.",
)
@json_option
@click.pass_obj
def recover(desk: Desk, *, log: IO[str], is_json: bool) -> None:
    """Settle the created chats that a worker's log holds.

    For when Redis was away and the spool's disk failed. What is settled already stays, so all of a
    log may be read, more than once; the sessions' keys are not in the log.
    """
    results: list[Result] = []
    try:
        _recover(desk.connect(), log, results)
    finally:
        if results:
            click.echo(documents.recovered(results) if is_json else tables.recovered(results))
    if not results:
        raise NothingDone("the log holds no line of a call that created a chat")
    if not any(result["result"] in CHANGED for result in results):
        raise NothingDone("the records have all of these chats already")


def _recover(operations: Operations, log: Iterable[str], results: list[Result]) -> None:
    for line in read_created_lines(log):
        if isinstance(line, CreatedLine):
            settled = line.settle(operations)
            results.append({"event_id": line.event_id, "chat_id": line.chat_id, "result": settled})
        else:
            click.echo(
                f"passed over: line {line.number} tells of a created chat, and cannot be read",
                err=True,
            )
