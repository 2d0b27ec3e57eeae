"""How the command line shows things to people."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.chats.overview import Overview
from app.chats.record import Record, Status
from app.chats.story import Moment, Story
from app.operate.desk import ProcessSettings

HEAD = ("EVENT", "USER", "STATUS", "CREATED", "ATTEMPTS", "ACCEPTED (UTC)", "WHY")
CREATED = {True: "yes", False: "no", None: "nobody knows"}
RECOVERED = {
    "opened": "opened",
    "duplicate": "kept beside the chat that was published before",
    "ignored": "known already",
    "newer": "left alone: a newer release of the relay wrote the record",
}
UNKNOWN_ADVICE = """\
Nobody can know whether a chat was made. Look at the user's chats at Channel.io, then:
  resolve --chat-id ID {event_id}   if you found it
  resolve --recreate {event_id}     to call once more; an empty orphan may remain
  resolve --give-up {event_id}      to let it fail"""

REDRIVE_ADVICE = """\
Surely no chat was made:
  redrive {event_id}   to try it again"""


def overview(now: Overview) -> str:
    """How the relay stands."""
    first = f", the first in line for {_seconds(now.oldest_waiting_seconds)}" if now.waiting else ""
    rows = [
        ("waiting", f"{now.waiting}{first}"),
        ("calling", str(now.calling)),
        ("held (unknown)", str(now.held)),
        ("failed", str(now.failed)),
        ("breaker", _breaker(now)),
        ("pause", _seconds(now.paused_seconds) if now.paused_seconds else "none"),
    ]
    return _columns(rows)


def records(found: Sequence[Record], what: str) -> str:
    """A row for each record."""
    if not found:
        return f"No event is {what}."
    return _columns([HEAD, *(_row(record) for record in found)])


def story(told: Story, now: Overview) -> str:
    """What happened, why it is where it is, and what can be done."""
    record = told.record
    parts = [records([record], ""), _chats(record), _columns(_moments(told)), _advice(told, now)]
    return "\n\n".join(filter(None, parts))


def recovered(results: Sequence[Mapping[str, str]]) -> str:
    """A row for each chat that was read back."""
    rows = [
        (result["event_id"], result["chat_id"], RECOVERED.get(result["result"], result["result"]))
        for result in results
    ]
    return _columns([("EVENT", "CHAT", "WHAT BECAME OF IT"), *rows])


def settings(found: Sequence[ProcessSettings]) -> str:
    """The settings of each process, and what is wrong with them."""
    return "\n\n".join(map(_process, found))


def _process(process: ProcessSettings) -> str:
    rows = [(name, "" if value is None else str(value)) for name, value in process.values.items()]
    problems = [f"! {problem}" for problem in process.problems]
    verdict = "cannot start:" if problems else "can start"
    return "\n".join([f"{process.process} {verdict}", *problems, _columns(rows)])


def _row(record: Record) -> tuple[str, ...]:
    return (
        record.event_id,
        record.user_id,
        record.status,
        CREATED[record.created],
        str(record.attempts),
        _time(record.accepted_at),
        record.failure.code if record.failure else "",
    )


def _chats(record: Record) -> str:
    lines = [f"{record.failure.code}: {record.failure.detail}"] if record.failure else []
    lines += [f"Its chat is {record.chat.id}."] if record.chat else []
    lines += [f"{chat_id} was made for it too." for chat_id in record.duplicate_chat_ids]
    lines += ["An empty chat that nobody refers to may exist."] if record.possible_orphan else []
    return "\n".join(lines)


def _moments(told: Story) -> list[tuple[str, str]]:
    """The time line: what a record always tells, and what its history adds."""
    record = told.record
    moments = [(_time(record.accepted_at), "accepted"), *map(_moment, told.moments)]
    if record.settled_at and record.expires_at:
        until = _time(record.expires_at)
        moments.append((_time(record.settled_at), f"{record.status}; kept until {until}"))
    return moments


def _moment(moment: Moment) -> tuple[str, str]:
    parts = [moment.what.replace("_", " "), f"(attempt {moment.attempt})"]
    parts += [f"{moment.times} times in a row"] if moment.times > 1 else []
    parts += [f"by {moment.by}"] if moment.by else []
    parts += [f"({moment.action.replace('_', ' ')})"] if moment.action else []
    parts += [moment.chat_id] if moment.chat_id else []
    return _time(moment.at), " ".join(parts)


def _advice(told: Story, now: Overview) -> str:
    record = told.record
    match record.status:
        case Status.ACCEPTED:
            return _advice_waiting(told, now)
        case Status.CALLING:
            by = f" at {_time(told.next_look)}" if told.next_look else ""
            return f"A worker calls. If that worker is lost, the event becomes unknown{by}."
        case Status.OPENED:
            return "Its chat is published and will not change. Nothing is to be done."
        case Status.UNKNOWN:
            return UNKNOWN_ADVICE.format(event_id=_argument(record.event_id))
        case _ if record.created is None:
            return (
                "An attempt may have made a chat, so it is not tried again. If the chat is found,"
                " tell whoever posted the event."
            )
        case _:
            return REDRIVE_ADVICE.format(event_id=_argument(record.event_id))


def _argument(event_id: str) -> str:
    """An id as it can be pasted: callers choose it, and ``--all-held`` is one too."""
    return f"{'-- ' if event_id.startswith('-') else ''}{shlex.quote(event_id)}"


def _advice_waiting(told: Story, now: Overview) -> str:
    lines = ["It waits for its call, and nothing is to be done for it alone."]
    lines += [f"It may be called from {_time(told.next_look)} on."] if told.next_look else []
    lines += [f"In line before it: {told.ahead}."] if told.ahead else []
    lines += (
        [f"Nothing is called: the breaker is {_breaker(now)}."] if now.breaker == "open" else []
    )
    lines += [f"All calls pause for {_seconds(now.paused_seconds)}."] if now.paused_seconds else []
    return "\n".join(lines)


def _breaker(now: Overview) -> str:
    reason = f" ({now.breaker_reason})" if now.breaker_reason else ""
    return now.breaker.replace("_", " ") + reason


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s"


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _columns(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
