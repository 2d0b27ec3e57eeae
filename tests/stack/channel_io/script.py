"""What the stand-in is told to do next."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass

from tests.stack.channel_io.barrier import Withheld
from tests.stack.channel_io.behaviours import Behaviour

BY_USER_ID = {behaviour.user_id: behaviour for behaviour in Behaviour}


@dataclass(frozen=True, slots=True)
class Line:
    """One behaviour, and what changes it: ``seconds``, ``retry_after`` and ``withheld``."""

    behaviour: Behaviour = Behaviour.CREATE
    seconds: float | None = None
    retry_after: str | None = None
    withheld: Withheld | None = None


class Script:
    """Which behaviour each create gets; safe to change and read from any thread.

    First what is planned next for this user, then for anybody; then what is always done for this
    user, what the user id itself names, what is always done for anybody. ``probe`` is what every
    ``GET {base}/channel`` gets.
    """

    def __init__(self) -> None:
        """Create chats for everybody."""
        self.probe = Line()
        self._lock = threading.Lock()
        self._planned: defaultdict[str | None, deque[Line]] = defaultdict(deque)
        self._standing: dict[str | None, Line] = {}

    def plan(self, lines: list[Line], user_id: str | None) -> None:
        """Do each of ``lines`` once, in order, after what is planned already."""
        with self._lock:
            self._planned[user_id].extend(lines)

    def always(self, line: Line, user_id: str | None) -> None:
        """Do ``line`` whenever nothing is planned."""
        with self._lock:
            self._standing[user_id] = line

    def clear(self) -> None:
        """Forget all that was planned or always to be done."""
        with self._lock:
            self._planned.clear()
            self._standing.clear()
            self.probe = Line()

    def next_for(self, user_id: str) -> Line:
        """Take what the next create for this user gets."""
        with self._lock:
            for key in (user_id, None):
                if self._planned[key]:
                    return self._planned[key].popleft()
            return self._standing_for(user_id)

    def _standing_for(self, user_id: str) -> Line:
        if user_id in self._standing:
            return self._standing[user_id]
        if user_id in BY_USER_ID:
            return Line(BY_USER_ID[user_id])
        return self._standing.get(None, Line())
