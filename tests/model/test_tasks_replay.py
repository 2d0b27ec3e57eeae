"""Tests that the real scripts agree with the model of tasks, in every state."""

from dataclasses import replace

import pytest

from tools.model.tasks.replay import TasksReplay
from tools.model.tasks.specification import TasksSpecification
from tools.stack.redis_client import Client

MESSAGE = TasksSpecification(turns=1, has_message=True)
TWO_GRANTS = TasksSpecification(has_message=True)
OPEN = TasksSpecification(turns=1, has_open=True, has_persons=True)
OPERATED = TasksSpecification(turns=1, has_message=True, has_open=True, operations=1)
MEMBER = TasksSpecification(turns=1, has_member=True)
DOUBTFUL = TasksSpecification(turns=1, has_message=True, has_doubts=True, operations=1)
FORGETTING = TasksSpecification(turns=1, has_message=True, operations=1, forgets=True)
LOSING = TasksSpecification(turns=1, has_message=True, losses=1, grants=3)
BOUNDS = {
    "a message": MESSAGE,
    "two grants": TWO_GRANTS,
    "an open": OPEN,
    "decisions": OPERATED,
    "a member": MEMBER,
    "a doubtful create": DOUBTFUL,
    "a removal": FORGETTING,
    "lost writes": LOSING,
}

# Rules that the scripts keep, and whose absence small bounds show.
GUARDS_OF_SCRIPTS = {
    "a look after a refusal": MESSAGE,
    "a look after the second send": MESSAGE,
    "copies publish their chat": LOSING,
    "done under any token": MESSAGE,
    "due while incomplete": MESSAGE,
    "failed event skips tasks": MESSAGE,
    "forgotten stays forgotten": FORGETTING,
    "look from the deadline on": MESSAGE,
    "looks leave no doubt": MEMBER,
    "lost workers may have sent": MESSAGE,
    "mapping dropped": MEMBER,
    "no_answer for doubt": MESSAGE,
    "opened never fails": MESSAGE,
    "own token": MESSAGE,
    "possible orphan only by a create": MESSAGE,
    "published stays": DOUBTFUL,
    "redrives wait for the look": FORGETTING,
    "resolved again": MEMBER,
    "resolved again once": MEMBER,
    "text kept for redrive": MESSAGE,
    "text removed when done": MESSAGE,
    "two sends only": MESSAGE,
}


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
def test_scripts_agree_with_the_model(client: Client, bounds: TasksSpecification) -> None:
    """From every state, each script leaves Redis in the model's next state."""
    assert TasksReplay(client, bounds).first_difference() is None


@pytest.mark.parametrize(("guard", "bounds"), GUARDS_OF_SCRIPTS.items(), ids=GUARDS_OF_SCRIPTS)
def test_the_scripts_have_each_rule(client: Client, guard: str, bounds: TasksSpecification) -> None:
    """The replay finds a difference from a model without the rule."""
    assert TasksReplay(client, replace(bounds, without=guard)).first_difference() is not None
