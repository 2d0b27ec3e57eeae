"""Output for people: tables, time lines, and advice as commands to paste."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.chats.grant import Task
from app.chats.record import FailureCode, Record, Status
from app.operate.context import SettingsPreview
from app.store.history import EventHistory, HistoryEntry
from app.store.keys import Person
from app.store.operations import RecoverResult
from app.store.relay_stats import BreakerState, FailingProbe, RelayStats

HEAD = ("EVENT", "USER", "STATUS", "CREATED", "ATTEMPTS", "ACCEPTED (UTC)", "WHY")
CREATED = {True: "yes", False: "no", None: "not known"}
DENIED = "Channel.io refuses the key, the address, or their users"
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
UNREADABLE = ", written by another release: use its command line and its workers"
OPERATE = "python -m app.operate"
UNKNOWN_ADVICE = f"""\
It is unknown whether a chat was made. Look at the user's chats at Channel.io, then:
  {OPERATE} resolve --chat-id ID {{event_id}}   if it is there
  {OPERATE} resolve --recreate {{event_id}}     to call once more; an empty orphan may remain
  {OPERATE} resolve --give-up {{event_id}}      to let it fail"""

TASK_CANCEL_ADVICE = f"""\
It needs nothing. To let that task fail instead:
  {OPERATE} cancel {{event_id}}"""
TASKS_ADVICE = "Its tasks go on in that chat, or after the create; --give-up skips them."
TASK_REDRIVE_ADVICE = f"""\
Its chat is published and will not change, but its {{name}} failed.{{doubt}}
  {OPERATE} redrive {{event_id}}   to try that again"""
MAYBE_DONE = "It may have been done: look into the chat."
DOING: dict[str, str] = {
    Task.RESOLVE: "finds its user",
    Task.MESSAGE: "looks for its message, or sends it",
    Task.OPEN: "puts its chat before the agents",
}

REDRIVE_ADVICE = f"""\
No call made a chat:
  {OPERATE} redrive {{event_id}}   to try it again"""

CANCEL_ADVICE = f"""\
The event itself needs nothing. To let it fail before it is called:
  {OPERATE} cancel {{event_id}}"""


def format_relay_stats(stats: RelayStats) -> str:
    """Format the counts of events, the workers, and the gate."""
    first = (
        f", the first in line for {_format_seconds(stats.oldest_waiting_seconds)}"
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
        ("breaker", _format_breaker(stats)),
        ("pause", _format_pause(stats)),
    ]
    if stats.denied_since:
        since = _format_time(stats.denied_since)
        rows.append(("denied", f"all that wait, since {since}: {DENIED}"))
    if stats.stale_answers:
        rows.append(
            ("stale answers", f"{stats.stale_answers} so far, see `stale_answer` in the log")
        )
    rows += [("probe", _format_probe(probe)) for probe in stats.failing_probes]
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
        _format_tasks(record),
        _align(_format_time_line(history)),
        _format_names(history),
        _advise(history, stats),
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
        record.user_id or record.member_id or "",
        record.status,
        CREATED[record.created],
        str(record.attempts),
        _format_time(record.accepted_at),
        _format_why(record),
    )


def _format_why(record: Record) -> str:
    if record.failure:
        return record.failure.code
    if record.failed_task:
        name, task = record.failed_task
        return f"{name}: {task.failure.code}" if task.failure else name
    return ""


def _format_chats(record: Record) -> str:
    lines = [f"{record.failure.code}: {record.failure.detail}"] if record.failure else []
    lines += [f"Its chat is {record.chat.id}."] if record.chat else []
    lines += [f"{chat_id} was made for it too." for chat_id in record.duplicate_chat_ids]
    lines += ["An empty chat without a record may exist."] if record.possible_orphan else []
    return "\n".join(lines)


def _format_tasks(record: Record) -> str:
    lines = []
    for name, task in (record.tasks or {}).items():
        parts = [f"{name}: {task.status}"]
        parts += [f"as {task.id}"] if task.id else []
        parts += [f"sent {_format_times(task.attempts)}"] if task.attempts else []
        parts += [f"{task.failure.code}: {task.failure.detail}"] if task.failure else []
        lines.append(", ".join(parts))
    return "\n".join(lines)


def _format_times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _format_time_line(history: EventHistory) -> list[tuple[str, str]]:
    """Format the instants that every record has, and between them its history."""
    record = history.record
    moments = [(record.accepted_at, "accepted")]
    moments += [(entry.at, _format_entry(entry)) for entry in history.entries]
    if record.settled_at and record.tasks:
        moments.append((record.settled_at, record.status))
    if record.completed_at and record.expires_at:
        until = _format_time(record.expires_at)
        status = "complete" if record.tasks else record.status
        moments.append((record.completed_at, f"{status}; kept until {until}"))
    # What happened after the chat was made stands behind that.
    moments.sort(key=lambda moment: moment[0])
    return [(_format_time(at), what) for at, what in moments]


def _format_entry(entry: HistoryEntry) -> str:
    task = f"{entry.task}: " if entry.task else ""
    parts = [task + entry.what.replace("_", " "), f"(attempt {entry.attempt})"]
    parts += [f"{entry.times} times in a row"] if entry.times > 1 else []
    parts += [f"by {entry.by}"] if entry.by else []
    parts += [f"({entry.action.replace('_', ' ')})"] if entry.action else []
    parts += [entry.chat_id] if entry.chat_id else []
    parts += [f"token {entry.token}"] if entry.token else []
    return " ".join(parts)


def _format_names(history: EventHistory) -> str:
    """Format what log lines call the event's life and its grant."""
    grant = f", and its grant token {history.token}" if history.token else ""
    return f"Log lines name its life {history.life}{grant}."


def _advise(history: EventHistory, stats: RelayStats) -> str:
    record = history.record
    event_id = _quote(record.event_id)
    if history.granted_task is not None:
        return _explain_grant(history, history.granted_task)
    if record.is_under_way:
        is_opened = record.status is Status.OPENED
        advice = TASK_CANCEL_ADVICE if is_opened else CANCEL_ADVICE
        return "\n".join([*_explain_wait(history, stats), advice.format(event_id=event_id)])
    match record.status:
        case Status.OPENED:
            return _advise_opened(record, event_id)
        case Status.UNKNOWN:
            tasks = f"\n{TASKS_ADVICE}" if record.tasks else ""
            return UNKNOWN_ADVICE.format(event_id=event_id) + tasks
        case _ if record.created is None:
            return (
                "An attempt may have made a chat, so it is not tried again. If the chat is found,"
                " give its id to the system that posted the event."
            )
        case _:
            return REDRIVE_ADVICE.format(event_id=event_id)


def _explain_grant(history: EventHistory, task: str) -> str:
    by = f" at {_format_time(history.next_due_at)}" if history.next_due_at else ""
    if task == Task.CREATE:
        return f"A worker calls. If that worker is lost, the event becomes unknown{by}."
    return f"A worker {DOING.get(task, task)}. If that worker is lost, it is tried again{by}."


def _advise_opened(record: Record, event_id: str) -> str:
    if record.failed_task is None:
        return "Its chat is published and will not change. Nothing needs to be done."
    name, task = record.failed_task
    is_doubtful = task.failure and task.failure.code == FailureCode.NO_ANSWER
    doubt = f" {MAYBE_DONE}" if is_doubtful else ""
    return TASK_REDRIVE_ADVICE.format(name=name, event_id=event_id, doubt=doubt)


def _quote(event_id: str) -> str:
    """Quote an id for a shell: callers choose it, and ``--all-held`` is one too."""
    return f"{'-- ' if event_id.startswith('-') else ''}{shlex.quote(event_id)}"


def _explain_wait(history: EventHistory, stats: RelayStats) -> list[str]:
    lines = _describe_wait(history.record)
    if history.next_due_at:
        lines.append(f"It may be called from {_format_time(history.next_due_at)} on.")
    if history.queue_position:
        lines.append(f"In line before it: {history.queue_position}.")
    if denials := history.denials:
        since = _format_time(denials.since)
        lines.append(
            f"Channel.io denied its call {denials.times} times since {since}, of which"
            f" {denials.own} were its own: others succeeded meanwhile. A second own one lets it"
            " fail; any other is about the key or the address."
        )
    if stats.pause:
        pause = stats.pause
        lines.append(f"{pause.by} paused all calls at {_format_time(pause.since)}. To end that:")
        lines.append(f"  {OPERATE} resume")
    if not stats.workers:
        lines.append("Nothing is called: no worker took anything within 15 s.")
    if stats.breaker is not BreakerState.CLOSED:
        lines.append(f"Calls are held back: the breaker is {_format_breaker(stats)}.")
    lines += [f"A probe fails {_format_probe(probe)}." for probe in stats.failing_probes]
    if stats.paused_seconds:
        lines.append(f"All calls pause for {_format_seconds(stats.paused_seconds)}.")
    return lines


def _describe_wait(record: Record) -> list[str]:
    if record.status is not Status.OPENED:
        awaited = "its call" if record.user_id else "its user to be found"
        return [f"It waits for {awaited}."]
    name, task = next(each for each in (record.tasks or {}).items() if not each[1].is_over)
    lines = [f"Its chat is published. It waits for its {name}."]
    if task.attempts:
        lines.append("It may have been done: a look comes first, and decides.")
    return lines


def _format_breaker(stats: RelayStats) -> str:
    reason = f" ({stats.breaker_reason})" if stats.breaker_reason else ""
    return stats.breaker.replace("_", " ") + reason


def _format_pause(stats: RelayStats) -> str:
    parts = []
    if stats.pause:
        parts.append(f"by {stats.pause.by} since {_format_time(stats.pause.since)}")
    if stats.paused_seconds:
        parts.append(f"{_format_seconds(stats.paused_seconds)} after a 429")
    return ", ".join(parts) or "none"


def _format_probe(probe: FailingProbe) -> str:
    return f"since {_format_time(probe.since)}: {probe.problem}"


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s"


def _format_time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _align(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
