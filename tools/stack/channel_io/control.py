"""Control routes of the stand-in, ``/stand-in/...``, for other processes."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tools.stack.channel_io.answers import JSON_TYPE, http_bytes
from tools.stack.channel_io.barrier import Barrier
from tools.stack.channel_io.behaviours import Behaviour
from tools.stack.channel_io.http_server import Arrival
from tools.stack.channel_io.ledger import Ledger
from tools.stack.channel_io.script import Script, ScriptLine

PREFIX = "/stand-in/"

Route = Callable[[bytes], Any]


class Control:
    """``GET creates`` and ``waiting``, ``PUT behaviour`` and ``POST release``; all in JSON.

    ``PUT behaviour`` takes ``behaviour``, and optionally ``user_id``, ``seconds``, ``retry_after``
    and ``times``; without ``times`` the behaviour is permanent.
    """

    def __init__(self, ledger: Ledger, script: Script, barrier: Barrier) -> None:
        """Control the stand-in that has these parts."""
        self._ledger = ledger
        self._script = script
        self._barrier = barrier
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "creates"): self._creates,
            ("GET", "waiting"): self._waiting,
            ("PUT", "behaviour"): self._behaviour,
            ("POST", "release"): self._release,
        }

    def answer(self, arrival: Arrival) -> None:
        """Answer one request below ``PREFIX``."""
        route = self._routes.get((arrival.command, arrival.path.removeprefix(PREFIX)))
        try:
            status, content = (200, route(arrival.body)) if route else (404, "no such route")
        except (ValueError, KeyError, TypeError) as error:
            status, content = 400, repr(error)
        body = json.dumps(content).encode()
        headers = [("Content-Type", JSON_TYPE), ("Content-Length", str(len(body)))]
        arrival.connection.sendall(http_bytes(status, headers, body))

    def _creates(self, _: bytes) -> list[dict[str, Any]]:
        return [asdict(create) for create in self._ledger.creates]

    def _waiting(self, _: bytes) -> int:
        return self._barrier.waiting

    def _behaviour(self, body: bytes) -> str:
        command = json.loads(body)
        behaviour = Behaviour(command["behaviour"].replace("-", "_"))
        line = ScriptLine(behaviour, command.get("seconds"), command.get("retry_after"))
        if "times" in command:
            self._script.plan([line] * command["times"], command.get("user_id"))
        else:
            self._script.always(line, command.get("user_id"))
        return behaviour

    def _release(self, _: bytes) -> int:
        held = self._barrier.waiting
        self._barrier.release()
        return held
