"""Oracle: the promises that must hold after a run, whichever fault it had.

The stand-in's list of creates is the truth. Each event of a run has its own user id, so the creates
of an event are those of its user.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.stack.channel_io import PERSONAL, Create

Json = dict[str, Any]

ENDS = {"opened", "failed", "unknown"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Facts at the end of a run.

    ``records`` has the current record of each accepted event, ``None`` if it is gone, and ``seen``
    every record that a client received. ``received`` has the chat ids that workers logged,
    ``spooled`` those in spool files. ``consents`` counts an event's consents by operators; consent
    by setting shows as ``possible_orphan``.
    """

    creates: Sequence[Create]
    records: Mapping[str, Json | None]
    seen: Sequence[Json] = ()
    received: Collection[str] = ()
    spooled: Collection[str] = ()
    consents: Mapping[str, int] = field(default_factory=dict)

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
    rules = (lost_events, unasked, lost_answers, _hidden_chats, _changed_ids, _foreign_chats)
    return [fault for rule in rules for fault in rule(run)]


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


def _chat_ids(record: Json) -> list[str]:
    published = [record["chat"]["id"]] if record["chat"] else []
    return [*published, *record["duplicate_chat_ids"]]
