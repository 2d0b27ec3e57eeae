"""The promises of the design: what holds after every step of the specification.

Where Redis lost writes, less can be promised: received answers are kept all the same, and calls
are counted as if each lost grant had been consented to.
"""

from tests.model.specification import Specification
from tests.model.states import Record, State, Step

NOTHING = Record(attempt=0)


def broken_promise(
    specification: Specification, before: State, step: Step, after: State
) -> str | None:
    """The first promise that the step breaks, in words."""
    if after is before:
        return None
    promises = {
        "I1: nothing is sent unless calling is stored": _is_intended(before, step),
        "I2: each grant has a number of its own": _is_counted(before, after),
        "I3: no second call without proof or consent": _is_consented(specification, after),
        "I3: a second call is told for ever": _is_told(after),
        "I4: a received answer is kept": _is_kept(after),
        "I5: a published id never changes": _is_published(before, after),
        "created is false only where no chat can be": _is_honest(before, step, after),
        "an open event is in exactly one place": _is_placed(after),
        "a call is somebody's": _is_owned(after),
    }
    return next((promise for promise, is_kept in promises.items() if not is_kept), None)


def _is_intended(before: State, step: Step) -> bool:
    if step.name != "send" or step.turn is None or before.losses:
        return True
    record, grant = before.record or NOTHING, before.turns[step.turn].grant
    # A late answer to an earlier attempt may have opened the event that is being called again.
    return record.attempt == grant.attempt and record.status in {"calling", "opened"}


def _is_counted(before: State, after: State) -> bool:
    old, new = before.record or NOTHING, after.record or NOTHING
    is_grant = new.status == "calling" and old.status != "calling"
    return after.losses > 0 or new.attempt >= old.attempt + is_grant


def _is_consented(specification: Specification, after: State) -> bool:
    consents = specification.consents + after.recreates + after.lost_grants
    return _doubts(after) <= 1 + consents


def _is_told(after: State) -> bool:
    return after.losses > 0 or _doubts(after) <= 1 or (after.record or NOTHING).orphan


def _is_kept(after: State) -> bool:
    record = after.record or NOTHING
    received = {
        number
        for number, turn in enumerate(after.turns)
        if turn.outcome == "created" and turn.phase in {"settled", "dead"}
    }
    return received <= {record.chat, *record.duplicates}


def _is_published(before: State, after: State) -> bool:
    chat = (before.record or NOTHING).chat
    is_lost = after.losses > before.losses
    return is_lost or chat is None or (after.record or NOTHING).chat == chat


def _is_honest(before: State, step: Step, after: State) -> bool:
    if not after.record or after.record.created is not False:
        return True
    if not after.losses:
        return _doubts(after) == 0
    # What is behind the worker's copy is put back, and its doubt with it.
    is_doubt = step.name in {"settle", "unheard settle"} and step.outcome == "unknown"
    behind = before.record.attempt if before.record else -1
    return not is_doubt or step.turn is None or behind >= before.turns[step.turn].grant.attempt


def _is_placed(after: State) -> bool:
    return after.places == (after.record.places if after.record else frozenset())


def _is_owned(after: State) -> bool:
    record = after.record or NOTHING
    if after.losses or record.status != "calling" or record.token is None:
        return True
    return after.turns[record.token].phase not in {"idle", "released", "settled"}


def _doubts(state: State) -> int:
    """How many calls were sent that may have made a chat each."""
    return sum(turn.is_doubtful for turn in state.turns)
