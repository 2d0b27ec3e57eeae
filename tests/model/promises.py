"""The promises of the design: what holds in every state, and at every step, of the specification.

Where Redis lost writes, less can be promised: received answers are kept all the same, and calls
are counted as if each lost grant had been consented to.
"""

from tests.model.specification import Specification
from tests.model.states import Record, State, Step

NOTHING = Record()


def broken_in(specification: Specification, state: State) -> str | None:
    """The first promise that does not hold in the state, in words."""
    doubts = sum(turn.is_doubtful for turn in state.turns)
    if not _is_consented(specification, state, doubts):
        return "I3: no second call without proof or consent"
    if not _is_kept(state):
        return "I4: a received answer is kept"
    if state.places != (state.record.places if state.record else frozenset()):
        return "an open event is in exactly one place"
    return None if state.losses else _broken_unless_lost(state, doubts)


def broken_by(before: State, step: Step, after: State) -> str | None:
    """The first promise that the step breaks, in words."""
    if not _is_intended(before, step):
        return "I1: nothing is sent unless calling is stored"
    if not _is_numbered(before, after):
        return "I2: each grant has a number of its own"
    if not _is_published(before, after):
        return "I5: a published id never changes"
    if not _is_restored(before, step, after):
        return "doubt that Redis lost is put back"
    return None


def _broken_unless_lost(state: State, doubts: int) -> str | None:
    record = state.record or NOTHING
    if doubts > 1 and not record.orphan:
        return "I3: a second call is told for ever"
    if doubts > 0 and record.created is False:
        return "created is false only where no chat can be"
    if record.status == "calling" and not _is_owned(state, record):
        return "a call is somebody's"
    return None


def _is_consented(specification: Specification, state: State, doubts: int) -> bool:
    """Whether all calls that may have made a chat were allowed, and the one that is due.

    The latter counts so that a broken guard shows before it is called.
    """
    made_or_due = doubts + (state.record is not None and state.record.status == "accepted")
    return made_or_due <= 1 + specification.consents + state.recreates + state.lost_grants


def _is_kept(state: State) -> bool:
    record = state.record or NOTHING
    return all(
        number == record.chat or number in record.duplicates
        for number, turn in enumerate(state.turns)
        if turn.outcome == "created" and turn.phase in {"settled", "dead"}
    )


def _is_owned(state: State, record: Record) -> bool:
    """Whether somebody called, or may yet: not one who surely did nothing, or knows the answer."""
    return record.token is not None and state.turns[record.token].phase not in {
        "released",
        "settled",
    }


def _is_intended(before: State, step: Step) -> bool:
    if step.name != "send" or step.turn is None or before.losses:
        return True
    record, grant = before.record or NOTHING, before.turns[step.turn].grant
    # A late answer to an earlier attempt may have opened the event that is being called again.
    return record.attempt == grant.attempt and record.status in {"calling", "opened"}


def _is_numbered(before: State, after: State) -> bool:
    old, new = before.record or NOTHING, after.record or NOTHING
    is_grant = new.status == "calling" and old.status != "calling"
    return after.losses > 0 or new.attempt >= old.attempt + is_grant


def _is_published(before: State, after: State) -> bool:
    if not before.record or before.record.chat is None or after.losses > before.losses:
        return True
    record = after.record or NOTHING
    return (record.status, record.chat) == ("opened", before.record.chat)


def _is_restored(before: State, step: Step, after: State) -> bool:
    if step.outcome != "unknown" or step.name not in {"settle", "unheard settle"}:
        return True
    attempt = before.record.attempt if before.record else -1
    is_behind = step.turn is not None and attempt < before.turns[step.turn].grant.attempt
    return not is_behind or (after.record or NOTHING).created is not False
