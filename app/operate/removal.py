"""The command that removes a person."""

from collections import Counter

import click

from app.chats.errors import NothingDone, StoreUnavailable
from app.chats.grant import new_token
from app.chats.record import Record, Status
from app.operate import json_output, text_output
from app.operate.context import CliContext, json_option
from app.operate.options import (
    choose_person,
    confirm,
    dry_run_option,
    member_option,
    progress_bar,
    user_option,
    yes_option,
)
from app.store.keys import Person
from app.store.operations import ForgetResult, Operations

# Events of the person that another option finds.
OTHERS = {
    "user_id": "events with a member id whose user is not found yet: repeat with --member",
    "member_id": "events that were posted with the user's id: repeat with --user",
}
UNREACHED = (
    "the logs of web and workers, and wherever they are collected: user and member ids are in them",
    "files in SPOOL_DIR: a worker settles what is left in them, which changes nothing any more",
    "traces, backups of Redis, and Channel.io itself",
)
PASSES = 2  # the second finds what moved while the first went on
NEWER = ForgetResult.NEWER
# In the order in which an event passes through them, so that none slips by unseen.
WALKED = (Status.ACCEPTED, Status.CALLING, Status.UNKNOWN, Status.FAILED)


@click.command()
@user_option
@member_option
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def forget(
    context: CliContext,
    *,
    user: Person | None,
    member: Person | None,
    is_dry_run: bool,
    is_yes: bool,
    is_json: bool,
) -> None:
    """Remove all events of one person, for good.

    Their records, texts and look-ups go too. Refuses while one of them is being called. Names the
    places that it cannot reach. Until its user is found, --member alone finds an event that was
    posted with a member id.
    """
    person = choose_person(user, member)
    if person is None:
        raise click.UsageError("Say whose events: --user ID or --member ID.")
    operations = context.connect()
    found = _find(operations, person)
    counts = Counter(status for status in found.values() if status)
    _check(found)
    if not counts and (is_dry_run or not _remove(operations, person, found)):
        raise NothingDone(f"no event of {person.id} is kept")
    if counts and not is_dry_run:
        confirm(f"Remove {counts.total()} events of {person.id}, for good?", is_yes=is_yes)
        for _ in range(PASSES):
            _remove(operations, person, found)
            found = _find(operations, person)
        try:
            _check(found)
        except NothingDone as error:
            raise click.ClickException(f"Not all was removed: {error}.") from error
    unreached = (*UNREACHED, OTHERS[person.field])
    if is_json:
        click.echo(json_output.format_removed(person, counts, unreached))
    else:
        click.echo(text_output.format_removed(person, counts, unreached, is_dry_run=is_dry_run))


def _find(operations: Operations, person: Person) -> dict[str, str]:
    """Return each event and its status: `calling` with a grant, empty for a removed one."""
    found: dict[str, str] = {}
    stats = operations.relay_stats()
    with progress_bar(stats.backlog + stats.held + stats.failed) as advance:
        for status in WALKED:
            for page in operations.pages(status, person=person):
                found.update((event_id, "") for event_id in page.gone)
                for event_id, record in page.events:
                    found[event_id] = _status(record)
                    if record and status is Status.CALLING:  # a grant is out, perhaps for a task
                        found[event_id] = Status.CALLING
                advance(page.looked_at)
    opened = operations.opened_events(person)
    for event_id in opened.gone:
        found.setdefault(event_id, "")
    for event_id, record in opened.events:
        if found.get(event_id) != Status.CALLING:
            found[event_id] = _status(record)
    return found


def _status(record: Record | None) -> str:
    return record.status if record else NEWER


def _check(found: dict[str, str]) -> None:
    """Raise ``NothingDone`` where the person cannot be removed now."""
    for event_id, status in found.items():
        if status == Status.CALLING:
            raise NothingDone(f"a call for {event_id} is under way: try again in a minute")
        if status == NEWER:
            raise NothingDone(
                f"a newer release of the relay wrote {event_id}; use its command line"
            )


def _remove(operations: Operations, person: Person, found: dict[str, str]) -> int:
    """Remove the events, and return how many there were."""
    token, removed = new_token(), 0
    try:
        with progress_bar(len(found)) as advance:
            for event_id in found:
                result = operations.forget(event_id, person=person, token=token)
                removed += result is ForgetResult.FORGOTTEN
                advance(1)
    except StoreUnavailable:
        click.echo(f"stopped after {removed} of {len(found)} events", err=True)
        raise
    return removed
