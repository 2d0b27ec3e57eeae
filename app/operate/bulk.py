"""Selection of many events, read page by page, and a decision about each."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import click

from app.chats.errors import NothingDone, StoreUnavailable
from app.chats.record import Record, Status
from app.operate import text_output
from app.operate.json_output import JsonList
from app.operate.options import confirm, progress_bar
from app.store.keys import Person
from app.store.operations import Operations, Page

MAX_SHOWN = 20  # of a dry run; --json shows all

Decide = Callable[[str, Record | None], Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Events of one status, perhaps not all of them."""

    status: Status
    person: Person | None = None
    code: str | None = None
    since: datetime | None = None
    limit: int | None = None

    def pages(self, operations: Operations) -> Iterator[Page]:
        """Read the events, and stop once there are ``limit``."""
        left = self.limit
        for page in operations.pages(self.status, person=self.person):
            events = [found for found in page.events if self._has(found[1])][:left]
            yield replace(page, events=events)
            if left is not None:
                left -= len(events)
                if not left:
                    return

    def count(self, operations: Operations) -> int:
        """Count the selected events: without a filter by one command, else by reading them."""
        if self.person or self.code or self.since:
            return sum(len(page.events) for page in self.pages(operations))
        count = self.count_status(operations)
        return count if self.limit is None else min(count, self.limit)

    def count_status(self, operations: Operations) -> int:
        """Count all events of the status."""
        stats = operations.relay_stats()
        return stats.held if self.status is Status.UNKNOWN else stats.failed

    def _has(self, record: Record | None) -> bool:
        if record is None:  # another release's: its code and time cannot be read
            return self.code is None and self.since is None
        failure = record.last_failure
        code = failure.code if failure else None
        return (self.code is None or self.code == code) and (
            self.since is None or record.accepted_at >= self.since
        )


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
    is_possible: Callable[[Record], bool],
    *,
    why_none: str,
    is_json: bool,
) -> None:
    """Show the events that a decision would change. Raises ``NothingDone`` for none."""
    shown: list[Record] = []

    def judge(event_id: str, record: Record | None) -> Record:
        if record is None:
            raise NothingDone(event_id, reason="a newer release of the relay wrote it")
        if not is_possible(record):
            raise NothingDone(event_id, reason="an attempt for it may have made a chat")
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
