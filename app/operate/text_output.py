"""Output for people: tables, time lines, and advice as commands to paste."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.chats.overview import FailingProbe, Overview
from app.chats.record import Record, Status
from app.chats.story import Moment, Story
from app.operate.context import SettingsPreview

HEAD = ("EVENT", "USER", "STATUS", "CREATED", "ATTEMPTS", "ACCEPTED (UTC)", "WHY")
CREATED = {True: "yes", False: "no", None: "not known"}
DENIED = "Channel.io refuses the key, the address, or their users"
RECOVERED = {
    "opened": "opened",
    "duplicate": "kept beside the chat that was published before",
    "ignored": "nothing to do: the record has the chat",
    "newer": "left alone: a newer release of the relay wrote the record",
    "other_token": "the record does not know the grant of the line",
    "missing": "no such event is kept",
    "other_life": "the id belongs to another event by now",
    "no_life": "an older release wrote the line, without the life of its event",
    "forgotten": "an operator removed the event",
}
UNREADABLE = ", written by another release: use its command line and its workers"
OPERATE = "python -m app.operate"
UNKNOWN_ADVICE = f"""\
It cannot be known whether a chat was made. Look at the user's chats at Channel.io, then:
  {OPERATE} resolve --chat-id ID {{event_id}}   if it is there
  {OPERATE} resolve --recreate {{event_id}}     to call once more; an empty orphan may remain
  {OPERATE} resolve --give-up {{event_id}}      to let it fail"""

REDRIVE_ADVICE = f"""\
Surely no chat was made:
  {OPERATE} redrive {{event_id}}   to try it again"""

CANCEL_ADVICE = f"""\
It needs nothing else. But it can be ended:
  {OPERATE} cancel {{event_id}}   to let it fail before it is called"""


def format_overview(overview: Overview) -> str:
    """Format the counts of events, the workers, and the gate."""
    first = (
        f", the first in line for {_format_seconds(overview.oldest_waiting_seconds)}"
        if overview.waiting
        else ""
    )
    rows = [
        ("waiting", f"{overview.waiting}{first}"),
        ("calling", str(overview.calling)),
        ("held (unknown)", str(overview.held)),
        ("failed", str(overview.failed)),
        ("unreadable", f"{overview.unreadable}{UNREADABLE if overview.unreadable else ''}"),
        ("workers", str(overview.workers or "none took within 15 s: nothing is called")),
        ("breaker", _format_breaker(overview)),
        ("pause", _format_pause(overview)),
    ]
    if overview.denied_since:
        since = _format_time(overview.denied_since)
        rows.append(("denied", f"all that wait, since {since}: {DENIED}"))
    if overview.stale_answers:
        rows.append(
            ("stale answers", f"{overview.stale_answers} so far, see `stale_answer` in the log")
        )
    rows += [("probe", _format_probe(probe)) for probe in overview.failing_probes]
    return _align(rows)


def format_records(records: Sequence[Record], what: str) -> str:
    """Format a row for each record; without any, say that no event is ``what``."""
    if not records:
        return f"No event is {what}."
    return _align([HEAD, *map(_format_row, records)])


def format_story(story: Story, overview: Overview) -> str:
    """Format an event's time line, why it is where it is, and what can be done."""
    record = story.record
    parts = [
        format_records([record], ""),
        _format_chats(record),
        _align(_format_time_line(story)),
        _format_names(story),
        _advise(story, overview),
    ]
    return "\n\n".join(filter(None, parts))


def format_recovered(results: Sequence[Mapping[str, str]]) -> str:
    """Format a row for each chat that was read back."""
    rows = [
        (result["event_id"], result["chat_id"], RECOVERED.get(result["result"], result["result"]))
        for result in results
    ]
    return _align([("EVENT", "CHAT", "WHAT BECAME OF IT"), *rows])


def format_removed(
    user_id: str, counts: Mapping[str, int], unreached: Sequence[str], *, is_dry_run: bool
) -> str:
    """Format the counts of removed events by status, and the places that may have more."""
    verb = "Would remove" if is_dry_run else "Removed"
    by_status = ", ".join(f"{count} {status}" for status, count in counts.items())
    lines = [f"{verb} the events of {user_id}: {by_status or 'what was left of earlier ones'}."]
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
        record.user_id,
        record.status,
        CREATED[record.created],
        str(record.attempts),
        _format_time(record.accepted_at),
        record.failure.code if record.failure else "",
    )


def _format_chats(record: Record) -> str:
    lines = [f"{record.failure.code}: {record.failure.detail}"] if record.failure else []
    lines += [f"Its chat is {record.chat.id}."] if record.chat else []
    lines += [f"{chat_id} was made for it too." for chat_id in record.duplicate_chat_ids]
    lines += ["An empty chat that nobody refers to may exist."] if record.possible_orphan else []
    return "\n".join(lines)


def _format_time_line(story: Story) -> list[tuple[str, str]]:
    """Format the instants that every record has, and between them its history."""
    record = story.record
    moments = [(_format_time(record.accepted_at), "accepted")]
    moments += map(_format_moment, story.moments)
    if record.settled_at and record.expires_at:
        until = _format_time(record.expires_at)
        moments.append((_format_time(record.settled_at), f"{record.status}; kept until {until}"))
    return moments


def _format_moment(moment: Moment) -> tuple[str, str]:
    parts = [moment.what.replace("_", " "), f"(attempt {moment.attempt})"]
    parts += [f"{moment.times} times in a row"] if moment.times > 1 else []
    parts += [f"by {moment.by}"] if moment.by else []
    parts += [f"({moment.action.replace('_', ' ')})"] if moment.action else []
    parts += [moment.chat_id] if moment.chat_id else []
    parts += [f"token {moment.token}"] if moment.token else []
    return _format_time(moment.at), " ".join(parts)


def _format_names(story: Story) -> str:
    """Format what log lines call the event's life and its grant."""
    grant = f", and its grant token {story.token}" if story.token else ""
    return f"Log lines name its life {story.life}{grant}."


def _advise(story: Story, overview: Overview) -> str:
    record = story.record
    event_id = _quote(record.event_id)
    match record.status:
        case Status.ACCEPTED:
            lines = [*_explain_wait(story, overview), CANCEL_ADVICE.format(event_id=event_id)]
            return "\n".join(lines)
        case Status.CALLING:
            by = f" at {_format_time(story.next_look)}" if story.next_look else ""
            return f"A worker calls. If that worker is lost, the event becomes unknown{by}."
        case Status.OPENED:
            return "Its chat is published and will not change. Nothing is to be done."
        case Status.UNKNOWN:
            return UNKNOWN_ADVICE.format(event_id=event_id)
        case _ if record.created is None:
            return (
                "An attempt may have made a chat, so it is not tried again. If the chat is found,"
                " give its id to the system that posted the event."
            )
        case _:
            return REDRIVE_ADVICE.format(event_id=event_id)


def _quote(event_id: str) -> str:
    """Quote an id for a shell: callers choose it, and ``--all-held`` is one too."""
    return f"{'-- ' if event_id.startswith('-') else ''}{shlex.quote(event_id)}"


def _explain_wait(story: Story, overview: Overview) -> list[str]:
    lines = ["It waits for its call."]
    if story.next_look:
        lines.append(f"It may be called from {_format_time(story.next_look)} on.")
    if story.ahead:
        lines.append(f"In line before it: {story.ahead}.")
    if denials := story.denials:
        since = _format_time(denials.since)
        lines.append(
            f"Channel.io denied its call {denials.times} times since {since}, of which"
            f" {denials.own} were its own: others succeeded meanwhile. A second own one lets it"
            " fail; any other is about the key or the address."
        )
    if overview.pause:
        lines.append(f"Nothing is called, {_format_pause(overview)}: {OPERATE} resume")
    if not overview.workers:
        lines.append("Nothing is called: no worker took anything within 15 s.")
    if overview.breaker != "closed":
        lines.append(f"Calls are held back: the breaker is {_format_breaker(overview)}.")
    lines += [f"A probe fails {_format_probe(probe)}." for probe in overview.failing_probes]
    if overview.paused_seconds:
        lines.append(f"All calls pause for {_format_seconds(overview.paused_seconds)}.")
    return lines


def _format_breaker(overview: Overview) -> str:
    reason = f" ({overview.breaker_reason})" if overview.breaker_reason else ""
    return overview.breaker.replace("_", " ") + reason


def _format_pause(overview: Overview) -> str:
    parts = []
    if overview.pause:
        parts.append(f"by {overview.pause.by} since {_format_time(overview.pause.since)}")
    if overview.paused_seconds:
        parts.append(f"{_format_seconds(overview.paused_seconds)} after a 429")
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
