"""Specification: everything that may happen to one id, as steps from state to state.

Turns overlap in every way, so they cover any number of workers up to the number of turns. There are
no clocks: backoff, deadlines and leases end at any moment. A step is one visible change; a crashed
worker makes no more of them. The gate is left out, since it only delays.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tools.model import promises
from tools.model.scripts import ModelScripts
from tools.model.states import OTHER_CHAT, SETTLED, ModelRecord, ModelStep, State, Turn

KINDS_OF = {
    "created": ("created",),
    "refused": ("refused",),
    "unknown": ("unknown",),
    "nothing": ("denied", "throttled", "not_sent"),
}
FORGED = 99  # chat and token of a forged line

Steps = Iterator[tuple[ModelStep, State]]


@dataclass(frozen=True, kw_only=True)
class Specification:
    """The steps within these bounds; ``without`` names the guard that is removed.

    ``consents``: the configuration or the event consents to one more call. ``lives``: how often the
    id's window may end. ``denials``: calls may be denied. ``has_log``: an operator recovers
    lines of a log. ``has_failover``: the primary may be cut off and replaced by a copy of what it
    had confirmed, while workers, callers and readers stay with either; replicas confirm.
    ``old_takes``: takes and releases reach the old primary too, not only settles and events, and it
    finds expired events and lost workers.
    """

    turns: int
    consents: bool = False
    operations: int = 0
    losses: int = 0
    lives: int = 0
    denials: bool = False
    has_log: bool = False
    has_failover: bool = False
    old_takes: bool = False
    without: str = ""

    @property
    def start(self) -> State:
        """Return the state in which the event does not exist."""
        return State((Turn(),) * self.turns)

    @property
    def scripts(self) -> ModelScripts:
        """Return the scripts within these bounds."""
        return ModelScripts(self.consents, self.without, denials=self.denials, doubts=self.has_log)

    def broken_in(self, state: State) -> str | None:
        """Return the first promise that does not hold in the state."""
        return promises.broken_in(state, consents=self.consents)

    def broken_by(self, before: State, step: ModelStep, after: State) -> str | None:
        """Return the first promise that the step breaks."""
        return promises.broken_by(before, step, after)

    def steps(self, state: State) -> Steps:
        """Yield every next step and its state, also of steps that change nothing."""
        scripts = self.scripts
        yield from self._steps_of_all(scripts, state)
        if state.record:
            if state.operations < self.operations:
                yield from _operator(scripts, state, state.record)
            if state.command:
                yield ModelStep("repeat"), _repeat(scripts, state, state.record, state.command)
            if state.losses < self.losses:
                yield from _lost_writes(scripts, state, state.record)
            if state.lives < self.lives and state.record.status in SETTLED:
                yield ModelStep("end"), _end(state)
        if self.has_log:
            yield from _log(scripts, state)
        if self.has_failover:
            yield from _failover(scripts, state, old_takes=self.old_takes)

    def _steps_of_all(self, scripts: ModelScripts, state: State) -> Steps:
        yield ModelStep("accept"), _accept(scripts, state)
        for number, turn in enumerate(state.turns):
            # Idle turns are alike, so only the first of them begins.
            if number == 0 or state.turns[number - 1].phase != "idle":
                yield from _turn(scripts, state, number, turn)
        if state.record:
            yield from _schedule(scripts, state, state.record)


def _accept(scripts: ModelScripts, state: State) -> State:
    return state if state.record else scripts.store(state, ModelRecord(life=state.lives))


def _end(state: State) -> State:
    """End the record's window; its id is free again."""
    return state._replace(
        record=None, places=frozenset(), lives=state.lives + 1, command=None, shown=None
    )


def _turn(scripts: ModelScripts, state: State, t: int, turn: Turn) -> Steps:
    if turn.phase == "idle":
        yield ModelStep("begin", t), state.turned(t, phase="unsure")
        return
    # The request, or a repeat, may arrive at any time, and its reply may be lost.
    taken, grant = scripts.take(state, t)
    is_its_life = state.record is None or state.record.life == turn.life
    if is_its_life or turn.taken != "grant":  # no request is delayed for a whole window
        yield ModelStep("unread take", t), taken
    if turn.phase == "unsure" and grant:
        yield ModelStep("take", t), taken.turned(t, phase="granted", grant=grant)
    if turn.phase == "unsure" and not grant and not scripts.has("nothing is given back"):
        yield ModelStep("take of nothing", t), state.over(t, "released")
    if turn.phase in {"unsure", "granted", "late"}:
        yield ModelStep("release", t), scripts.release(state, t).over(t, "released")
        yield ModelStep("crash", t), state.over(t, "dead")
    if turn.phase in {"granted", "late"}:
        yield ModelStep("give up sending", t), state.turned(t, phase="answered", outcome="nothing")
    if turn.phase == "granted" or (turn.phase == "late" and not scripts.has("deadline")):
        for outcome in KINDS_OF:
            yield ModelStep("send", t, outcome), state.turned(t, phase="answered", outcome=outcome)
    if turn.phase == "answered":
        yield from _answered(scripts, state, t, turn)


def _answered(scripts: ModelScripts, state: State, t: int, turn: Turn) -> Steps:
    for kind in _kinds(scripts, state, turn):
        settled = scripts.settle(state, t, turn, kind)
        yield ModelStep("unread settle", t, kind), settled
        yield ModelStep("settle", t, kind), settled.over(t, "settled")
    # Created ids are in the log or the spool, so the worker that drains it ends this turn.
    if turn.outcome != "created" or not scripts.has("spool"):
        yield ModelStep("crash", t), state.over(t, "dead")


def _kinds(scripts: ModelScripts, state: State, turn: Turn) -> tuple[str, ...]:
    """Return the kinds of answer; an own denial is possible only after another denial."""
    kinds = KINDS_OF[turn.outcome]
    is_denied = scripts.denials and state.record is not None and state.record.denials >= 0
    return (*kinds, "own denied") if "denied" in kinds and is_denied else kinds


def _schedule(scripts: ModelScripts, state: State, record: ModelRecord) -> Steps:
    if record.status == "accepted":
        yield ModelStep("expire"), scripts.store(state, record, status="failed")
    if record.status == "calling" and record.token is not None:
        is_granted = state.turns[record.token].phase == "granted"
        after = state.turned(record.token, phase="late") if is_granted else state
        lose = scripts.end_unknown if scripts.has("lost is unknown") else scripts.prove
        yield ModelStep("lose worker"), lose(after, record)


def _operator(scripts: ModelScripts, state: State, record: ModelRecord) -> Steps:
    for step, apply in commands_of(state):
        after = apply(scripts, state, record)
        if after is None:
            yield step, state
        else:
            yield step, _command(after, step)


def _command(state: State, step: ModelStep) -> State:
    """Keep the executed command in the record, and count its consent."""
    number = state.operations + 1
    recreates = state.recreates + (step.name == "recreate")
    record = state.record._replace(command=number) if state.record else None
    return state._replace(operations=number, recreates=recreates, command=step, record=record)


def _repeat(scripts: ModelScripts, state: State, record: ModelRecord, command: ModelStep) -> State:
    """Repeat the last command, after its reply was lost."""
    if record.command == state.operations and scripts.has("command once"):
        return state
    after = dict(commands_of(state))[command](scripts, state, record)
    if after is None or after.record is None:
        return state
    return after._replace(record=after.record._replace(command=state.operations))


Apply = Callable[[ModelScripts, State, ModelRecord], State | None]


def commands_of(state: State) -> Iterator[tuple[ModelStep, Apply]]:
    """Yield each command and its effect, which is None where it does not apply."""
    yield ModelStep("recreate"), _recreate
    yield ModelStep("give up"), _give_up
    yield ModelStep("set chat id"), _set_chat(OTHER_CHAT)
    # The operator may find the chat of a turn that is not settled yet.
    life = state.record.life if state.record else state.lives
    for number, turn in enumerate(state.turns):
        if (turn.outcome, turn.life) == ("created", life):
            yield ModelStep("set chat id", number), _set_chat(number)
    yield ModelStep("redrive"), _redrive
    yield ModelStep("cancel"), _cancel


def _recreate(scripts: ModelScripts, state: State, record: ModelRecord) -> State | None:
    return _resolve(scripts, state, record, status="accepted")


def _give_up(scripts: ModelScripts, state: State, record: ModelRecord) -> State | None:
    return _resolve(scripts, state, record, status="failed")


def _set_chat(chat: int) -> Apply:
    def apply(scripts: ModelScripts, state: State, record: ModelRecord) -> State | None:
        return _resolve(scripts, state, record, status="opened", chat=chat)

    return apply


def _resolve(
    scripts: ModelScripts, state: State, record: ModelRecord, **changes: Any
) -> State | None:
    if record.status != "unknown" and scripts.has("only held is resolved"):
        return None
    return scripts.store(state, record, token=None, **changes)


def _redrive(scripts: ModelScripts, state: State, record: ModelRecord) -> State | None:
    is_certain = record.created is False or not scripts.has("only certain is redriven")
    if record.status != "failed" or not is_certain:
        return None
    return scripts.store(state, record, status="accepted")


def _cancel(scripts: ModelScripts, state: State, record: ModelRecord) -> State | None:
    if record.status != "accepted" and scripts.has("only waiting is cancelled"):
        return None
    return scripts.store(state, record, status="failed", token=None)


def _log(scripts: ModelScripts, state: State) -> Steps:
    """Recover the line of each created chat, and a forged line that is not trusted."""
    for number, turn in enumerate(state.turns):
        if turn.outcome == "created":
            yield ModelStep("recover", number), scripts.recover(state, number, life=turn.life)
            trusted = scripts.recover(state, number, life=turn.life, is_trusted=True)
            yield ModelStep("recover trusted", number), trusted
    yield ModelStep("recover forged"), scripts.recover(state, FORGED, life=state.lives)


def _failover(scripts: ModelScripts, state: State, *, old_takes: bool) -> Steps:
    """Cut the primary off; no replica confirms its replies from then on.

    Its grants are released, and its answers to callers and readers are 503.
    """
    yield ModelStep("look up"), _show(state, state.record)
    if state.old is None:
        yield ModelStep("cut"), state._replace(old=state.server)
        return
    there = state.served_by(state.old)
    for step, after in _old_steps(scripts, there, takes=old_takes):
        there_after = after.served_by(state.server)._replace(old=after.server)
        yield step._replace(is_old=True), there_after
    is_found = state.old.record is not None
    if not scripts.has("confirmed look-ups" if is_found else "confirmed 404s"):
        yield ModelStep("look up", is_old=True), _show(state, state.old.record)


def _old_steps(scripts: ModelScripts, there: State, *, takes: bool) -> Steps:
    arriving = {"unread settle", *(("unread take", "release") if takes else ())}
    if not scripts.has("confirmed grants"):
        arriving.add("take")
    yield ModelStep("accept"), _accept(scripts, there)
    for number, turn in enumerate(there.turns):
        if turn.phase != "idle":
            steps = _turn(scripts, there, number, turn)
            yield from ((step, after) for step, after in steps if step.name in arriving)
    if there.record and takes:
        yield from _schedule(scripts, there, there.record)


def _show(state: State, record: ModelRecord | None) -> State:
    """Look the record up, and remember the first chat that a look-up returned."""
    is_first = record is not None and record.chat is not None and state.shown is None
    return state._replace(shown=record.chat) if record and is_first else state


def _lost_writes(scripts: ModelScripts, state: State, record: ModelRecord) -> Steps:
    turns = tuple(_bereft(turn) for turn in state.turns)
    grants = state.lost_grants + record.attempt
    done, losses = state.operations, state.losses + 1
    lost = State(turns, operations=done, losses=losses, lost_grants=grants, lives=state.lives)
    yield ModelStep("flush"), lost
    yield ModelStep("roll back"), scripts.store(lost, ModelRecord(life=record.life))


def _bereft(turn: Turn) -> Turn:
    """Return the turn after Redis lost its token, and perhaps its settle."""
    is_settled = turn.phase == "settled" and turn.is_doubtful
    return turn._replace(taken="", outcome="unknown" if is_settled else turn.outcome)
