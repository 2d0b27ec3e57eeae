"""Tests of the model: no interleaving breaks a promise, unless a guard is removed."""

from dataclasses import replace

import pytest

from tools.model.explorer import BrokenPromise, Explorer
from tools.model.specification import Specification

HOLD = Specification(turns=2)
RECREATE = Specification(turns=2, consents=True)
OPERATED = Specification(turns=2, operations=2)
LOSING = Specification(turns=2, losses=1)
ENDING = Specification(turns=2, lives=1)
DENIED = Specification(turns=2, denials=True)
LOGGED = Specification(turns=2, lives=1, operations=1, has_log=True)
CUT_OFF = Specification(turns=2, has_failover=True, old_takes=True)
CUT_OFF_RECREATE = Specification(turns=2, has_failover=True, consents=True)

NOT_INTENDED = "I1: nothing is sent unless calling is stored"
NOT_NUMBERED = "the fence: each grant has a number of its own"
NOT_CONSENTED = "I3: no second call without proof or consent"
NOT_REPEATED = "I3: a repeated call stays visible"
NOT_KEPT = "I4: a received answer is kept"
NOT_STABLE = "I5: a published id never changes"
NOT_HONEST = "created is false only where no chat can be"
NOT_PLACED = "an open event is in exactly one place"
NOT_OWNED = "each call has an owner"
NOT_RESTORED = "doubt that Redis lost is put back"
NOT_ITS_OWN = "a chat is of its own event, and was made"
NOT_SPARED = "a wrong key burns no event"
NOT_FOUND = "an accepted event is found"
NOT_ONE = "one published id: no two look-ups return different ones"
NOT_ENDED = "a second denial of its own fails the event"

TAKEN = "accept, begin 1, take 1, "
CALLED = TAKEN + "send 1 created, "
TWICE = CALLED + "begin 2, lose worker, take 2, "
OPENED_LATE = TWICE + "unread settle 1 created, "

# Each guard of the design: its bounds, its promise, and the shortest trace that breaks it without.
GUARDS = [
    ("intent", HOLD, NOT_INTENDED, TAKEN + "send 1 created"),
    ("deadline", HOLD, NOT_INTENDED, TAKEN + "lose worker, send 1 created"),
    (
        "own release",
        RECREATE,
        NOT_INTENDED,
        "accept, begin 1, unread take 1, begin 2, lose worker, take 2, release 1, send 2 created",
    ),
    (
        "own proof",
        HOLD,
        NOT_INTENDED,
        TAKEN + "give up sending 1, unread settle 1 denied, "
        "begin 2, take 2, unread settle 1 denied, send 2 created",
    ),
    (
        "fence",
        RECREATE,
        NOT_INTENDED,
        TAKEN + "send 1 unknown, unread settle 1 unknown, "
        "begin 2, take 2, unread settle 1 unknown, send 2 created",
    ),
    ("fence only grows", HOLD, NOT_NUMBERED, "accept, begin 1, unread take 1, release 1"),
    ("consent once", RECREATE, NOT_CONSENTED, TWICE + "send 2 created, lose worker"),
    ("only certain is redriven", OPERATED, NOT_CONSENTED, CALLED + "lose worker, give up, redrive"),
    ("orphan", RECREATE, NOT_REPEATED, TWICE + "send 2 created"),
    ("spool", HOLD, NOT_KEPT, CALLED + "crash 1"),
    ("failed is opened", RECREATE, NOT_KEPT, CALLED + "lose worker, expire, settle 1 created"),
    ("duplicates", RECREATE, NOT_KEPT, OPENED_LATE + "send 2 created, settle 2 created"),
    (
        "published stays",
        RECREATE,
        NOT_STABLE,
        OPENED_LATE + "send 2 created, unread settle 2 created",
    ),
    (
        "only calling ends unknown",
        RECREATE,
        NOT_STABLE,
        OPENED_LATE + "send 2 unknown, unread settle 2 unknown",
    ),
    ("only held is resolved", OPERATED, NOT_STABLE, "accept, set chat id, recreate"),
    ("lost is unknown", HOLD, NOT_CONSENTED, CALLED + "lose worker"),
    (
        "others' doubt",
        RECREATE,
        NOT_HONEST,
        CALLED + "begin 2, lose worker, unread take 2, release 2",
    ),
    ("tombstone of release", HOLD, NOT_OWNED, "accept, begin 1, release 1, unread take 1"),
    (
        "tombstone of settle",
        HOLD,
        NOT_OWNED,
        TAKEN + "give up sending 1, settle 1 denied, unread take 1",
    ),
    (
        "nothing is given back",
        HOLD,
        NOT_OWNED,
        "begin 1, take of nothing 1, accept, unread take 1",
    ),
    ("leave", HOLD, NOT_PLACED, "accept, expire"),
    (
        "restore",
        LOSING,
        NOT_RESTORED,
        TAKEN + "send 1 unknown, flush, unread settle 1 unknown",
    ),
    (
        "life",
        Specification(turns=2, lives=1, consents=True),
        NOT_ITS_OWN,
        CALLED + "unread settle 1 created, begin 2, end, accept, unread take 2, "
        "unread settle 1 created",
    ),
    (
        "ended stays ended",
        ENDING,
        NOT_CONSENTED,
        TAKEN + "give up sending 1, unread settle 1 denied, begin 2, take 2, send 2 created, "
        "unread settle 2 created, end, unread settle 1 denied",
    ),
    (
        "denied stays accepted",
        DENIED,
        NOT_SPARED,
        TAKEN + "give up sending 1, unread settle 1 denied",
    ),
    (
        "own denials fail",
        Specification(turns=3, denials=True),
        NOT_ENDED,
        TAKEN + "give up sending 1, unread settle 1 denied, "
        "begin 2, take 2, give up sending 2, unread settle 2 own denied, "
        "begin 3, take 3, give up sending 3, unread settle 3 own denied",
    ),
    (
        "life of a line",
        LOGGED,
        NOT_ITS_OWN,
        CALLED + "unread settle 1 created, end, accept, recover trusted 1",
    ),
    ("token of a line", LOGGED, NOT_ITS_OWN, "accept, recover forged"),
    (
        "command once",
        OPERATED,
        NOT_CONSENTED,
        CALLED + "begin 2, lose worker, recreate, take 2, send 2 created, lose worker, repeat",
    ),
    ("only waiting is cancelled", OPERATED, NOT_INTENDED, TAKEN + "cancel, send 1 created"),
    (
        "confirmed grants",
        CUT_OFF,
        NOT_INTENDED,
        "accept, begin 1, cut, take 1 at the old primary, send 1 created",
    ),
    ("confirmed 404s", CUT_OFF, NOT_FOUND, "cut, accept, look up at the old primary"),
    (
        "confirmed look-ups",
        CUT_OFF_RECREATE,
        NOT_ONE,
        TWICE + "send 2 created, cut, unread settle 1 created, look up, "
        "unread settle 2 created at the old primary, look up at the old primary",
    ),
]


@pytest.mark.parametrize(
    "bounds",
    [
        Specification(turns=3),
        Specification(turns=2, operations=2),
        Specification(turns=2, operations=1, consents=True),
        LOSING,
        Specification(turns=2, lives=1, consents=True),
        LOGGED,
        Specification(turns=3, denials=True),
        CUT_OFF,
        CUT_OFF_RECREATE,
    ],
    ids=[
        *("hold", "operated", "recreate", "losing", "two lives", "a log that is read back"),
        *("denials", "a primary that is cut off", "a primary that is cut off, recreate"),
    ],
)
def test_no_interleaving_breaks_a_promise(bounds: Specification) -> None:
    """Every promise holds through crashes, lost replies and writes, reused ids and a fail-over.

    ``make prove`` explores wider bounds.
    """
    assert Explorer(bounds).first_broken() is None


@pytest.mark.parametrize(
    ("guard", "bounds", "promise", "trace"), GUARDS, ids=[guard for guard, *_ in GUARDS]
)
def test_without_a_guard_a_promise_breaks(
    guard: str, bounds: Specification, promise: str, trace: str
) -> None:
    """The explorer finds the broken promise, and the shortest way to it."""
    assert Explorer(replace(bounds, without=guard)).first_broken() == BrokenPromise(promise, trace)
