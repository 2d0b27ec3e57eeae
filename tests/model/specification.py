"""The specification: everything that may happen to one event, as steps from state to state.

Turns overlap in every way, so they are the turns of as many workers, or of fewer. There are no
clocks: backoff, deadlines and leases end at any moment. A step is what others can notice at once;
a worker that crashes takes no more of them. The gate is left out, since it only delays.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.scripts import Scripts
from tests.model.states import Record, State, Step, Turn

KINDS_OF = {
    "created": ("created",),
    "refused": ("refused",),
    "unknown": ("unknown",),
    "nothing": ("denied", "throttled", "not_sent"),
}
OTHER_CHAT = -1  # the chat of a turn has the number of its turn

Steps = Iterator[tuple[Step, State]]


@dataclass(frozen=True, kw_only=True)
class Specification:
    """The steps within these bounds; ``without`` names the guard that is taken out.

    ``consents``: the configuration or the event consents to one more call.
    """

    turns: int
    consents: bool = False
    operations: int = 0
    losses: int = 0
    without: str = ""

    @property
    def start(self) -> State:
        """Nobody has heard of the event."""
        return State((Turn(),) * self.turns)

    def steps(self, state: State) -> Steps:
        """Everything that may happen next, and what it leads to; also what changes nothing."""
        scripts = Scripts(self.consents, self.without)
        yield Step("accept"), state if state.record else scripts.store(state, Record())
        for number, turn in enumerate(state.turns):
            # Turns are alike: which of those that did nothing yet begins makes no difference.
            if number == 0 or state.turns[number - 1].phase != "idle":
                yield from _turn(scripts, state, number, turn)
        if state.record:
            yield from _schedule(scripts, state, state.record)
            if state.operations < self.operations:
                yield from _operator(scripts, state, state.record)
            if state.losses < self.losses:
                yield from _lost_writes(scripts, state, state.record)


def _turn(scripts: Scripts, state: State, t: int, turn: Turn) -> Steps:
    if turn.phase == "idle":
        yield Step("begin", t), state.turned(t, phase="unsure")
        return
    # The request, or a repeat, may arrive whenever it likes, with nobody to hear the reply.
    taken, grant = scripts.take(state, t)
    yield Step("unheard take", t), taken
    if turn.phase == "unsure" and grant:
        yield Step("take", t), taken.turned(t, phase="granted", grant=grant)
    if turn.phase == "unsure" and not grant and not scripts.has("nothing is given back"):
        yield Step("take of nothing", t), state.over(t, "released")
    if turn.phase in {"unsure", "granted", "late"}:
        yield Step("release", t), scripts.release(state, t).over(t, "released")
        yield Step("crash", t), state.over(t, "dead")
    if turn.phase in {"granted", "late"}:
        yield Step("give up sending", t), state.turned(t, phase="answered", outcome="nothing")
    if turn.phase == "granted" or (turn.phase == "late" and not scripts.has("deadline")):
        for outcome in KINDS_OF:
            yield Step("send", t, outcome), state.turned(t, phase="answered", outcome=outcome)
    if turn.phase == "answered":
        yield from _answered(scripts, state, t, turn)


def _answered(scripts: Scripts, state: State, t: int, turn: Turn) -> Steps:
    settled = scripts.settle(state, t, turn)
    for kind in KINDS_OF[turn.outcome]:
        yield Step("unheard settle", t, kind), settled
        yield Step("settle", t, kind), settled.over(t, "settled")
    # Ids are in the log or the spool: whoever drains it takes this turn to its end.
    if turn.outcome != "created" or not scripts.has("spool"):
        yield Step("crash", t), state.over(t, "dead")


def _schedule(scripts: Scripts, state: State, record: Record) -> Steps:
    if record.status == "accepted":
        yield Step("expire"), scripts.store(state, record, status="failed")
    if record.status == "calling" and record.token is not None:
        is_granted = state.turns[record.token].phase == "granted"
        after = state.turned(record.token, phase="late") if is_granted else state
        lose = scripts.end_unknown if scripts.has("lost is unknown") else scripts.prove
        yield Step("lose worker"), lose(after, record)


def _operator(scripts: Scripts, state: State, record: Record) -> Steps:
    acted = state._replace(operations=state.operations + 1)
    is_held = record.status == "unknown" or not scripts.has("only held is resolved")
    for step, resolved in _resolutions(scripts, acted, record._replace(token=None)):
        yield step, resolved if is_held else state
    is_certain = record.created is False or not scripts.has("only certain is redriven")
    redriven = scripts.store(acted, record, status="accepted")
    yield Step("redrive"), redriven if record.status == "failed" and is_certain else state


def _resolutions(scripts: Scripts, state: State, record: Record) -> Steps:
    consented = state._replace(recreates=state.recreates + 1)
    yield Step("recreate"), scripts.store(consented, record, status="accepted")
    yield Step("give up"), scripts.store(state, record, status="failed")
    other = scripts.store(state, record, status="opened", chat=OTHER_CHAT)
    yield Step("set chat id"), other
    # Or the operator found the chat of a turn that has not told of it yet.
    for number, turn in enumerate(state.turns):
        if turn.outcome == "created":
            opened = scripts.store(state, record, status="opened", chat=number)
            yield Step("set chat id", number), opened


def _lost_writes(scripts: Scripts, state: State, record: Record) -> Steps:
    turns = tuple(_bereft(turn) for turn in state.turns)
    grants = state.lost_grants + record.attempt
    lost = State(turns, losses=state.losses + 1, lost_grants=grants)
    yield Step("flush"), lost
    yield Step("roll back"), scripts.store(lost, Record())


def _bereft(turn: Turn) -> Turn:
    """Redis forgot its token, and of what it settled nobody knows what remains."""
    is_settled = turn.phase == "settled" and turn.is_doubtful
    return turn._replace(taken="", outcome="unknown" if is_settled else turn.outcome)
