"""Proofs without processes: all interleavings of the model, random ones of the scripts."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import settings

from tools.model.explorer import Explorer
from tools.model.replay import Replay
from tools.model.specification import Specification
from tools.model.state_machine import EXAMPLES, try_interleavings
from tools.model.tasks.replay import TasksReplay
from tools.model.tasks.specification import TasksSpecification
from tools.prove.scene import fresh_redis
from tools.prove.table import Proof, ProofRow

# Wider than in the tests: three workers and their consents; with an operator; with lost writes; ids
# that are used again; denials; a fail-over in which all parts stay with the old primary.
SHORT = (Specification(turns=3, consents=True), Specification(turns=2, operations=2, consents=True))
WIDE = (
    *(
        Specification(turns=turns, operations=1, losses=losses, consents=consents)
        for turns, losses in ((3, 0), (2, 1))
        for consents in (False, True)
    ),
    Specification(turns=2, lives=1, operations=1, consents=True, has_log=True),
    Specification(turns=3, denials=True),
    Specification(turns=2, has_failover=True, consents=True, old_takes=True),
)
# Of tasks: a message and an open with a doubtful create, an operator, a member; and lost writes.
SHORT_TASKS = (
    TasksSpecification(has_message=True, has_open=True),
    TasksSpecification(has_message=True, operations=2),
)
WIDE_TASKS = (
    TasksSpecification(has_message=True, has_open=True, operations=1),
    TasksSpecification(has_member=True, has_message=True),
    TasksSpecification(has_message=True, has_doubts=True, operations=1),
    TasksSpecification(has_message=True, losses=1, grants=3),
)
REPLAYED_TASKS = (
    TasksSpecification(turns=1, has_message=True, has_open=True, operations=2),
    TasksSpecification(turns=1, has_member=True, has_message=True, has_doubts=True, operations=1),
)
MANY = settings(EXAMPLES, max_examples=400, stateful_step_count=40)

_EXPLORED = "nothing: every interleaving of the model"
_REPLAYED = "nothing: every interleaving of a wider model, compared with the scripts"
_TASKS_EXPLORED = "nothing: every interleaving of the model of tasks"
_TASKS_REPLAYED = "nothing: every interleaving of a wider model of tasks, compared with the scripts"
_RANDOM = "nothing: random interleavings of the scripts"


def proofs() -> Sequence[Proof]:
    """Return the proofs of the model, of both together, and of the scripts."""
    return [
        Proof(_EXPLORED, _explore, is_short=True),
        Proof(_REPLAYED, _replay, is_short=False),
        Proof(_TASKS_EXPLORED, _explore_tasks, is_short=True),
        Proof(_TASKS_REPLAYED, _replay_tasks, is_short=False),
        Proof(_RANDOM, _try_at_random, is_short=False),
    ]


def _explore(_directory: Path, _random: Random) -> ProofRow:
    explored = [Explorer(bounds) for bounds in SHORT]
    broken = [str(explorer.first_broken() or "") for explorer in explored]
    return _row(_EXPLORED, explored, broken)


def _replay(directory: Path, _random: Random) -> ProofRow:
    explored = [Explorer(bounds) for bounds in WIDE]
    broken = [str(explorer.first_broken() or "") for explorer in explored]
    with fresh_redis(directory) as client:
        for bounds in WIDE:
            client.flushall()
            broken.append(str(Replay(client, bounds).first_difference() or ""))
    return _row(_REPLAYED, explored, broken)


def _explore_tasks(_directory: Path, _random: Random) -> ProofRow:
    explored = [Explorer(bounds) for bounds in SHORT_TASKS]
    broken = [str(explorer.first_broken() or "") for explorer in explored]
    return _row(_TASKS_EXPLORED, explored, broken)


def _replay_tasks(directory: Path, _random: Random) -> ProofRow:
    explored = [Explorer(bounds) for bounds in WIDE_TASKS]
    broken = [str(explorer.first_broken() or "") for explorer in explored]
    with fresh_redis(directory) as client:
        for bounds in REPLAYED_TASKS:
            client.flushall()
            broken.append(str(TasksReplay(client, bounds).first_difference() or ""))
    return _row(_TASKS_REPLAYED, explored, broken)


def _row(name: str, explored: Sequence[Explorer[Any]], broken: Sequence[str]) -> ProofRow:
    states, steps = (
        sum(getattr(each, what) for each in explored) for what in ("states", "transitions")
    )
    return ProofRow(
        name=name,
        times=steps,
        note=f"{states} states, and the steps between them",
        faults=tuple(filter(None, broken)),
    )


def _try_at_random(directory: Path, _random: Random) -> ProofRow:
    """Try random interleavings; a broken promise raises with its steps."""
    with fresh_redis(directory) as client:
        try_interleavings(client, MANY)
    return ProofRow(
        name=_RANDOM, times=MANY.max_examples, note=f"{MANY.stateful_step_count} steps each"
    )
