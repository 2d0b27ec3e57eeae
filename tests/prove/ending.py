"""Runs a process of the relay, and ends it or its Redis just before or after a durable step.

``python -m tests.prove.ending ORDERS MODULE [ARGUMENT…]`` runs the module as ``python -m`` does;
the orders are JSON, as ``Orders.as_json`` writes it. The steps are announced by ``sys.audit`` (see
``app.chats.steps``): whoever comes to the step of the next strike waits there until as many have
come as the strike is for. So calls of every kind stand at the step when the strike comes.
"""

import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Condition

from pydantic import TypeAdapter

from app.chats.steps import AFTER, BEFORE, Step

EDGES = (BEFORE, AFTER)
# Whoever does not come by then does not come; the prover finds no mark, and says so.
PATIENCE_SECONDS = 10
POLL_SECONDS = 0.01


class Way(StrEnum):
    """What a strike is. All but the last are what the proof is about."""

    KILL = "kill -9"
    STOP = "SIGTERM"
    LOSE_REDIS = "Redis killed"
    FREEZE_REDIS = "Redis frozen"
    HOLD = "held until the mark is taken away"


@dataclass(frozen=True)
class Strike:
    """What is done at ``step`` once ``calls`` have come to it; the file ``mark`` is made then.

    ``edge`` is the audit event: ``relay.before`` or ``relay.after``.
    """

    edge: str
    step: Step
    way: Way
    calls: int
    mark: Path


@dataclass(frozen=True)
class Orders:
    """The strikes, one after the other, and which Redis some of them are at."""

    strikes: Sequence[Strike]
    redis_pid: int
    redis_port: int

    def as_json(self) -> str:
        """What ``of_json`` reads."""
        return _JSON.dump_json(self).decode()

    @staticmethod
    def of_json(text: str) -> "Orders":
        """What ``as_json`` wrote."""
        return _JSON.validate_json(text)


_JSON = TypeAdapter(Orders)


class Striker:
    """Listens for the steps, in all threads and in what the process forks, and strikes."""

    def __init__(self, orders: Orders) -> None:
        """Nobody has come yet."""
        self._orders = orders
        self._pending = list(orders.strikes)
        self._come = 0
        self._changed = Condition()

    def hear(self, event: str, arguments: Sequence[object]) -> None:
        """The audit hook. Everything else that Python announces is passed over at once."""
        if event in EDGES and self._pending:
            with self._changed:
                self._come_to(event, arguments[0])

    def _come_to(self, edge: str, step: object) -> None:
        strike = self._pending[0] if self._pending else None
        if strike is None or (edge, step) != (strike.edge, strike.step):
            return
        self._come += 1
        if self._come < strike.calls:
            self._changed.wait_for(lambda: strike not in self._pending, PATIENCE_SECONDS)
            return
        self._come = 0
        self._pending.remove(strike)
        strike.mark.touch()
        _STRIKES[strike.way](self._orders, strike)
        self._changed.notify_all()


def _kill(_: Orders, __: Strike) -> None:
    """All of the session: gunicorn and its workers end together, as a container does."""
    os.killpg(0, signal.SIGKILL)


def _stop(_: Orders, __: Strike) -> None:
    """The first process of the session, as a container is told."""
    os.kill(os.getpgrp(), signal.SIGTERM)


def _lose_redis(orders: Orders, _: Strike) -> None:
    os.kill(orders.redis_pid, signal.SIGKILL)
    _wait_until(lambda: not _answers(orders.redis_port))


def _freeze_redis(orders: Orders, _: Strike) -> None:
    os.kill(orders.redis_pid, signal.SIGSTOP)
    _wait_until(lambda: not _answers(orders.redis_port))


def _hold(_: Orders, strike: Strike) -> None:
    _wait_until(lambda: not strike.mark.exists())


_STRIKES: dict[Way, Callable[[Orders, Strike], None]] = {
    Way.KILL: _kill,
    Way.STOP: _stop,
    Way.LOSE_REDIS: _lose_redis,
    Way.FREEZE_REDIS: _freeze_redis,
    Way.HOLD: _hold,
}


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2) as line:
            line.sendall(b"PING\r\n")
            return bool(line.recv(1))
    except OSError:
        return False


if __name__ == "__main__":
    orders, module, *arguments = sys.argv[1:]
    sys.addaudithook(Striker(Orders.of_json(orders)).hear)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
