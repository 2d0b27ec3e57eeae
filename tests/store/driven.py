"""The process of ``patched.py``, as a test holds it."""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.stack.processes import Child, kill_child, start_child

ROOT = Path(__file__).parents[2]
REPLY_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The end of one command: its value, or its error's class and text."""

    value: Any
    kind: str | None
    error: str | None
    seconds: float


class PatchedClient:
    """A patched process with a client of the Redis at ``url``.

    ``options`` are ``max_connections`` of the client, and ``silent_seconds`` of the notices.
    """

    def __init__(self, url: str, **options: float) -> None:
        """Start nothing yet."""
        self._arguments = (url, json.dumps(options))
        self._numbers = count()
        self._replies: dict[int, list[Result]] = {}
        self._child: Child | None = None

    def __enter__(self) -> Self:
        """Start the process."""
        self._socket, its_own = socket.socketpair()
        self._socket.settimeout(REPLY_TIMEOUT_SECONDS)
        self._lines = self._socket.makefile("rb")
        with its_own:
            descriptor = its_own.fileno()
            command = [sys.executable, "-m", "tests.store.patched", str(descriptor)]
            self._child = start_child([*command, *self._arguments], cwd=ROOT, pass_fds=[descriptor])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        if self._child is not None:
            kill_child(self._child)
        self._lines.close()
        self._socket.close()

    def start(
        self, name: str, *arguments: Any, times: int = 1, **options: Any
    ) -> Callable[[], list[Result]]:
        """Begin a command in ``times`` greenlets; return what waits for their results."""
        number = next(self._numbers)
        command = {"number": number, "name": name, "times": times}
        command |= {"arguments": arguments, "options": options}
        self._socket.sendall(json.dumps(command).encode() + b"\n")

        def wait() -> list[Result]:
            while number not in self._replies:
                reply = json.loads(self._lines.readline())
                self._replies[reply["number"]] = [Result(**each) for each in reply["results"]]
            return self._replies.pop(number)

        return wait

    def run(self, name: str, *arguments: Any, **options: Any) -> Result:
        """Carry out a command, and wait for its end."""
        (result,) = self.start(name, *arguments, **options)()
        return result

    def value(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Carry out a command, which must succeed."""
        result = self.run(name, *arguments, **options)
        assert result.kind is None, result
        return result.value
