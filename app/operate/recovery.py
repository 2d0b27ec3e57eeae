"""The command that reads the ids of created chats back from a worker's log."""

from collections.abc import Iterable
from typing import IO

import click

from app.chats.errors import NothingDone
from app.operate import json_output, text_output
from app.operate.context import CliContext, json_option
from app.operate.log_lines import CreatedLine, read_created_lines
from app.store.operations import Operations

Result = dict[str, str]

# The results of `settle` for an answer that changed the record.
CHANGED = {"opened", "duplicate"}


@click.command()
@click.option(
    "--from-log",
    "log",
    type=click.File(errors="replace"),
    required=True,
    help="A file of the worker's log lines, or of a collector's objects of them; - is stdin.",
)
@json_option
@click.pass_obj
def recover(context: CliContext, *, log: IO[str], is_json: bool) -> None:
    """Settle the created chats that a worker's log holds.

    For when Redis was away and the spool's disk failed. What is settled already stays, so all of a
    log may be read, more than once; the sessions' keys are not in the log.
    """
    results: list[Result] = []
    try:
        _recover(context.connect(), log, results)
    finally:
        if results:
            _report(results, is_json=is_json)
    if not results:
        raise NothingDone("the log holds no line of a call that created a chat")
    if not any(result["result"] in CHANGED for result in results):
        raise NothingDone("the records have all of these chats already")


def _report(results: list[Result], *, is_json: bool) -> None:
    if is_json:
        click.echo(json_output.format_recovered(results))
    else:
        click.echo(text_output.format_recovered(results))


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
