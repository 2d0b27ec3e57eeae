"""Operations of an operator: reading events and their history, and deciding about them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from app.chats.errors import NothingDone, RecordFromNewerRelease
from app.chats.event import OnUnknown
from app.chats.grant import Grant, SettleEffect, Task, new_token
from app.chats.outcome import Created
from app.chats.record import Chat, Failure, FailureCode, Record, Status
from app.store.grants import settle
from app.store.history import EventHistory
from app.store.keys import Person
from app.store.records import (
    calling_fields,
    chat_fields,
    failure_fields,
    parse_fields,
    read_denials,
    read_history,
    read_record,
    shorten_token,
    to_datetime,
    tokens_of,
)
from app.store.relay_stats import RelayStatsReader
from app.store.scripts import Scripts

PAGE = 500
MAX_INDEXED = 100  # MAX_CHATS_OF_USER of relay.lua
MAX_SENDS = 2  # of tasks.lua
ABANDONED = Failure(FailureCode.ABANDONED, "An operator gave up on it; a chat may exist.")
CANCELLED = Failure(FailureCode.ABANDONED, "An operator cancelled it while it waited.")


class Position(NamedTuple):
    """A place in the sorted set of a status: the score, as Redis has it, and the event's id."""

    score: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of one status.

    ``events`` have ``None`` for a record that this release cannot read. ``gone`` are the ids whose
    record has ended, or was removed. ``looked_at`` counts those of other persons as well.
    ``scores`` are those of ``events`` in the status's sorted set. ``last`` is the position of the
    last event that was looked at.
    """

    looked_at: int
    events: list[tuple[str, Record | None]]
    gone: list[str]
    scores: dict[str, str] = field(default_factory=dict)
    last: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedChat:
    """A created chat as a worker's log line has it; ``life_ms`` is ``None`` in older lines."""

    event_id: str
    user_id: str
    member_id: str | None = None
    attempt: int
    life_ms: int | None
    token: str | None
    chat: Chat


class RecoverResult(StrEnum):
    """The result of ``recover`` for one line."""

    OPENED = "opened"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    NEWER = "newer"
    OTHER_TOKEN = "other_token"  # noqa: S105 - no secret: the record does not have this grant
    MISSING = "missing"
    OTHER_LIFE = "other_life"
    NO_LIFE = "no_life"
    FORGOTTEN = "forgotten"


# Settled only where the log is trusted.
UNTRUSTED = frozenset({RecoverResult.OTHER_TOKEN, RecoverResult.MISSING})


class ForgetResult(StrEnum):
    """The result of ``forget`` for one event; the last three change nothing."""

    FORGOTTEN = "forgotten"
    GONE = "gone"
    NOT_THEIRS = "not_theirs"
    CALLING = "calling"
    NEWER = "newer"


_SETS = {
    Status.ACCEPTED: "due",
    Status.CALLING: "calling",
    Status.UNKNOWN: "held",
    Status.FAILED: "failed",
}


class Operations(RelayStatsReader):
    """The operator's view.

    Methods raise ``StoreUnavailable`` where Redis did not confirm, and ``NothingDone`` where a
    command does not apply.
    """

    def __init__(
        self,
        scripts: Scripts,
        *,
        record_ttl_seconds: int,
        on_unknown: OnUnknown = OnUnknown.HOLD,
    ) -> None:
        super().__init__(scripts)
        self._record_ttl_ms = record_ttl_seconds * 1000
        self._on_unknown = on_unknown

    def pages(
        self,
        status: Status,
        *,
        person: Person | None = None,
        after: Position | None = None,
        size: int = PAGE,
    ) -> Iterator[Page]:
        """Read the events of ``status``, the longest so first, ``size`` at a time.

        ``ACCEPTED`` are all that wait, for the next task of an opened event too; ``CALLING`` all
        for which a grant is out; ``FAILED`` has opened events with a failed task as well.
        ``OPENED`` has no list.

        With ``person``: only this person's; ``after``: only those behind that position. Acting on
        one event hides no other, and an event that fails or is held again meanwhile is not read
        twice.
        """
        argument: dict[str, Any] = {"set": _SETS[status], "limit": size}
        if person is not None:
            argument |= person.as_argument()
        began_ms: int | None = None
        while True:
            if after is not None:
                argument |= {"after_score": after.score, "after_id": after.event_id}
            if began_ms is not None and status is Status.UNKNOWN:
                argument["until_ms"] = began_ms
            reply = self._scripts.run("list_events", argument, acknowledge=False)
            now_ms, looked_at, score, last_id, found = reply
            began_ms = now_ms if began_ms is None else began_ms
            if not looked_at:
                return
            after = Position(str(score), last_id)
            yield self._page(status, looked_at, found, began_ms, after)
            if looked_at < size:
                return

    def event_history(self, event_id: str) -> EventHistory:
        """Read an event's record and history, and where the event stands in line."""
        fields, due_at, ahead, forgotten = self._event_history(event_id)
        if fields is None:
            raise _refusal("forgotten" if forgotten else "missing", event_id)
        record = self._readable(event_id, fields)
        if record is None:
            raise _refusal("newer", event_id)
        task = _pending_fields(record, fields)
        return EventHistory(
            record,
            read_history(fields),
            life=fields["accepted_ms"],
            next_due_at=to_datetime(int(float(due_at))) if due_at else None,
            queue_position=None if ahead == "" else int(ahead),
            granted_task=fields.get("task", Task.CREATE) if _has_grant(fields) else None,
            look_from=_look_from(task, fields),
            unanswered=task.get("unanswered", 0),
            is_last_look=task.get("sends", 0) >= MAX_SENDS or "refusal" in task,
            token=shorten_token(fields.get("grant_token")),
            denials=read_denials(fields),
        )

    def check_held(self, event_id: str) -> Record:
        """Return the record of an event that can be resolved."""
        record = self.event_history(event_id).record
        if record.status is not Status.UNKNOWN:
            raise _refusal("not_held", event_id, record.status)
        return record

    def resolve_with_chat(self, event_id: str, chat_id: str, *, by: str) -> Record:
        """Publish ``chat_id``, which the operator found, as the event's chat."""
        chat = chat_fields(Chat(chat_id))
        return self._resolve(event_id, "chat", by=by, chat=chat)

    def recreate(self, event_id: str, *, by: str) -> Record:
        """Consent to one more call, which may make a second chat."""
        return self._resolve(event_id, "recreate", by=by)

    def give_up(self, event_id: str, *, by: str) -> Record:
        """Let a held event fail; whether there is a chat stays unknown."""
        failure = failure_fields(ABANDONED)
        return self._resolve(event_id, "give_up", by=by, failure=failure)

    def redrive(self, event_id: str, *, by: str, code: str | None = None) -> Record:
        """Try a failed event again, if no attempt can have made a chat, or a failed task.

        The deadline begins anew.

        With ``code``: only if that is why it failed.
        """
        condition = {} if code is None else {"code": code}
        return self._decide("redrive", "redriven", event_id, by=by, **condition)

    def cancel(self, event_id: str, *, by: str) -> Record:
        """End an event that waits: it fails or, once it is opened, its next task does."""
        failure = failure_fields(CANCELLED)
        return self._decide("cancel", "cancelled", event_id, by=by, failure=failure)

    def pause(self, *, by: str) -> None:
        """Pause all calls until ``resume``; deadlines of events go on."""
        argument = {"is_paused": True, "by": by, "token": new_token()}
        result, paused_by = self._scripts.run("pause", argument)
        if result == "unchanged":
            raise NothingDone(f"{paused_by} has paused all calls already")

    def resume(self, *, by: str) -> None:
        """End the pause."""
        argument = {"is_paused": False, "by": by, "token": new_token()}
        result, _ = self._scripts.run("pause", argument)
        if result == "unchanged":
            raise NothingDone("calls are not paused")

    def opened_events(self, person: Person) -> Page:
        """Read all events of the person that are opened, and perhaps others of the person.

        ``gone`` has ids that are, or were, in the person's index.
        """
        ids = self._scripts.run("opened_ids", {"index": person.index}, acknowledge=False)
        if len(ids) >= MAX_INDEXED:  # older ones are in no index
            ids = list(dict.fromkeys([*ids, *self._scripts.find_events(person)]))
        page = Page(len(ids), [], [])
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            texts = self._scripts.run("records", {"event_ids": some}, acknowledge=False)
            for event_id, text in zip(some, texts, strict=True):
                fields = {} if text is None else parse_fields(text)
                if fields.get(person.field) == person.id:
                    page.events.append((event_id, self._readable(event_id, fields)))
                else:
                    page.gone.append(event_id)
        return page

    def forget(self, event_id: str, *, person: Person, token: str) -> ForgetResult:
        """Remove one event of the person: its record, its text, its place in line, its look-ups.

        ``token`` names the command.
        """
        argument = {"event_id": event_id, "token": token, **person.as_argument()}
        return ForgetResult(self._scripts.run("forget", argument))

    def recover(self, logged: LoggedChat, *, is_trusted: bool = False) -> RecoverResult:
        """Settle a created chat that only a log line holds.

        ``is_trusted``: also without a record, and for a grant that the record does not have.
        """
        left, *_, forgotten = self._event_history(logged.event_id)
        doubt = self._doubt(logged, left, forgotten)
        if doubt and not (is_trusted and doubt in UNTRUSTED):
            return doubt
        fields = calling_fields(
            left or {},
            user_id=logged.user_id,
            member_id=logged.member_id,
            attempt=logged.attempt,
            accepted_ms=logged.life_ms or 0,
            ttl_ms=self._record_ttl_ms,
        )
        token = logged.token or new_token()
        grant = Grant(logged.event_id, logged.user_id, logged.attempt, token, fields)
        try:
            effect = settle(self._scripts, grant, Created(logged.chat)).effect
        except RecordFromNewerRelease:
            return RecoverResult.NEWER
        # The record was removed, or ended, since it was read.
        if effect is SettleEffect.STALE:
            return RecoverResult.OTHER_LIFE
        return RecoverResult(effect)

    def _doubt(
        self, logged: LoggedChat, fields: dict[str, Any] | None, forgotten: str
    ) -> RecoverResult | None:
        """Return why a line is not settled, or None."""
        if logged.life_ms is None or logged.token is None:
            return RecoverResult.NO_LIFE
        if fields is None:
            return RecoverResult.FORGOTTEN if forgotten else RecoverResult.MISSING
        if self._readable(logged.event_id, fields) is None:
            return RecoverResult.NEWER
        apart_ms = abs(fields["accepted_ms"] - logged.life_ms)
        # The line has no fingerprint; what it has of one is the user. A member's may have changed.
        member_id = fields.get("member_id")
        is_other_user = member_id != logged.member_id or (
            member_id is None and fields["user_id"] != logged.user_id
        )
        if apart_ms >= fields["ttl_ms"] or is_other_user:
            return RecoverResult.OTHER_LIFE
        if apart_ms and forgotten:
            return RecoverResult.FORGOTTEN
        known = {fields.get("chat_id"), *fields.get("duplicate_chat_ids", ())}
        is_its_own = tokens_of(fields).get(logged.token) == logged.attempt
        is_believed = logged.chat.id in known or (is_its_own and not apart_ms)
        return None if is_believed else RecoverResult.OTHER_TOKEN

    def _resolve(self, event_id: str, action: str, *, by: str, **about: Any) -> Record:
        return self._decide("resolve", "resolved", event_id, by=by, action=action, **about)

    def _decide(self, script: str, done: str, event_id: str, *, by: str, **about: Any) -> Record:
        # The token names this command: repeated after a lost reply, it finds that it was done.
        argument = {"event_id": event_id, "by": by, "token": new_token(), **about}
        result, *rest = self._scripts.run(script, argument)
        if result != done:
            raise _refusal(result, event_id, *rest)
        return read_record(event_id, parse_fields(rest[0]), on_unknown=self._on_unknown)

    def _page(
        self, status: Status, looked_at: int, found: list[Any], began_ms: int, last: Position
    ) -> Page:
        page, began_at = Page(looked_at, [], [], {}, last), to_datetime(began_ms)
        for event_id, text, score in found:
            if text is None:
                page.gone.append(event_id)
                continue
            fields = parse_fields(text)
            record = self._readable(event_id, fields)
            # What a script left that was stopped half-way, or what moved since the first page.
            is_listed = record is None or (
                _set_of(record, fields) == _SETS[status]
                and (record.completed_at is None or record.completed_at <= began_at)
            )
            if is_listed:
                page.events.append((event_id, record))
                page.scores[event_id] = str(score)
        return page

    def _readable(self, event_id: str, fields: dict[str, Any]) -> Record | None:
        try:
            return read_record(event_id, fields, on_unknown=self._on_unknown)
        except RecordFromNewerRelease:
            return None

    def _event_history(self, event_id: str) -> tuple[dict[str, Any] | None, str, str, str]:
        """Read the record's fields, when it is next due, how many are before it, and a mark.

        The mark is the life of this id that an operator removed. Each text is empty for none.
        """
        argument = {"event_id": event_id}
        text, *about = self._scripts.run("event_history", argument, acknowledge=False)
        due_at, ahead, forgotten = map(str, about)
        # A record of another release may be an empty text.
        fields = None if text is None else parse_fields(text)
        return fields, due_at, ahead, forgotten


def _has_grant(fields: dict[str, Any]) -> bool:
    return "grant_token" in fields and fields["status"] != Status.UNKNOWN


def _set_of(record: Record, fields: dict[str, Any]) -> str | None:
    """Return the set that an event belongs in, as ``set_of`` of transitions.lua does."""
    if record.status is Status.UNKNOWN:
        return _SETS[Status.UNKNOWN]
    if record.is_under_way:
        is_granted = "grant_token" in fields or record.status is Status.CALLING
        return _SETS[Status.CALLING if is_granted else Status.ACCEPTED]
    has_failed = record.status is Status.FAILED or record.failed_task
    return _SETS[Status.FAILED] if has_failed else None


def _pending_fields(record: Record, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the next task behind the create; none if none is left."""
    return fields["tasks"][record.pending_task] if record.pending_task else {}


def _look_from(task: dict[str, Any], fields: dict[str, Any]) -> datetime | None:
    """Return from when on a look shows what a send without an answer did, or one under way."""
    is_meant = "look_from_ms" in fields and ("unanswered" in task or "task" in fields)
    return to_datetime(fields["look_from_ms"]) if is_meant else None


_REASONS = {
    "missing": "no event {event_id} is kept",
    "forgotten": "no event {event_id} is kept: an operator removed it",
    "not_held": "{event_id} is {about}, not held: only an event that is unknown can be resolved",
    "owned": "this chat belongs to the event {about}",
    "not_waiting": "{event_id} is {about}: only an event that waits for a call can be cancelled",
    "has_grant": "the {about} of {event_id} is under way: only what waits can be cancelled",
    "not_failed": "{event_id} is {about}: only what has failed can be tried again",
    "skipped": "the tasks of {event_id} were skipped for good: do them in Channel.io's desk",
    "text_lost": "the text of the message of {event_id} is lost: write it in Channel.io's desk",
    "other_code": "{event_id} failed for another reason",
    "uncertain": "an attempt for {event_id} may have made a chat, so it is not tried again",
    "newer": "a newer release of the relay wrote {event_id}; use its command line",
}


def _refusal(why: str, event_id: str, about: str = "") -> NothingDone:
    message = _REASONS[why].format(event_id=event_id, about=about)
    reason = _REASONS[why].format(event_id="it", about=about)
    return NothingDone(message, reason="it has ended" if why == "missing" else reason)
