"""Script of the stand-in: the behaviour of each operation."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass

from tools.stack.channel_io.barrier import Withheld
from tools.stack.channel_io.behaviours import Behaviour, Operation

Target = tuple[Operation, str | None]  # None: any user

BY_NAME: dict[Target, Behaviour] = {
    (operation, behaviour.user_id_for(operation)): behaviour
    for operation in Operation
    for behaviour in Behaviour
}


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """A behaviour and its arguments."""

    behaviour: Behaviour = Behaviour.CREATE
    seconds: float | None = None
    retry_after: str | None = None
    withheld: Withheld | None = None


class Script:
    """Behaviours of each operation; any thread may read and change them.

    The first that exists counts: planned for this user, planned for any user, permanent for this
    user, named by the user id, permanent for any user. The user of a message or an open is the
    chat's, that of a resolve its member id or user id; a probe has none.
    """

    def __init__(self) -> None:
        """Execute every request."""
        self._lock = threading.Lock()
        self._planned: defaultdict[Target, deque[ScriptLine]] = defaultdict(deque)
        self._standing: dict[Target, ScriptLine] = {}

    def plan(self, lines: list[ScriptLine], target: Target) -> None:
        """Use each of ``lines`` once, in order, after those already planned."""
        with self._lock:
            self._planned[target].extend(lines)

    def always(self, line: ScriptLine, target: Target) -> None:
        """Use ``line`` for every request without a plan."""
        with self._lock:
            self._standing[target] = line

    def clear(self) -> None:
        """Remove all plans and permanent behaviours."""
        with self._lock:
            self._planned.clear()
            self._standing.clear()

    def next_for(self, operation: Operation, user_id: str | None) -> ScriptLine:
        """Remove and return the line for the next request of this user."""
        with self._lock:
            for target in ((operation, user_id), (operation, None)):
                if self._planned[target]:
                    return self._planned[target].popleft()
            return self._standing_for((operation, user_id))

    def _standing_for(self, target: Target) -> ScriptLine:
        if target in self._standing:
            return self._standing[target]
        if target in BY_NAME:
            return ScriptLine(BY_NAME[target])
        return self._standing.get((target[0], None), ScriptLine())
