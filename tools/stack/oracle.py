"""Oracle: the promises that must hold after a run, whichever fault it had.

The stand-in's lists of creates, messages and opens are the truth. Each event of a run has its own
user id, so the creates of an event are those of its user.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.stack.channel_io import PERSONAL, Create, Message, Open

Json = dict[str, Any]

ENDS = {"opened", "failed", "unknown"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Facts at the end of a run.

    ``records`` has the current record of each accepted event, ``None`` if it is gone, and ``seen``
    every record that a client received. ``received`` has the chat ids that workers logged,
    ``spooled`` those in spool files. ``consents`` counts an event's consents by operators; consent
    by setting shows as ``possible_orphan``. ``allowed_messages`` and ``allowed_opens`` have the
    events that may have more than one of them, because the run broke a condition of the promise.
    """

    creates: Sequence[Create]
    records: Mapping[str, Json | None]
    seen: Sequence[Json] = ()
    received: Collection[str] = ()
    spooled: Collection[str] = ()
    consents: Mapping[str, int] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    opens: Sequence[Open] = ()
    allowed_messages: Mapping[str, int] = field(default_factory=dict)
    allowed_opens: Mapping[str, int] = field(default_factory=dict)

    @property
    def found(self) -> list[Json]:
        """Return the records that exist."""
        return [record for record in self.records.values() if record]

    @property
    def kept(self) -> set[str]:
        """Return the chat ids that are in records or in the spool."""
        return {chat_id for record in self.found for chat_id in _chat_ids(record)} | {*self.spooled}


def faults_of(run: Run) -> list[str]:
    """Return a sentence for each broken promise."""
    rules = (
        lost_events,
        unasked,
        lost_answers,
        _hidden_chats,
        _changed_ids,
        _foreign_chats,
        incomplete_events,
        repeated_tasks,
        missing_messages,
    )
    return [fault for rule in rules for fault in rule(run)]


def has_ended(record: Json) -> bool:
    """Return whether the event is complete or held."""
    return record["status"] in ENDS and (is_complete(record) or record["status"] == "unknown")


def is_complete(record: Json) -> bool:
    """Return ``complete``; a settled record without that field is complete."""
    return bool(record.get("complete", record["status"] in {"opened", "failed"}))


def leaks_in(text: str, secrets: Collection[str]) -> list[str]:
    """Return the ``secrets`` and the personal data of Channel.io's answers that ``text`` has."""
    return [secret for secret in (*secrets, *PERSONAL) if secret in text]


def lost_events(run: Run) -> Iterator[str]:
    """Find accepted events that are not opened, failed or unknown."""
    for event_id, record in run.records.items():
        if record is None:
            yield f"{event_id} was accepted, and is gone"
        elif record["status"] not in ENDS:
            yield f"{event_id} is still {record['status']}"


def unasked(run: Run) -> Iterator[str]:
    """Find users with more creates than one for the event and one for each consent."""
    creates = Counter(create.user_id for create in run.creates)
    allowed = {
        record["user_id"]: 1 + record["possible_orphan"] + run.consents.get(record["event_id"], 0)
        for record in run.found
    }
    for user_id, count in creates.items():
        if count > allowed.get(user_id, 0):
            yield f"{count} chats of {user_id} were created, {allowed.get(user_id, 0)} allowed"


def lost_answers(run: Run) -> Iterator[str]:
    """Find chat ids that a worker received and that are in no record and no spool."""
    for chat_id in {*run.received} - run.kept:
        yield f"the answer with {chat_id} was received, and is lost"


def _hidden_chats(run: Run) -> Iterator[str]:
    """Find chats without a record that are not covered by ``unknown`` or ``possible_orphan``."""
    in_doubt = {
        record["user_id"]
        for record in run.found
        if record["created"] is None or record["possible_orphan"]
    }
    for create in run.creates:
        if create.chat_id not in run.kept and create.user_id not in in_doubt:
            yield f"{create.chat_id} exists, and no record of {create.user_id} admits it"


def _changed_ids(run: Run) -> Iterator[str]:
    """Find published chat ids that changed."""
    for record in run.seen:
        now = run.records.get(record["event_id"])
        if record["chat"] and (now is None or now["chat"] != record["chat"]):
            yield f"{record['event_id']} was published with {record['chat']['id']}, and is no more"


def _foreign_chats(run: Run) -> Iterator[str]:
    """Find chats in the record of another user."""
    owners = {create.chat_id: create.user_id for create in run.creates}
    for record in run.found:
        for chat_id in _chat_ids(record):
            if owners.get(chat_id) != record["user_id"]:
                yield f"{record['event_id']} has {chat_id}, made for {owners.get(chat_id)}"


def incomplete_events(run: Run) -> Iterator[str]:
    """Find settled events that are not complete."""
    for record in run.found:
        if record["status"] in ENDS and not has_ended(record):
            yield f"{record['event_id']} is {record['status']}, and not complete"


def repeated_tasks(run: Run) -> Iterator[str]:
    """Find messages and opens in unpublished chats, unrequested ones, and more than are allowed."""
    yield from _repeats(run, "message", run.messages, run.allowed_messages)
    yield from _repeats(run, "open", run.opens, run.allowed_opens)


def missing_messages(run: Run) -> Iterator[str]:
    """Find messages that are done and that the chat does not have."""
    sent = {message.chat_id for message in run.messages}
    for record in run.found:
        task = _tasks(record).get("message")
        if task and task["status"] == "done" and _published(record) not in sent:
            yield f"{record['event_id']} has its message done, and {_published(record)} has none"


def _repeats(
    run: Run, task: str, effects: Sequence[Message | Open], allowed: Mapping[str, int]
) -> Iterator[str]:
    records = {_published(record): record for record in run.found if record["chat"]}
    for chat_id, count in Counter(effect.chat_id for effect in effects).items():
        record = records.get(chat_id)
        if record is None:
            yield f"{chat_id} has {count} {task}s, and no record published it"
            continue
        limit = allowed.get(record["event_id"], 1) if task in _tasks(record) else 0
        if count > limit:
            yield f"{chat_id} of {record['event_id']} has {count} {task}s, {limit} allowed"


def _tasks(record: Json) -> Json:
    return record.get("tasks") or {}


def _published(record: Json) -> str | None:
    return record["chat"]["id"] if record["chat"] else None


def _chat_ids(record: Json) -> list[str]:
    published = [record["chat"]["id"]] if record["chat"] else []
    return [*published, *record["duplicate_chat_ids"]]
