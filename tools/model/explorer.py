"""Breadth-first search of every interleaving for the shortest way to a broken promise."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tools.model.states import ModelStep

StateT = TypeVar("StateT")


class Explorable(Protocol[StateT]):
    """A specification: a first state, the steps from each state, and its promises."""

    @property
    def start(self) -> StateT:
        """Return the first state."""

    def steps(self, state: StateT) -> Iterator[tuple[ModelStep, StateT]]:
        """Yield every next step and its state."""

    def broken_in(self, state: StateT) -> str | None:
        """Return the first promise that does not hold in the state."""

    def broken_by(self, before: StateT, step: ModelStep, after: StateT) -> str | None:
        """Return the first promise that the step breaks."""


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """A promise that does not hold, and the steps that break it."""

    promise: str
    trace: str


class Explorer(Generic[StateT]):
    """The graph of a specification's states, as far as it was explored."""

    def __init__(self, specification: Explorable[StateT]) -> None:
        self.transitions = 0
        self._specification = specification
        self._reached_by: dict[StateT, tuple[StateT, ModelStep] | None] = {
            specification.start: None
        }

    @property
    def states(self) -> int:
        """Number of states found."""
        return len(self._reached_by)

    @property
    def depth(self) -> int:
        """Number of steps to the farthest state, which was found last."""
        return len(self._way(next(reversed(self._reached_by))))

    def visits(self) -> Iterator[tuple[StateT, list[tuple[ModelStep, StateT]]]]:
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
            if promise := self._specification.broken_in(state):
                return BrokenPromise(promise, self.trace(state))
            for step, after in steps:
                if promise := self._specification.broken_by(state, step, after):
                    return BrokenPromise(promise, self.trace(state, step))
        return None

    def first_stuck(self, is_over: Callable[[StateT], bool]) -> str | None:
        """Return the shortest way to a state from which no state that is over is reached."""
        before: dict[StateT, list[StateT]] = {}
        for state, steps in self.visits():
            for _, after in steps:
                before.setdefault(after, []).append(state)
        ending = set(filter(is_over, self._reached_by))
        queue = deque(ending)
        while queue:
            for state in before.get(queue.popleft(), ()):
                if state not in ending:
                    ending.add(state)
                    queue.append(state)
        stuck = (state for state in self._reached_by if state not in ending)
        return next(map(self.trace, stuck), None)

    def trace(self, state: StateT, *last: ModelStep) -> str:
        """Format the shortest way to the state, and the ``last`` step if there is one."""
        return ", ".join(map(str, [*self._way(state), *last]))

    def _way(self, state: StateT) -> list[ModelStep]:
        steps = []
        while reached_by := self._reached_by[state]:
            state, step = reached_by
            steps.append(step)
        return steps[::-1]
