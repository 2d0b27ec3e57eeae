"""How the command line shows things: tables for people, JSON for scripts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from app.chats.overview import Moment, Overview, Story
from app.chats.record import Record, Status

_ANY: TypeAdapter[Any] = TypeAdapter(Any)

ADVICE = {
    Status.ACCEPTED: "It waits for its call. `status` says whether the gate is shut.",
    Status.CALLING: "A worker is calling. If that worker is lost, it becomes unknown by itself.",
    Status.OPENED: "Its chat is published and will not change. Nothing is to be done.",
    Status.FAILED: (
        "`redrive` tries it again."
        " It refuses where an attempt may have made a chat (created is null)."
    ),
    Status.UNKNOWN: (
        "Nobody can know whether a chat was made. Look at the user's chats at Channel.io, then:\n"
        "  resolve {event_id} --chat-id ID   if you found it\n"
        "  resolve {event_id} --recreate     to call once more; an empty orphan may remain\n"
        "  resolve {event_id} --give-up      to let it fail"
    ),
}


def as_json(value: Any) -> str:
    """Any of our dataclasses, or a list of them, as JSON."""
    return _ANY.dump_json(value, indent=2).decode()


def overview(now: Overview) -> str:
    """How the relay stands."""
    reason = f" ({now.breaker_reason})" if now.breaker_reason else ""
    rows = [
        ("waiting", f"{now.waiting}, the oldest for {now.oldest_waiting_seconds:.0f} s"),
        ("calling", str(now.calling)),
        ("held (unknown)", str(now.held)),
        ("failed", str(now.failed)),
        ("breaker", now.breaker + reason),
        ("pause", f"{now.paused_seconds:.0f} s" if now.paused_seconds else "none"),
    ]
    return _columns(rows)


def records(found: Sequence[Record], what: str) -> str:
    """A row for each record."""
    if not found:
        return f"No event is {what}."
    head = ("EVENT", "USER", "STATUS", "CREATED", "ATTEMPTS", "ACCEPTED", "WHY")
    return _columns([head, *(_row(record) for record in found)])


def story(told: Story) -> str:
    """What happened, why it is where it is, and what can be done."""
    record = told.record
    moments = [(_time(record.accepted_at), "accepted"), *(_moment(m) for m in told.moments)]
    if record.settled_at:
        moments.append((_time(record.settled_at), f"settled: {record.status}"))
    why = f"\n{record.failure.code}: {record.failure.detail}" if record.failure else ""
    chat = f"\nchat {record.chat.id}" if record.chat else ""
    advice = ADVICE[record.status].format(event_id=record.event_id)
    head = _columns([("EVENT", "USER", "STATUS", "CREATED", "ATTEMPTS"), _row(record)[:5]])
    return f"{head}{chat}{why}\n\n{_columns(moments)}\n\n{advice}"


def recovered(results: Sequence[Mapping[str, str]]) -> str:
    """A row for each line that was settled."""
    rows = [(result["event_id"], result["chat_id"], result["result"]) for result in results]
    return _columns([("EVENT", "CHAT", "RESULT"), *rows])


def _row(record: Record) -> tuple[str, ...]:
    created = {True: "yes", False: "no", None: "nobody knows"}[record.created]
    why = record.failure.code if record.failure else ""
    accepted = _time(record.accepted_at)
    return (
        record.event_id,
        record.user_id,
        record.status,
        created,
        str(record.attempts),
        accepted,
        why,
    )


def _moment(moment: Moment) -> tuple[str, str]:
    parts = [moment.what.replace("_", " "), f"(attempt {moment.attempt})"]
    parts += [f"{moment.times} times in a row"] if moment.times > 1 else []
    parts += [f"by {moment.by}"] if moment.by else []
    parts += [f"({moment.action.replace('_', ' ')})"] if moment.action else []
    parts += [moment.chat_id] if moment.chat_id else []
    return _time(moment.at), " ".join(parts)


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
