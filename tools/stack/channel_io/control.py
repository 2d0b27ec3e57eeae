"""Control routes of the stand-in, ``/stand-in/...``, for other processes."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from tools.stack.channel_io.answers import JSON_TYPE, http_bytes
from tools.stack.channel_io.barrier import Barrier
from tools.stack.channel_io.behaviours import Behaviour, Operation
from tools.stack.channel_io.chats import Chats
from tools.stack.channel_io.http_server import Arrival
from tools.stack.channel_io.ledger import Ledger
from tools.stack.channel_io.members import Members
from tools.stack.channel_io.script import Script, ScriptLine

PREFIX = "/stand-in/"

Route = Callable[[bytes], Any]


class Control:
    """Routes with bodies in JSON, in both directions.

    ``GET``: ``creates``, ``messages``, ``opens``, ``chats`` and ``waiting``. ``POST release``.
    ``PUT behaviour`` takes ``behaviour``, and optionally ``operation``, ``user_id``, ``seconds``,
    ``retry_after`` and ``times``; without ``times`` the behaviour is permanent. ``PUT members``
    takes ``member_id`` and ``user_id``, ``PUT merges`` takes ``user_id`` and ``into``, ``PUT
    chats`` takes ``chat_id`` and ``state``, ``PUT switches`` fields of ``Switches``. ``POST
    messages`` adds messages of a person: ``chat_id``, ``texts``.
    """

    def __init__(
        self, ledger: Ledger, members: Members, chats: Chats, script: Script, barrier: Barrier
    ) -> None:
        """Control the stand-in that has these parts."""
        self._ledger = ledger
        self._members = members
        self._chats = chats
        self._script = script
        self._barrier = barrier
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "creates"): lambda _: [asdict(one) for one in ledger.creates],
            ("GET", "messages"): lambda _: [asdict(one) for one in ledger.messages],
            ("GET", "opens"): lambda _: [asdict(one) for one in ledger.opens],
            ("GET", "chats"): self._states,
            ("GET", "waiting"): self._waiting,
            ("PUT", "members"): self._member,
            ("PUT", "merges"): self._merge,
            ("PUT", "chats"): self._state,
            ("PUT", "switches"): self._switches,
            ("POST", "messages"): self._messages,
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

    def _states(self, _: bytes) -> list[dict[str, Any]]:
        return [
            {"chat_id": create.chat_id, "state": self._chats.state_of(create.chat_id)}
            for create in self._ledger.creates
        ]

    def _waiting(self, _: bytes) -> int:
        return self._barrier.waiting

    def _behaviour(self, body: bytes) -> str:
        command = json.loads(body)
        behaviour = Behaviour(command["behaviour"].replace("-", "_"))
        line = ScriptLine(behaviour, command.get("seconds"), command.get("retry_after"))
        target = Operation(command.get("operation", "create")), command.get("user_id")
        if "times" in command:
            self._script.plan([line] * command["times"], target)
        else:
            self._script.always(line, target)
        return behaviour

    def _member(self, body: bytes) -> None:
        self._members.put(**json.loads(body))

    def _merge(self, body: bytes) -> None:
        self._members.merge(**json.loads(body))

    def _state(self, body: bytes) -> None:
        self._chats.set_state(**json.loads(body))

    def _switches(self, body: bytes) -> dict[str, Any]:
        self._chats.switches = replace(self._chats.switches, **json.loads(body))
        return asdict(self._chats.switches)

    def _messages(self, body: bytes) -> None:
        command = json.loads(body)
        for text in command["texts"]:
            self._chats.add_from_person(command["chat_id"], text)

    def _release(self, _: bytes) -> int:
        held = self._barrier.waiting
        self._barrier.release()
        return held
