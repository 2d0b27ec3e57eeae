"""The command that reads the ids of created chats back from a worker's log."""

from collections import Counter
from typing import IO

import click

from app.chats.errors import NothingDone
from app.operate import json_output, text_output
from app.operate.context import CliContext, json_option
from app.operate.log_lines import UnreadableLine, read_created_lines
from app.store.operations import UNTRUSTED, Operations, RecoverResult

Result = dict[str, str]

# The results of `recover` that changed a record, and those that --trust-log would settle.
CHANGED = {RecoverResult.OPENED, RecoverResult.DUPLICATE}
MAX_NUMBERS = 10


@click.command()
@click.option(
    "--from-log",
    "log",
    type=click.File("rb"),
    required=True,
    help="A file of the worker's log lines, or of a collector's objects of them; - is stdin.",
)
@click.option(
    "--trust-log",
    is_flag=True,
    help="Settle lines of grants, and of events, that Redis has lost: only workers wrote this log.",
)
@json_option
@click.pass_obj
def recover(context: CliContext, *, log: IO[bytes], trust_log: bool, is_json: bool) -> None:
    """Settle the created chats that a worker's log holds.

    For when Redis was away and the spool's disk failed. A line is believed where the record, or its
    history, has the token of the line's grant. What is settled already stays, so all of a log may
    be read, more than once; the sessions' keys are not in the log.
    """
    results: list[Result] = []
    unreadable: list[int] = []
    try:
        _recover(context.connect(), log, results, unreadable, is_trusted=trust_log)
    except OSError as error:
        raise click.UsageError(f"{log.name} cannot be read: {error.strerror}.") from error
    finally:
        _report(results, unreadable, is_json=is_json)
    counts = Counter(result["result"] for result in results)
    if counts.keys() & CHANGED:
        return
    if counts.keys() - {RecoverResult.IGNORED}:
        raise NothingDone("no line that is believed has a chat that its record has not")
    if counts:
        raise NothingDone("the records have all of these chats already")
    raise NothingDone("the log holds no line of a call that created a chat")


def _recover(
    operations: Operations,
    log: IO[bytes],
    results: list[Result],
    unreadable: list[int],
    *,
    is_trusted: bool,
) -> None:
    for line in read_created_lines(log):
        if isinstance(line, UnreadableLine):
            unreadable.append(line.number)
            continue
        result = operations.recover(line, is_trusted=is_trusted)
        results.append({"event_id": line.event_id, "chat_id": line.chat.id, "result": result})


def _report(results: list[Result], unreadable: list[int], *, is_json: bool) -> None:
    if results and is_json:
        click.echo(json_output.format_recovered(results))
    elif changed := [result for result in results if result["result"] in CHANGED]:
        click.echo(text_output.format_recovered(changed))
    others = Counter(result["result"] for result in results if result["result"] not in CHANGED)
    for result, count in sorted(others.items()):
        click.echo(
            f"passed over: {count}, {text_output.RECOVERED[RecoverResult(result)]}", err=True
        )
    if untrusted := sum(others[result] for result in UNTRUSTED):
        click.echo(f"If only workers wrote this log, --trust-log settles {untrusted}.", err=True)
    if unreadable:
        numbers = ", ".join(map(str, unreadable[:MAX_NUMBERS]))
        more = " and more" if len(unreadable) > MAX_NUMBERS else ""
        click.echo(
            f"passed over: {len(unreadable)}, of a created chat, cannot be read:"
            f" line {numbers}{more}",
            err=True,
        )
