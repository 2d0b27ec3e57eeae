"""Promises of the design: rules for every state and every step of the specification.

After Redis has lost writes, less is promised: received answers are still kept, and each lost grant
counts as consent to one more call.
"""

from tools.model.states import OTHER_CHAT, ModelRecord, ModelStep, State

NOTHING = ModelRecord()


def broken_in(state: State, *, consents: bool) -> str | None:
    """Return the first promise that does not hold in the state.

    ``consents``: one more call has consent.
    """
    life = state.record.life if state.record else state.lives
    doubts = sum(turn.is_doubtful and turn.life == life for turn in state.turns)
    if not _is_consented(state, doubts, consents=consents):
        return "I3: no second call without proof or consent"
    if life == state.lives and not _is_kept(state, life):
        return "I4: a received answer is kept"
    if not _is_its_own(state, life):
        return "a chat is of its own event, and was made"
    if state.places != (state.record.places if state.record else frozenset()):
        return "an open event is in exactly one place"
    # A late answer rebuilds an expired record from the worker's copy, like a lost one.
    is_rebuilt = state.losses > 0 or life < state.lives
    return None if is_rebuilt else _broken_unless_lost(state, doubts)


def broken_by(before: State, step: ModelStep, after: State) -> str | None:
    """Return the first promise that the step breaks."""
    if not _is_intended(before, step):
        return "I1: nothing is sent unless calling is stored"
    if not _is_numbered(before, after):
        return "the fence: each grant has a number of its own"
    if not _is_published(before, after):
        return "I5: a published id never changes"
    if not _is_restored(before, step, after):
        return "doubt that Redis lost is put back"
    return _broken_by_denial(before, step, after) or _broken_by_looking(before, step)


def _broken_by_denial(before: State, step: ModelStep, after: State) -> str | None:
    if step.outcome == "denied" and _has_failed(before, after):
        return "a wrong key burns no event"
    if _is_denied_again(before, step) and not _has_failed(before, after):
        return "a second denial of its own fails the event"
    return None


def _is_denied_again(before: State, step: ModelStep) -> bool:
    record = before.record or NOTHING
    is_its = not step.is_old and step.turn is not None and record.token == step.turn
    return step.outcome == "own denied" and is_its and record.denials >= 1


def _has_failed(before: State, after: State) -> bool:
    return (after.record or NOTHING).status == "failed" != (before.record or NOTHING).status


def _broken_by_looking(before: State, step: ModelStep) -> str | None:
    """Return the promise that a look-up breaks, by what earlier answers have shown."""
    if step.name != "look up":
        return None
    record = before.old.record if step.is_old and before.old else before.record
    if before.record and not record:
        return "an accepted event is found"
    chat = record.chat if record else None
    if before.shown is not None and chat is not None and chat != before.shown:
        return "one published id: no two look-ups return different ones"
    return None


def _broken_unless_lost(state: State, doubts: int) -> str | None:
    record = state.record or NOTHING
    if doubts > 1 and not record.orphan:
        return "I3: a repeated call stays visible"
    if doubts > 0 and record.created is False:
        return "created is false only where no chat can be"
    # A release that reaches only the old primary leaves the grant at the new one.
    if record.status == "calling" and not state.old and not _is_owned(state, record):
        return "each call has an owner"
    return None


def _is_consented(state: State, doubts: int, *, consents: bool) -> bool:
    """Return whether every call that may have made a chat was allowed, and the one that is due.

    The due one counts so that a broken guard shows before the call.
    """
    made_or_due = doubts + (state.record is not None and state.record.status == "accepted")
    return made_or_due <= 1 + consents + state.recreates + state.lost_grants


def _is_kept(state: State, life: int) -> bool:
    record = state.record or NOTHING
    return all(
        number in record.chats
        for number, turn in enumerate(state.turns)
        if (turn.outcome, turn.life) == ("created", life) and turn.phase in {"settled", "dead"}
    )


def _is_its_own(state: State, life: int) -> bool:
    """Return whether each chat was made by a call of this life, or given by an operator."""
    chats = state.record.chats - {OTHER_CHAT} if state.record else set()
    return all(
        chat < len(state.turns)
        and state.turns[chat].outcome == "created"
        and state.turns[chat].life == life
        for chat in chats
    )


def _is_owned(state: State, record: ModelRecord) -> bool:
    """Return whether a call was made or may be, excluding calls proven not executed."""
    return record.token is not None and state.turns[record.token].phase not in {
        "released",
        "settled",
    }


def _is_intended(before: State, step: ModelStep) -> bool:
    if step.name != "send" or step.turn is None or before.losses:
        return True
    record, grant = before.record or NOTHING, before.turns[step.turn].grant
    if before.lives > grant.life:  # the record ended after the grant was stored
        return True
    # A late answer to an earlier attempt may have opened the event that is being called again.
    return record.attempt == grant.attempt and record.status in {"calling", "opened"}


def _is_numbered(before: State, after: State) -> bool:
    old, new = before.record or NOTHING, after.record or NOTHING
    is_grant = new.status == "calling" and old.status != "calling"
    is_new_life = after.record is None or old.life != new.life
    return after.losses > 0 or is_new_life or new.attempt >= old.attempt + is_grant


def _is_published(before: State, after: State) -> bool:
    is_lost = after.losses > before.losses or after.lives > before.lives
    if not before.record or before.record.chat is None or is_lost:
        return True
    record = after.record or NOTHING
    return (record.status, record.chat) == ("opened", before.record.chat)


def _is_restored(before: State, step: ModelStep, after: State) -> bool:
    if step.outcome != "unknown" or step.name not in {"settle", "unread settle"}:
        return True
    if step.is_old or step.turn is None:
        return True
    turn = before.turns[step.turn]
    attempt, life = -1, before.lives
    if before.record:
        attempt, life = before.record.attempt, before.record.life
    is_its_life = turn.life == life
    is_behind = is_its_life and attempt < turn.grant.attempt
    return not is_behind or (after.record or NOTHING).created is not False
