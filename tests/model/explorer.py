"""Explores every interleaving, breadth first, and finds the shortest way to a broken promise."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.promises import broken_promise
from tests.model.specification import Specification
from tests.model.states import State, Step

Visit = tuple[State, list[tuple[Step, State]]]


class Explorer:
    """The graph of a specification's states, as far as it was walked."""

    def __init__(self, specification: Specification) -> None:
        self._specification = specification
        self._came: dict[State, tuple[State, Step] | None] = {specification.start: None}

    @property
    def states(self) -> int:
        """How many states were found."""
        return len(self._came)

    @property
    def depth(self) -> int:
        """How many steps the last state that was found is away, and no other is farther."""
        return len(self.trace(next(reversed(self._came))))

    def visits(self) -> Iterator[Visit]:
        """Each state once, the nearest first, and the steps that lead on."""
        queue = deque(self._came)
        while queue:
            before = queue.popleft()
            steps = list(self._specification.steps(before))
            for step, after in steps:
                if after not in self._came:
                    self._came[after] = before, step
                    queue.append(after)
            yield before, steps

    def trace(self, state: State) -> list[Step]:
        """The shortest way to the state."""
        steps = []
        while came := self._came[state]:
            state, step = came
            steps.append(step)
        return steps[::-1]


@dataclass(frozen=True, slots=True)
class Findings:
    """What an exploration found; ``trace`` leads to the ``broken`` promise, if one is."""

    states: int
    transitions: int
    depth: int
    broken: str | None = None
    trace: str = ""


def explore(specification: Specification) -> Findings:
    """Check the promises on every step, up to the first that breaks one."""
    explorer = Explorer(specification)
    transitions = 0
    for before, steps in explorer.visits():
        for step, after in steps:
            transitions += 1
            if broken := broken_promise(specification, before, step, after):
                trace = ", ".join(map(str, [*explorer.trace(before), step]))
                return Findings(explorer.states, transitions, explorer.depth, broken, trace)
    return Findings(explorer.states, transitions, explorer.depth)
