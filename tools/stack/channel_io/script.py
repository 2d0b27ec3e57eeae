"""Script of the stand-in: its next behaviours."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass

from tools.stack.channel_io.barrier import Withheld
from tools.stack.channel_io.behaviours import Behaviour

BY_USER_ID = {behaviour.user_id: behaviour for behaviour in Behaviour}


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One behaviour, and what changes it: ``seconds``, ``retry_after`` and ``withheld``."""

    behaviour: Behaviour = Behaviour.CREATE
    seconds: float | None = None
    retry_after: str | None = None
    withheld: Withheld | None = None


class Script:
    """Which behaviour each create gets; safe to change and read from any thread.

    First what is planned next for this user, then for any user; then what is always done for this
    user, what the user id itself names, what is always done for any user. ``probe`` is what every
    ``GET {base}/channel`` gets.
    """

    def __init__(self) -> None:
        """Create chats for every user."""
        self.probe = ScriptLine()
        self._lock = threading.Lock()
        self._planned: defaultdict[str | None, deque[ScriptLine]] = defaultdict(deque)
        self._standing: dict[str | None, ScriptLine] = {}

    def plan(self, lines: list[ScriptLine], user_id: str | None) -> None:
        """Do each of ``lines`` once, in order, after what is planned already."""
        with self._lock:
            self._planned[user_id].extend(lines)

    def always(self, line: ScriptLine, user_id: str | None) -> None:
        """Do ``line`` whenever nothing is planned."""
        with self._lock:
            self._standing[user_id] = line

    def clear(self) -> None:
        """Forget all that was planned or always to be done."""
        with self._lock:
            self._planned.clear()
            self._standing.clear()
            self.probe = ScriptLine()

    def next_for(self, user_id: str) -> ScriptLine:
        """Take what the next create for this user gets."""
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
