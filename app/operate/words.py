"""Records, their history and the gate in words, for the command line and the pages."""

import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.chats.grant import Task
from app.chats.record import FailureCode, Record, Status, TaskStatus
from app.store.history import EventHistory, HistoryEntry
from app.store.relay_stats import BreakerState, FailingProbe, RelayStats

DENIED = "Channel.io refuses the key, the address, or their users"
UNREADABLE = ", written by another release: use its command line and its workers"
UNKNOWN = (
    "It is unknown whether a chat was made. Look at the user's chats at Channel.io, then decide."
)
TASKS_GO_ON = "Its tasks go on in that chat, or after the create; giving up skips them."
OPENED = "Its chat is published and will not change"
SKIPPED = "What was skipped is not done any more: do it in Channel.io's desk."
LOST = "The text is lost, so it cannot be sent: write it in Channel.io's desk."
DOUBT = "It may have been done: look into the chat first."
PASSED = "Its deadline passed before it was done: see whether it is still wanted."
CANCELLED = "An operator cancelled it before it was done."
GIVEN_UP = (
    "An attempt may have made a chat, so it is not tried again. If the chat is found, give its id"
    " to the system that posted the event."
)
# What to do about a failure, by its code; a newer release's has none.
EVENT_ADVICE: dict[str, str] = {
    FailureCode.USER_NOT_FOUND: (
        "Channel.io does not know the {person}: try it again once that is there."
    ),
    FailureCode.REJECTED: "Channel.io refuses it until the cause is mended: see its user.",
    FailureCode.EXPIRED: PASSED,
    FailureCode.ABANDONED: CANCELLED,
}
TASK_ADVICE: dict[str, str] = {
    FailureCode.REJECTED: (
        "Channel.io refuses it until the cause is mended: see the chat and its user."
    ),
    FailureCode.CHAT_NOT_FOUND: (
        "See whether the chat is still there: nothing can be sent to a deleted one."
    ),
    FailureCode.BOT_NOT_FOUND: (
        "Add a bot of that name in Channel.io; if the event names none, correct BOT_NAME and"
        " restart the workers."
    ),
    FailureCode.EXPIRED: PASSED,
    FailureCode.ABANDONED: CANCELLED,
    FailureCode.NO_ANSWER: DOUBT,
    FailureCode.TEXT_LOST: LOST,
}
BEHIND_CREATE = {Task.MESSAGE, Task.OPEN}
DOING: dict[str, str] = {
    Task.RESOLVE: "finds its user",
    Task.MESSAGE: "looks for its message, or sends it",
    Task.OPEN: "puts its chat before the agents",
}
# What became of a try that is repeated after a while, by its entry in the history.
REPEATED = {
    "throttled": "was answered with 429",
    "denied": "was denied",
    "not_sent": "was not sent",
    "look_failed": "could not read all that it had to",
    "refused": "was refused",
    "worker_lost": "lost its worker",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Sentences about an event's state, and commands: each with what it is for."""

    sentences: list[str]
    commands: list[tuple[str, str]] = field(default_factory=list)


def format_time(instant: datetime) -> str:
    """Format an instant in UTC, to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def format_seconds(seconds: float) -> str:
    """Format a duration, to the second."""
    return f"{seconds:.0f} s"


def format_times(count: int) -> str:
    """Format how often something happened."""
    return "once" if count == 1 else f"{count} times"


def describe_why(record: Record) -> str:
    """Return the failure of the event or of its task, or the task that is left; empty for none."""
    if record.failure:
        return record.failure.code
    if record.failed_task:
        name, failure = record.failed_task
        return f"{name}: {failure.code}"
    return f"{record.pending_task}: pending" if record.chat and record.pending_task else ""


def describe_gate(stats: RelayStats) -> list[tuple[str, str]]:
    """Describe the gate: its parts by name."""
    rows = [("breaker", _describe_breaker(stats)), ("pause", _describe_pause(stats))]
    if stats.denied_since:
        rows.append(("denied", f"all that wait, since {format_time(stats.denied_since)}: {DENIED}"))
    if stats.stale_answers:
        count = stats.stale_answers
        rows.append(("stale answers", f"{count} so far, see `stale_answer` in the log"))
    return rows + [("probe", _describe_probe(probe)) for probe in stats.failing_probes]


def list_moments(history: EventHistory) -> list[tuple[str, str]]:
    """List the instants that every record has, and between them its history."""
    record = history.record
    moments = [(record.accepted_at, 0, "accepted")]
    moments += [
        (entry.at, 3 if entry.task in BEHIND_CREATE else 1, _describe_entry(entry))
        for entry in history.entries
    ]
    if record.settled_at and record.tasks:
        moments.append((record.settled_at, 2, record.status))
    if record.completed_at and record.expires_at:
        until = format_time(record.expires_at)
        status = "complete" if record.tasks else record.status
        moments.append((record.completed_at, 4, f"{status}; kept until {until}"))
    # Two of one instant stand in the order in which they can have happened.
    moments.sort(key=lambda moment: moment[:2])
    return [(format_time(at), what) for at, _, what in moments]


def explain(history: EventHistory, stats: RelayStats) -> Explanation:
    """Explain why an event is where it is, and list the commands that fit."""
    record = history.record
    event_id = _quote(record.event_id)
    if history.granted_task is not None:
        return Explanation([_explain_grant(history, history.granted_task)])
    if record.is_under_way:
        return _explain_wait(history, stats, event_id)
    match record.status:
        case Status.OPENED:
            return _explain_opened(record, event_id)
        case Status.UNKNOWN:
            return Explanation(
                [UNKNOWN, TASKS_GO_ON] if record.tasks else [UNKNOWN],
                [
                    (f"resolve --chat-id ID {event_id}", "if the chat is there"),
                    (
                        f"resolve --recreate {event_id}",
                        "to call once more; an empty orphan may remain",
                    ),
                    (f"resolve --give-up {event_id}", "to let it fail"),
                ],
            )
        case _ if record.created is None:
            return Explanation([GIVEN_UP])
        case _:
            return _explain_failed(record, event_id)


def _describe_entry(entry: HistoryEntry) -> str:
    task = f"{entry.task}: " if entry.task else ""
    what = "user found" if entry.what == "resolved_user" else entry.what.replace("_", " ")
    parts = [task + what, f"(attempt {entry.attempt})"]
    parts += [f"{entry.times} times in a row"] if entry.times > 1 else []
    parts += [f"by {entry.by}"] if entry.by else []
    parts += [f"({entry.action.replace('_', ' ')})"] if entry.action else []
    parts += [entry.chat_id] if entry.chat_id else []
    parts += [f"token {entry.token}"] if entry.token else []
    return " ".join(parts)


def _explain_grant(history: EventHistory, task: str) -> str:
    by = f" at {format_time(history.next_due_at)}" if history.next_due_at else ""
    if task == Task.CREATE:
        return f"A worker calls. If that worker is lost, the event becomes unknown{by}."
    if history.look_from:
        by = f" from {format_time(history.look_from)} on"
    doing = DOING.get(task, task)
    if history.is_last_look:
        doing = f"looks whether its {task} is done, and sends nothing"
    return f"A worker {doing}. If that worker is lost, it is tried again{by}."


def _explain_failed(record: Record, event_id: str) -> Explanation:
    code = record.failure.code if record.failure else ""
    person = f"member {record.member_id}" if record.member_id else f"user {record.user_id}"
    advice = EVENT_ADVICE.get(code, "").format(person=person)
    purpose = "to try it again" + (", and its tasks after it" if record.tasks else "")
    sentences = ["No call made a chat.", *filter(None, [advice])]
    return Explanation(sentences, [(f"redrive {event_id}", purpose)])


def _explain_opened(record: Record, event_id: str) -> Explanation:
    tasks = record.tasks or {}
    has_skipped = any(task.status == TaskStatus.SKIPPED for task in tasks.values())
    if record.failed_task is None:
        return Explanation([f"{OPENED}. {SKIPPED if has_skipped else 'Nothing needs to be done.'}"])
    name, failure = record.failed_task
    sentences = [f"{OPENED}, but its {name} failed."]
    sentences += [TASK_ADVICE[failure.code]] if failure.code in TASK_ADVICE else []
    if failure.code == FailureCode.TEXT_LOST:
        sentences += [DOUBT] if tasks[name].attempts else []
        return Explanation(sentences + ([SKIPPED] if has_skipped else []))
    purpose = "to try that again" + (", and what was skipped" if has_skipped else "")
    if name == Task.MESSAGE and failure.code == FailureCode.NO_ANSWER:
        purpose += "; it may be seen twice"
    commands = [(f"redrive {event_id}", purpose)]
    if failure.code == FailureCode.BOT_NOT_FOUND:  # one setting fails many
        command = f"redrive --all-failed --code {failure.code}"
        commands.append((command, "to try all again that failed so"))
    return Explanation(sentences, commands)


def _explain_wait(history: EventHistory, stats: RelayStats, event_id: str) -> Explanation:
    sentences = [_describe_wait(history.record), *_describe_look(history)]
    if history.next_due_at and history.next_due_at != history.look_from:
        sentences.append(f"It may be called from {_describe_due(history, history.next_due_at)}.")
    if history.queue_position:
        sentences.append(f"In line before it: {history.queue_position}.")
    if denials := history.denials:
        since = format_time(denials.since)
        sentences.append(
            f"Channel.io denied its call {denials.times} times since {since}, of which"
            f" {denials.own} were its own: others succeeded meanwhile. A second own one lets it"
            " fail; any other is about the key or the address."
        )
    if stats.pause:
        sentences.append(f"{stats.pause.by} paused all calls at {format_time(stats.pause.since)}.")
    if not stats.workers:
        sentences.append("Nothing is called: no worker took anything within 15 s.")
    if stats.breaker is not BreakerState.CLOSED:
        sentences.append(f"Calls are held back: the breaker is {_describe_breaker(stats)}.")
    sentences += [f"A probe fails {_describe_probe(probe)}." for probe in stats.failing_probes]
    if stats.paused_seconds:
        sentences.append(f"All calls pause for {format_seconds(stats.paused_seconds)}.")
    commands = [("resume", "to end the pause")] if stats.pause else []
    commands.append((f"cancel {event_id}", _describe_cancel(history.record)))
    return Explanation([*sentences, "The event itself needs nothing."], commands)


def _describe_wait(record: Record) -> str:
    if record.status is Status.OPENED:
        return f"Its chat is published. It waits for its {record.pending_task}."
    return "It waits for its call." if record.user_id else "It waits for its user to be found."


def _describe_look(history: EventHistory) -> list[str]:
    """Describe in a sentence the look that comes before any further send, if there is one."""
    task = history.record.pending_task
    if history.look_from:
        is_last = history.is_last_look
        then = f"; if it is not, its {task} fails" if is_last else ", before anything is sent again"
        sentence = (
            f"Its {task} was sent {format_times(history.unanswered)} without an answer: from"
            f" {format_time(history.look_from)} on a worker looks whether it is done"
        )
        return [f"{sentence}{then}."]
    if history.is_last_look:
        return [f"Channel.io refused its {task}: one more look decides, and nothing is sent."]
    return []


def _describe_due(history: EventHistory, due_at: datetime) -> str:
    """Describe from when on an event may be called, and why not before."""
    text, record = f"{format_time(due_at)} on", history.record
    last = history.entries[-1] if history.entries else None
    if last is None or last.what not in REPEATED:
        return text
    # A try of the create says nothing of the message.
    is_past = record.status is Status.OPENED and last.task != record.pending_task
    return text if is_past else f"{text}: its last try {REPEATED[last.what]}"


def _describe_cancel(record: Record) -> str:
    """Describe what `cancel` does to an event that waits."""
    if record.status is Status.OPENED:
        return f"to let its {record.pending_task} fail, and skip what comes after"
    return "to let it fail before it is called" + (", and skip its tasks" if record.tasks else "")


def _describe_breaker(stats: RelayStats) -> str:
    reason = f" ({stats.breaker_reason})" if stats.breaker_reason else ""
    return stats.breaker.replace("_", " ") + reason


def _describe_pause(stats: RelayStats) -> str:
    parts = []
    if stats.pause:
        parts.append(f"by {stats.pause.by} since {format_time(stats.pause.since)}")
    if stats.paused_seconds:
        parts.append(f"{format_seconds(stats.paused_seconds)} after a 429")
    return ", ".join(parts) or "none"


def _describe_probe(probe: FailingProbe) -> str:
    return f"since {format_time(probe.since)}: {probe.problem}"


def _quote(event_id: str) -> str:
    """Quote an id for a shell: callers choose it, and ``--all-held`` is one too."""
    return f"{'-- ' if event_id.startswith('-') else ''}{shlex.quote(event_id)}"
