"""Output for people: tables, time lines, and advice as commands to paste."""

from collections.abc import Mapping, Sequence

from app.chats.record import Record
from app.operate.context import SettingsPreview
from app.operate.words import (
    UNREADABLE,
    Explanation,
    describe_gate,
    describe_why,
    explain,
    format_seconds,
    format_time,
    format_times,
    list_moments,
)
from app.store.history import EventHistory
from app.store.keys import Person
from app.store.operations import RecoverResult
from app.store.relay_stats import RelayStats

HEAD = ("EVENT", "USER", "STATUS", "CREATED", "ATTEMPTS", "ACCEPTED (UTC)", "WHY")
CREATED = {True: "yes", False: "no", None: "not known"}
RECOVERED = {
    RecoverResult.OPENED: "opened",
    RecoverResult.DUPLICATE: "kept beside the chat that was published before",
    RecoverResult.IGNORED: "nothing to do: the record has the chat",
    RecoverResult.NEWER: "left alone: a newer release of the relay wrote the record",
    RecoverResult.OTHER_TOKEN: "the record does not know the grant of the line",
    RecoverResult.MISSING: "no such event is kept",
    RecoverResult.OTHER_LIFE: "the id belongs to another event by now",
    RecoverResult.NO_LIFE: "an older release wrote the line, without the life of its event",
    RecoverResult.FORGOTTEN: "an operator removed the event",
}
OPERATE = "python -m app.operate"


def format_relay_stats(stats: RelayStats) -> str:
    """Format the counts of events, the workers, and the gate."""
    first = (
        f", the first in line for {format_seconds(stats.oldest_waiting_seconds)}"
        if stats.waiting
        else ""
    )
    rows = [
        ("waiting", f"{stats.waiting}{first}"),
        ("calling", str(stats.calling)),
        ("held (unknown)", str(stats.held)),
        ("failed", str(stats.failed)),
        ("unreadable", f"{stats.unreadable}{UNREADABLE if stats.unreadable else ''}"),
        ("workers", str(stats.workers or "none took within 15 s: nothing is called")),
        *describe_gate(stats),
    ]
    return _align(rows)


def format_records(records: Sequence[Record], what: str, *, is_filtered: bool = False) -> str:
    """Format a row for each record, or that none is ``what``, or none of those that were chosen."""
    if not records:
        return f"No event that matches is {what}." if is_filtered else f"No event is {what}."
    return _align([HEAD, *map(_format_row, records)])


def format_event_history(history: EventHistory, stats: RelayStats) -> str:
    """Format an event's time line, why it is where it is, and what can be done."""
    record = history.record
    parts = [
        format_records([record], ""),
        _format_chats(record),
        _format_tasks(history),
        _align(list_moments(history)),
        _format_names(history),
        _format_explanation(explain(history, stats)),
    ]
    return "\n\n".join(filter(None, parts))


def format_recovered(results: Sequence[Mapping[str, str]]) -> str:
    """Format a row for each chat that was read back."""
    rows = [
        (result["event_id"], result["chat_id"], RECOVERED[RecoverResult(result["result"])])
        for result in results
    ]
    return _align([("EVENT", "CHAT", "WHAT BECAME OF IT"), *rows])


def format_removed(
    person: Person, counts: Mapping[str, int], unreached: Sequence[str], *, is_dry_run: bool
) -> str:
    """Format the counts of removed events by status, and the places that may have more."""
    verb = "Would remove" if is_dry_run else "Removed"
    by_status = ", ".join(f"{count} {status}" for status, count in counts.items())
    lines = [f"{verb} the events of {person.id}: {by_status or 'what was left of earlier ones'}."]
    return "\n".join([*lines, "Not reached:", *(f"  {place}" for place in unreached)])


def format_settings(previews: Sequence[SettingsPreview]) -> str:
    """Format the settings of each process, and the problems with them."""
    return "\n\n".join(map(_format_preview, previews))


def _format_preview(preview: SettingsPreview) -> str:
    rows = [(name, "" if value is None else str(value)) for name, value in preview.values.items()]
    problems = [f"! {problem}" for problem in preview.problems]
    ignored = [f"- {name}: {reason}" for name, reason in preview.ignored.items()]
    verdict = "cannot start:" if problems else "can start"
    return "\n".join([f"{preview.process} {verdict}", *problems, *ignored, _align(rows)])


def _format_row(record: Record) -> tuple[str, ...]:
    return (
        record.event_id,
        record.user_id or f"member {record.member_id}",
        record.status,
        CREATED[record.created],
        str(record.attempts),
        format_time(record.accepted_at),
        describe_why(record),
    )


def _format_chats(record: Record) -> str:
    lines = [f"{record.failure.code}: {record.failure.detail}"] if record.failure else []
    lines += [f"It was posted with the member id {record.member_id}."] if record.member_id else []
    lines += [f"Its chat is {record.chat.id}."] if record.chat else []
    lines += [f"{chat_id} was made for it too." for chat_id in record.duplicate_chat_ids]
    lines += ["An empty chat without a record may exist."] if record.possible_orphan else []
    return "\n".join(lines)


def _format_tasks(history: EventHistory) -> str:
    lines, record = [], history.record
    for name, task in (record.tasks or {}).items():
        is_doubtful = history.unanswered and name == record.pending_task
        parts = [f"{name}: {task.status}"]
        parts += [f"as {task.id}"] if task.id else []
        parts += [f"sent {format_times(task.attempts)}"] if task.attempts else []
        parts += ["not confirmed"] if is_doubtful else []
        parts += [f"{task.failure.code}: {task.failure.detail}"] if task.failure else []
        lines.append(", ".join(parts))
    return "\n".join(lines)


def _format_names(history: EventHistory) -> str:
    """Format what log lines call the event's life and its grant."""
    grant = f", and its grant token {history.token}" if history.token else ""
    return f"Log lines name its life {history.life}{grant}."


def _format_explanation(explanation: Explanation) -> str:
    """Format the sentences, and below them the commands, ready to paste."""
    rows = [(f"  {OPERATE} {command}", f" {purpose}") for command, purpose in explanation.commands]
    return "\n".join([*explanation.sentences, _align(rows)]).rstrip()


def _align(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
