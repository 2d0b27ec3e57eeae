"""Specification of the store's scripts: each changes one event in one step."""

from dataclasses import dataclass
from typing import Any

from tools.model.states import SETTLED, ModelRecord, State, Turn

MAX_OWN_DENIALS = 2
# The record that `recover` rebuilds from a line. Its attempt no longer counts once it is opened.
LOGGED = ModelRecord(status="calling", attempt=1, attempts=1)


@dataclass(frozen=True, slots=True)
class ModelScripts:
    """The scripts of a relay, ``without`` one guard.

    ``consents``: the relay consents to one more call. ``denials`` and ``doubts``: records keep the
    fields that only denials, and only lines of a log, need.
    """

    consents: bool
    without: str
    denials: bool = False
    doubts: bool = False

    def has(self, guard: str) -> bool:
        """Return whether the guard is in."""
        return guard != self.without

    def take(self, state: State, t: int) -> tuple[State, ModelRecord | None]:
        """Return the grant of a repeated token, nothing for a tombstone, else a new grant."""
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
        return self.store(state.turned(t, taken="grant", life=grant.life), grant), grant

    def release(self, state: State, t: int) -> State:
        """Give the grant back if the record still has it, and write the tombstone."""
        after = state.turned(t, taken="over" if self.has("tombstone of release") else "")
        record, is_granted = state.record, state.turns[t].taken == "grant"
        if not record or not is_granted or (record.token != t and self.has("own release")):
            return after
        attempt = record.attempt if self.has("fence only grows") else record.attempt - 1
        return self.prove(after, record._replace(attempt=attempt, attempts=record.attempts - 1))

    def settle(self, state: State, t: int, turn: Turn, kind: str) -> State:
        """Settle the turn's outcome, and write the tombstone."""
        after = state.turned(t, taken="over" if self.has("tombstone of settle") else "")
        if self._is_stale(state, turn):
            return after
        record = self._restored(state.record, turn)
        if not record:
            return after
        match turn.outcome:
            case "created":
                return self.create(after, record, t)
            case "unknown":
                return self._settle_unknown(after, record, t, turn)
            case _:
                return self._settle_proof(after, record, t, kind)

    def _is_stale(self, state: State, turn: Turn) -> bool:
        """Return whether the turn is of another life than the record, or of an expired one."""
        if state.record:
            return state.record.life != turn.life and self.has("life")
        is_over = turn.life < state.lives and self.has("ended stays ended")
        return is_over and turn.outcome != "created"

    def _settle_unknown(self, state: State, record: ModelRecord, t: int, turn: Turn) -> State:
        is_at_attempt = record.attempt == turn.grant.attempt or not self.has("fence")
        is_calling = record.status == "calling" or not self.has("only calling ends unknown")
        doubt = record._replace(token=t)
        return self.end_unknown(state, doubt) if is_at_attempt and is_calling else state

    def _settle_proof(self, state: State, record: ModelRecord, t: int, kind: str) -> State:
        if record.token != t and self.has("own proof"):
            return state
        if kind in {"denied", "own denied"}:
            return self._deny(state, record, is_own=kind == "own denied")
        return self.prove(state, record, "failed" if kind == "refused" else "accepted")

    def recover(self, state: State, t: int, *, life: int, is_trusted: bool = False) -> State:
        """Settle the chat of a log line, which has the life and the token of its grant.

        Only a line that the operator trusts may have a token that the record does not have, or
        rebuild a record that is missing.
        """
        record = state.record or (LOGGED._replace(life=life) if is_trusted else None)
        if not record:
            return state
        is_its_life = record.life == life or not self.has("life of a line")
        is_its_own = t == record.token or t in record.doubted
        is_believed = is_its_own or is_trusted or not self.has("token of a line")
        if not is_its_life or not is_believed:
            return state
        after = state.turned(t, taken="over") if t < len(state.turns) else state
        return self.create(after, record, t)

    def end_unknown(self, state: State, record: ModelRecord) -> State:
        """Hold the event after a call with an unknown result, or accept it by consent, once."""
        doubt = record._replace(unknowns=record.unknowns + 1)
        if self.doubts and record.token is not None:
            doubt = doubt._replace(doubted=doubt.doubted | {record.token})
        if self.consents and not (record.consented and self.has("consent once")):
            return self.store(state, doubt, status="accepted", token=None, consented=True)
        return self.store(state, doubt, status="unknown")

    def prove(self, state: State, record: ModelRecord, status: str = "accepted") -> State:
        """End a call that made no chat: only its own doubt is removed."""
        unknowns = record.unknowns - (record.status == "unknown")
        left = unknowns if self.has("others' doubt") else 0
        return self.store(state, record, status=status, token=None, unknowns=left)

    def create(self, state: State, record: ModelRecord, chat: int) -> State:
        """Publish the chat of a call, or append it as a duplicate chat."""
        if record.status == "failed" and not self.has("failed is opened"):
            return state
        if record.status != "opened" or not self.has("published stays"):
            return self.store(state, record, status="opened", chat=chat, token=None)
        if chat == record.chat or not self.has("duplicates"):
            return state
        return self.store(state, record, duplicates=record.duplicates | {chat})

    def store(self, state: State, record: ModelRecord, **changes: Any) -> State:
        """Store the record, and its entry in the sorted set of its status."""
        stored = record._replace(**changes)
        if stored.status in SETTLED:
            stored = stored._replace(denials=-1)
        places = stored.places if self.has("leave") else stored.places | state.places
        return state._replace(record=stored, places=places)

    def _deny(self, state: State, record: ModelRecord, *, is_own: bool) -> State:
        """Reschedule a denied event; its second own denial fails it."""
        own = max(0, record.denials) + is_own
        is_over = own >= MAX_OWN_DENIALS and self.has("own denials fail")
        is_burned = is_over or not self.has("denied stays accepted")
        denied = record._replace(denials=own if self.denials else -1)
        return self.prove(state, denied, "failed" if is_burned else "accepted")

    def _restored(self, record: ModelRecord | None, turn: Turn) -> ModelRecord | None:
        """Return the record, or the worker's copy of it where Redis lost writes."""
        if not self.has("restore"):
            return record
        if not record:
            return turn.grant
        is_behind = record.attempt < turn.grant.attempt and record.status != "opened"
        return turn.grant if is_behind and turn.is_doubtful else record
