"""What the scripts of the store do to one event, each in one step, as the design says it."""

from dataclasses import dataclass
from typing import Any

from tests.model.states import Record, State, Turn


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts of a relay that ``consents`` or not to one more call, ``without`` one guard."""

    consents: bool
    without: str

    def has(self, guard: str) -> bool:
        """Whether the guard is in."""
        return guard != self.without

    def take(self, state: State, t: int) -> tuple[State, Record | None]:
        """The same grant for the same token, nothing for one that is over; else a new grant."""
        record, taken = state.record, state.turns[t].taken
        if taken:
            is_its = record and (record.status, record.token, taken) == ("calling", t, "grant")
            return state, record if is_its else None
        if not record or record.status != "accepted":
            return state, None
        grant = record._replace(
            status="calling" if self.has("intent") else "accepted",
            attempt=record.attempt + 1,
            attempts=record.attempts + 1,
            token=t,
            orphan=record.orphan or (record.unknowns > 0 and self.has("orphan")),
        )
        return self.store(state.turned(t, taken="grant"), grant), grant

    def release(self, state: State, t: int) -> State:
        """The grant is given back, if it still stands, and the token is over."""
        after = state.turned(t, taken="over" if self.has("tombstone of release") else "")
        record, is_granted = state.record, state.turns[t].taken == "grant"
        if not record or not is_granted or (record.token != t and self.has("own release")):
            return after
        attempt = record.attempt if self.has("fence only grows") else record.attempt - 1
        return self.prove(after, record._replace(attempt=attempt, attempts=record.attempts - 1))

    def settle(self, state: State, t: int, turn: Turn) -> State:
        """What the turn's call came to is told, and the token is over."""
        after = state.turned(t, taken="over" if self.has("tombstone of settle") else "")
        record = self._restored(state.record, turn)
        if not record:
            return after
        if turn.outcome == "created":
            return self._created(after, record, t)
        if turn.outcome == "unknown":
            is_at_attempt = record.attempt == turn.grant.attempt or not self.has("fence")
            is_calling = record.status == "calling" or not self.has("only calling ends unknown")
            doubt = record._replace(token=t)
            return self.end_unknown(after, doubt) if is_at_attempt and is_calling else after
        if record.token != t and self.has("own proof"):
            return after
        return self.prove(after, record, "failed" if turn.outcome == "refused" else "accepted")

    def end_unknown(self, state: State, record: Record) -> State:
        """Nobody knows whether the call made a chat: held, or accepted by consent, once."""
        doubt = record._replace(unknowns=record.unknowns + 1)
        if self.consents and not (record.consented and self.has("consent once")):
            return self.store(state, doubt, status="accepted", token=None, consented=True)
        return self.store(state, doubt, status="unknown")

    def prove(self, state: State, record: Record, status: str = "accepted") -> State:
        """The call made no chat: of the doubts, its own alone is taken away."""
        unknowns = record.unknowns - (record.status == "unknown")
        left = unknowns if self.has("others' doubt") else 0
        return self.store(state, record, status=status, token=None, unknowns=left)

    def store(self, state: State, record: Record, **changes: Any) -> State:
        """The record is in the one place where its status belongs."""
        stored = record._replace(**changes)
        places = stored.places if self.has("leave") else stored.places | state.places
        return state._replace(record=stored, places=places)

    def _restored(self, record: Record | None, turn: Turn) -> Record | None:
        """The record, or the worker's copy of it where Redis lost writes."""
        if not self.has("restore"):
            return record
        if not record:
            return turn.grant
        is_behind = record.attempt < turn.grant.attempt and record.status != "opened"
        return turn.grant if is_behind and turn.is_doubtful else record

    def _created(self, state: State, record: Record, chat: int) -> State:
        if record.status == "failed" and not self.has("failed is opened"):
            return state
        if record.status != "opened" or not self.has("published stays"):
            return self.store(state, record, status="opened", chat=chat, token=None)
        if chat == record.chat or not self.has("duplicates"):
            return state
        return self.store(state, record, duplicates=record.duplicates | {chat})
