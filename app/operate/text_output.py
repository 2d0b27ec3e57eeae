"""Output for people: tables, time lines, and advice as commands to paste."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.chats.overview import Overview
from app.chats.record import Record, Status
from app.chats.story import Moment, Story
from app.operate.context import SettingsPreview

HEAD = ("EVENT", "USER", "STATUS", "CREATED", "ATTEMPTS", "ACCEPTED (UTC)", "WHY")
CREATED = {True: "yes", False: "no", None: "nobody knows"}
RECOVERED = {
    "opened": "opened",
    "duplicate": "kept beside the chat that was published before",
    "ignored": "known already",
    "newer": "left alone: a newer release of the relay wrote the record",
}
UNREADABLE = ", written by another release: use its command line and its workers"
UNKNOWN_ADVICE = """\
Nobody can know whether a chat was made. Look at the user's chats at Channel.io, then:
  resolve --chat-id ID {event_id}   if you found it
  resolve --recreate {event_id}     to call once more; an empty orphan may remain
  resolve --give-up {event_id}      to let it fail"""

REDRIVE_ADVICE = """\
Surely no chat was made:
  redrive {event_id}   to try it again"""


def format_overview(overview: Overview) -> str:
    """Format the counts of events, and the gate."""
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
        ("breaker", _format_breaker(overview)),
        ("pause", _format_seconds(overview.paused_seconds) if overview.paused_seconds else "none"),
    ]
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


def format_settings(previews: Sequence[SettingsPreview]) -> str:
    """Format the settings of each process, and the problems with them."""
    return "\n\n".join(map(_format_preview, previews))


def _format_preview(preview: SettingsPreview) -> str:
    rows = [(name, "" if value is None else str(value)) for name, value in preview.values.items()]
    problems = [f"! {problem}" for problem in preview.problems]
    verdict = "cannot start:" if problems else "can start"
    return "\n".join([f"{preview.process} {verdict}", *problems, _align(rows)])


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
    return _format_time(moment.at), " ".join(parts)


def _advise(story: Story, overview: Overview) -> str:
    record = story.record
    match record.status:
        case Status.ACCEPTED:
            return _advise_waiting(story, overview)
        case Status.CALLING:
            by = f" at {_format_time(story.next_look)}" if story.next_look else ""
            return f"A worker calls. If that worker is lost, the event becomes unknown{by}."
        case Status.OPENED:
            return "Its chat is published and will not change. Nothing is to be done."
        case Status.UNKNOWN:
            return UNKNOWN_ADVICE.format(event_id=_quote(record.event_id))
        case _ if record.created is None:
            return (
                "An attempt may have made a chat, so it is not tried again. If the chat is found,"
                " tell whoever posted the event."
            )
        case _:
            return REDRIVE_ADVICE.format(event_id=_quote(record.event_id))


def _quote(event_id: str) -> str:
    """Quote an id for a shell: callers choose it, and ``--all-held`` is one too."""
    return f"{'-- ' if event_id.startswith('-') else ''}{shlex.quote(event_id)}"


def _advise_waiting(story: Story, overview: Overview) -> str:
    lines = ["It waits for its call, and nothing is to be done for it alone."]
    lines += (
        [f"It may be called from {_format_time(story.next_look)} on."] if story.next_look else []
    )
    lines += [f"In line before it: {story.ahead}."] if story.ahead else []
    lines += (
        [f"Nothing is called: the breaker is {_format_breaker(overview)}."]
        if overview.breaker == "open"
        else []
    )
    lines += (
        [f"All calls pause for {_format_seconds(overview.paused_seconds)}."]
        if overview.paused_seconds
        else []
    )
    return "\n".join(lines)


def _format_breaker(overview: Overview) -> str:
    reason = f" ({overview.breaker_reason})" if overview.breaker_reason else ""
    return overview.breaker.replace("_", " ") + reason


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
