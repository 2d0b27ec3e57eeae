"""Tests that the real scripts agree with the model, in every state."""

from dataclasses import replace

import pytest

from tools.model.replay import Replay
from tools.model.specification import Specification
from tools.stack.redis_client import Client

HOLD = Specification(turns=2)
RECREATE = Specification(turns=2, consents=True)
OPERATED = Specification(turns=1, operations=1)
LOSING = Specification(turns=1, losses=1)
DENIED = Specification(turns=1, denials=True)

# All but those of the worker ("deadline", "spool" and "nothing is given back"), of the client
# ("confirmed …"), and "own denials fail", which takes three turns: ``make prove`` replays it.
GUARDS_OF_SCRIPTS = {
    "intent": HOLD,
    "own release": RECREATE,
    "own proof": HOLD,
    "fence": RECREATE,
    "fence only grows": HOLD,
    "consent once": RECREATE,
    "only certain is redriven": Specification(turns=1, operations=2),
    "orphan": RECREATE,
    "failed is opened": OPERATED,
    "duplicates": OPERATED,
    "published stays": OPERATED,
    "only calling ends unknown": HOLD,
    "only held is resolved": OPERATED,
    "lost is unknown": HOLD,
    "others' doubt": RECREATE,
    "tombstone of release": HOLD,
    "tombstone of settle": HOLD,
    "leave": HOLD,
    "restore": LOSING,
    "life": Specification(turns=1, lives=1, consents=True),
    "ended stays ended": Specification(turns=1, lives=1),
    "denied stays accepted": DENIED,
    "life of a line": Specification(turns=1, lives=1, has_log=True),
    "token of a line": Specification(turns=1, has_log=True),
    "command once": OPERATED,
    "only waiting is cancelled": OPERATED,
}


@pytest.mark.parametrize(
    "bounds",
    [
        RECREATE,
        Specification(turns=1, operations=2, losses=1),
        Specification(turns=2, lives=1),
        Specification(turns=2, denials=True),
        Specification(turns=2, has_log=True),
        Specification(turns=1, lives=1, operations=1, has_log=True),
        Specification(turns=1, has_failover=True, consents=True, old_takes=True),
    ],
    ids=[
        *("two workers", "one worker, an operator, lost writes", "two lives", "denials"),
        *("a log that is read back", "the log of an earlier life", "two primaries"),
    ],
)
def test_scripts_agree_with_the_model(client: Client, bounds: Specification) -> None:
    """From every state, each script leaves Redis in the model's next state."""
    assert Replay(client, bounds).first_difference() is None


@pytest.mark.parametrize(("guard", "bounds"), GUARDS_OF_SCRIPTS.items(), ids=GUARDS_OF_SCRIPTS)
def test_the_scripts_have_each_guard(client: Client, guard: str, bounds: Specification) -> None:
    """The replay finds a difference from a model without the guard."""
    assert Replay(client, replace(bounds, without=guard)).first_difference() is not None
