"""A decision about each of many events, and its preview, on the command line."""

from collections import Counter
from collections.abc import Callable

import click

from app.chats.errors import NothingDone, StoreUnavailable
from app.chats.record import Record
from app.operate import text_output
from app.operate.json_output import JsonList
from app.operate.options import confirm, progress_bar
from app.operate.selection import Selection
from app.store.operations import Operations

MAX_SHOWN = 20  # of a dry run; --json shows all

Decide = Callable[[str, Record | None], Record]


def confirm_all(
    operations: Operations, selection: Selection, question: str, *, why_none: str, is_yes: bool
) -> None:
    """Ask ``question``, a format with ``{count}``. Raises ``NothingDone`` for no events."""
    count = selection.count(operations)
    if not count:
        raise NothingDone(why_none)
    confirm(question.format(count=count), is_yes=is_yes)


def preview_all(
    operations: Operations,
    selection: Selection,
    why_not: Callable[[Record], str | None],
    *,
    why_none: str,
    is_json: bool,
) -> None:
    """Show the events that a decision would change. Raises ``NothingDone`` for none.

    ``why_not`` returns why one would not be changed, or None.
    """
    shown: list[Record] = []

    def judge(event_id: str, record: Record | None) -> Record:
        if record is None:
            raise NothingDone(event_id, reason="a newer release of the relay wrote it")
        if reason := why_not(record):
            raise NothingDone(event_id, reason=reason)
        if len(shown) < MAX_SHOWN:
            shown.append(record)
        return record

    decide_all(
        operations,
        selection,
        judge,
        done="would be changed: {count}",
        why_none=why_none,
        is_json=is_json,
    )
    if not is_json:
        click.echo(text_output.format_records(shown, ""))


def decide_all(
    operations: Operations,
    selection: Selection,
    decide: Decide,
    *,
    done: str,
    why_none: str,
    is_json: bool,
) -> None:
    """Decide about each event, and end with a summary; ``done`` is a format with ``{count}``.

    Raises ``NothingDone`` where none was decided about.
    """
    count, refusals, output = 0, Counter[str](), JsonList()
    total = selection.count_status(operations)
    try:
        with progress_bar(total) as advance:
            for page in selection.pages(operations):
                for event_id, record in page.events:
                    try:
                        changed = decide(event_id, record)
                    except NothingDone as refusal:
                        refusals[refusal.reason] += 1
                    else:
                        count += 1
                        if is_json:
                            output.append(changed)
                    advance(1)
                advance(page.looked_at - len(page.events))
    except StoreUnavailable:
        # Each event is decided by itself, so those before the fault are done.
        click.echo(f"stopped after {count} of the events", err=True)
        raise
    finally:
        output.close()
        for reason, refused in refusals.most_common():
            click.echo(f"passed over: {refused}, {reason}", err=True)
        if count and done and not is_json:
            click.echo(done.format(count=count))
    if not count:
        raise NothingDone(f"all {refusals.total()} were passed over" if refusals else why_none)
