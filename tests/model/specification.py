"""The specification: everything that may happen to one event, as steps from state to state.

Turns overlap in every way, so they are the turns of as many workers, or of fewer. There are no
clocks: backoff, deadlines and leases end at any moment. A step is all that others can notice at
once; what a worker does by itself in between changes nothing for anybody. The gate is left out,
since it only delays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.model.states import Record, State, Step, Turn

KINDS_OF = {
    "created": ("created",),
    "refused": ("refused",),
    "unknown": ("unknown",),
    "nothing": ("denied", "throttled", "not_sent"),
}
OTHER_CHAT = -1

TurnStep = tuple[str, str, State]


@dataclass(frozen=True, kw_only=True)
class Specification:
    """The steps within these bounds; ``without`` names the guard that is taken out.

    ``consents``: the configuration or the event consents to one more call.
    """

    turns: int = 3
    consents: bool = False
    operations: int = 0
    losses: int = 0
    without: str = ""

    @property
    def start(self) -> State:
        """Nobody has heard of the event."""
        return State((Turn(),) * self.turns)

    def steps(self, state: State) -> Iterator[tuple[Step, State]]:
        """Everything that may happen next, and what it leads to; also what changes nothing."""
        yield Step("accept"), state if state.record else self._store(state, Record())
        for number, turn in enumerate(state.turns):
            # Turns are alike: which of those that did nothing yet begins makes no difference.
            if number == 0 or state.turns[number - 1].phase != "idle":
                for name, outcome, after in self._turn(state, number, turn):
                    yield Step(name, number, outcome), after
        if state.record:
            yield from self._schedule(state, state.record)
            yield from self._operator(state, state.record)
            yield from self._lost_writes(state, state.record)

    # What workers, operators and bad days do

    def _turn(self, state: State, t: int, turn: Turn) -> Iterator[TurnStep]:
        if turn.phase == "idle":
            yield "begin", "", state.turned(t, phase="unsure")
            return
        # The request, or a repeat, may arrive whenever it likes, with nobody to hear the reply.
        taken, grant = self._take(state, t)
        yield "unheard take", "", taken
        if turn.phase == "unsure" and grant:
            yield "take", "", taken.turned(t, phase="granted", grant=grant)
        if turn.phase == "unsure" and not grant and not self._has("nothing is given back"):
            yield "take of nothing", "", state.over(t, "released")
        if turn.phase in {"unsure", "granted", "late"}:
            yield "release", "", self._release(state, t).over(t, "released")
            yield "crash", "", state.over(t, "dead")
        if turn.phase in {"granted", "late"}:
            yield "give up sending", "", state.turned(t, phase="answered", outcome="nothing")
        if turn.phase == "granted" or (turn.phase == "late" and not self._has("deadline")):
            for outcome in KINDS_OF:
                yield "send", outcome, state.turned(t, phase="answered", outcome=outcome)
        if turn.phase == "answered":
            yield from self._answered(state, t, turn)

    def _answered(self, state: State, t: int, turn: Turn) -> Iterator[TurnStep]:
        settled = self._settle(state, t, turn)
        for kind in KINDS_OF[turn.outcome]:
            yield "unheard settle", kind, settled
            yield "settle", kind, settled.over(t, "settled")
        # Ids are in the log or the spool: whoever drains it takes this turn to its end.
        if turn.outcome != "created" or not self._has("spool"):
            yield "crash", "", state.over(t, "dead")

    def _schedule(self, state: State, record: Record) -> Iterator[tuple[Step, State]]:
        if record.status == "accepted":
            yield Step("expire"), self._store(state, record, status="failed")
        if record.status == "calling" and record.token is not None:
            is_granted = state.turns[record.token].phase == "granted"
            after = state.turned(record.token, phase="late") if is_granted else state
            is_known = self._has("lost is unknown")
            lose = self._end_unknown if is_known else self._back
            yield Step("lose worker"), lose(after, record)

    def _operator(self, state: State, record: Record) -> Iterator[tuple[Step, State]]:
        if state.operations == self.operations:
            return
        acted = state._replace(operations=state.operations + 1)
        is_held = record.status == "unknown" or not self._has("only held is resolved")
        for step, after in self._resolutions(acted, record._replace(token=None)):
            yield step, after if is_held else state
        is_certain = record.created is False or not self._has("only certain is redriven")
        is_redriven = record.status == "failed" and is_certain
        redriven = self._store(acted, record, status="accepted")
        yield Step("redrive"), redriven if is_redriven else state

    def _resolutions(self, state: State, record: Record) -> Iterator[tuple[Step, State]]:
        consented = state._replace(recreates=state.recreates + 1)
        yield Step("recreate"), self._store(consented, record, status="accepted")
        yield Step("give up"), self._store(state, record, status="failed")
        other = self._store(state, record, status="opened", chat=OTHER_CHAT)
        yield Step("set chat id"), other
        # Or the operator found the chat of a turn that has not told of it yet.
        for number, turn in enumerate(state.turns):
            if turn.outcome == "created":
                opened = self._store(state, record, status="opened", chat=number)
                yield Step("set chat id", number), opened

    def _lost_writes(self, state: State, record: Record) -> Iterator[tuple[Step, State]]:
        if state.losses < self.losses:
            grants = state.lost_grants + record.attempt
            turns = tuple(_bereft(turn) for turn in state.turns)
            lost = State(turns, losses=state.losses + 1, lost_grants=grants)
            yield Step("flush"), lost
            yield Step("roll back"), self._store(lost, Record())

    # What the scripts do

    def _take(self, state: State, t: int) -> tuple[State, Record | None]:
        record, taken = state.record, state.turns[t].taken
        if taken:
            is_its = record and (record.status, record.token, taken) == ("calling", t, "grant")
            return state, record if is_its else None
        if not record or record.status != "accepted":
            return state, None
        grant = record._replace(
            status="calling" if self._has("intent") else "accepted",
            attempt=record.attempt + 1,
            attempts=record.attempts + 1,
            token=t,
            orphan=record.orphan or (record.unknowns > 0 and self._has("orphan")),
        )
        return self._store(state.turned(t, taken="grant"), grant), grant

    def _release(self, state: State, t: int) -> State:
        after = state.turned(t, taken="over" if self._has("tombstone of release") else "")
        record, is_granted = state.record, state.turns[t].taken == "grant"
        if not record or not is_granted or (record.token != t and self._has("own release")):
            return after
        attempt = record.attempt if self._has("fence only grows") else record.attempt - 1
        return self._back(after, record, attempt=attempt, attempts=record.attempts - 1)

    def _settle(self, state: State, t: int, turn: Turn) -> State:
        after = state.turned(t, taken="over" if self._has("tombstone of settle") else "")
        record = self._restored(state.record, turn)
        if not record:
            return after
        if turn.outcome == "created":
            return self._created(after, record, t)
        if turn.outcome == "unknown":
            is_at_attempt = record.attempt == turn.grant.attempt or not self._has("fence")
            is_calling = record.status == "calling" or not self._has("only calling ends unknown")
            doubt = record._replace(token=t)
            return self._end_unknown(after, doubt) if is_at_attempt and is_calling else after
        if record.token != t and self._has("own proof"):
            return after
        return self._back(after, record, "failed" if turn.outcome == "refused" else "accepted")

    def _restored(self, record: Record | None, turn: Turn) -> Record | None:
        if not self._has("restore"):
            return record
        if not record:
            return turn.grant
        is_behind = record.attempt < turn.grant.attempt and record.status != "opened"
        return turn.grant if is_behind and turn.is_doubtful else record

    def _created(self, state: State, record: Record, chat: int) -> State:
        if record.status == "failed" and not self._has("failed is opened"):
            return state
        if record.status != "opened" or not self._has("published stays"):
            return self._store(state, record, status="opened", chat=chat, token=None)
        if chat == record.chat or not self._has("duplicates"):
            return state
        return self._store(state, record, duplicates=record.duplicates | {chat})

    def _end_unknown(self, state: State, record: Record) -> State:
        doubt = record._replace(unknowns=record.unknowns + 1)
        if self.consents and not (record.consented and self._has("consent once")):
            return self._store(state, doubt, status="accepted", token=None, consented=True)
        return self._store(state, doubt, status="unknown")

    def _back(
        self, state: State, record: Record, status: str = "accepted", **changes: Any
    ) -> State:
        """Nothing was executed: of the doubts, its own alone is taken away."""
        unknowns = record.unknowns - (record.status == "unknown")
        if not self._has("others' doubt"):
            unknowns = 0
        return self._store(state, record, status=status, token=None, unknowns=unknowns, **changes)

    def _store(self, state: State, record: Record, **changes: Any) -> State:
        stored = record._replace(**changes)
        places = stored.places if self._has("leave") else stored.places | state.places
        return state._replace(record=stored, places=places)

    def _has(self, guard: str) -> bool:
        return guard != self.without


def _bereft(turn: Turn) -> Turn:
    """Redis forgot its token, and of what it settled nobody knows what remains."""
    is_settled = turn.phase == "settled" and turn.is_doubtful
    return turn._replace(taken="", outcome="unknown" if is_settled else turn.outcome)
