"""Script of the stand-in: the behaviour of each create and probe."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass

from tools.stack.channel_io.barrier import Withheld
from tools.stack.channel_io.behaviours import Behaviour

BY_USER_ID = {behaviour.user_id: behaviour for behaviour in Behaviour}


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """A behaviour and its arguments."""

    behaviour: Behaviour = Behaviour.CREATE
    seconds: float | None = None
    retry_after: str | None = None
    withheld: Withheld | None = None


class Script:
    """Behaviours of creates and probes; any thread may read and change them.

    The first that exists counts: planned for this user, planned for any user, permanent for this
    user, named by the user id, permanent for any user. ``probe`` is for ``GET {base}/channel``.
    """

    def __init__(self) -> None:
        """Create chats for every user."""
        self.probe = ScriptLine()
        self._lock = threading.Lock()
        self._planned: defaultdict[str | None, deque[ScriptLine]] = defaultdict(deque)
        self._standing: dict[str | None, ScriptLine] = {}

    def plan(self, lines: list[ScriptLine], user_id: str | None) -> None:
        """Use each of ``lines`` once, in order, after those already planned."""
        with self._lock:
            self._planned[user_id].extend(lines)

    def always(self, line: ScriptLine, user_id: str | None) -> None:
        """Use ``line`` for every create without a plan."""
        with self._lock:
            self._standing[user_id] = line

    def clear(self) -> None:
        """Remove all plans and permanent behaviours."""
        with self._lock:
            self._planned.clear()
            self._standing.clear()
            self.probe = ScriptLine()

    def next_for(self, user_id: str) -> ScriptLine:
        """Remove and return the line for the next create of this user."""
        with self._lock:
            for key in (user_id, None):
                if self._planned[key]:
                    return self._planned[key].popleft()
            return self._standing_for(user_id)

    def _standing_for(self, user_id: str) -> ScriptLine:
        if user_id in self._standing:
            return self._standing[user_id]
        if user_id in BY_USER_ID:
            return ScriptLine(BY_USER_ID[user_id])
        return self._standing.get(None, ScriptLine())
