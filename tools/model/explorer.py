"""Breadth-first search of every interleaving for the shortest way to a broken promise."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tools.model.promises import broken_by, broken_in
from tools.model.specification import Specification
from tools.model.states import ModelStep, State

Visit = tuple[State, list[tuple[ModelStep, State]]]


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """A promise that does not hold, and the steps that break it."""

    promise: str
    trace: str


class Explorer:
    """The graph of a specification's states, as far as it was explored."""

    def __init__(self, specification: Specification) -> None:
        self.transitions = 0
        self._specification = specification
        self._reached_by: dict[State, tuple[State, ModelStep] | None] = {specification.start: None}

    @property
    def states(self) -> int:
        """Number of states found."""
        return len(self._reached_by)

    @property
    def depth(self) -> int:
        """Number of steps to the farthest state, which was found last."""
        return len(self._way(next(reversed(self._reached_by))))

    def visits(self) -> Iterator[Visit]:
        """Each state once, the nearest first, and the steps that lead on."""
        queue = deque(self._reached_by)
        while queue:
            before = queue.popleft()
            steps = list(self._specification.steps(before))
            for step, after in steps:
                if after not in self._reached_by:
                    self._reached_by[after] = before, step
                    queue.append(after)
            self.transitions += len(steps)
            yield before, steps

    def first_broken(self) -> BrokenPromise | None:
        """Check the promises in every state and at every step, up to the first broken one."""
        for state, steps in self.visits():
            if promise := broken_in(self._specification, state):
                return BrokenPromise(promise, self.trace(state))
            for step, after in steps:
                if promise := broken_by(state, step, after):
                    return BrokenPromise(promise, self.trace(state, step))
        return None

    def trace(self, state: State, *last: ModelStep) -> str:
        """Format the shortest way to the state, and the ``last`` step if there is one."""
        return ", ".join(map(str, [*self._way(state), *last]))

    def _way(self, state: State) -> list[ModelStep]:
        steps = []
        while reached_by := self._reached_by[state]:
            state, step = reached_by
            steps.append(step)
        return steps[::-1]
