"""Crash points before and after each durable step, where calls can be held.

The worker of ``held_worker`` and the web of ``held_web`` hold their calls at a point while the
prover strikes from outside. Between bytes sent and bytes read, the stand-in holds them.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter

# The environment variable with the holds of a process, as ``dump_holds`` writes them.
HOLDS = "PROVE_HOLDS"
# A call continues after this time, so a prover that never strikes cannot hang it.
PATIENCE_SECONDS = 10
POLL_SECONDS = 0.01


class Edge(StrEnum):
    """A side of a step."""

    BEFORE = "before"
    AFTER = "after"


class DurableStep(StrEnum):
    """A durable step; its effect may neither be lost nor happen twice."""

    ACCEPTED = "accepted"  # the event is claimed and scheduled
    GRANTED = "granted"  # `calling(attempt)` is stored, and the worker has the grant
    SENT = "sent"  # the request is handed to the socket
    ANSWERED = "answered"  # the worker has the whole answer
    LOGGED = "logged"  # the ids are in the log
    SPOOLED = "spooled"  # the answer is in a file, since Redis did not take it
    SETTLED = "settled"  # the record has the outcome


@dataclass(frozen=True)
class Hold:
    """An order to hold ``calls`` calls at a point.

    The process creates the file ``mark`` once they are all held, and they continue once it is gone.
    """

    edge: Edge
    step: DurableStep
    calls: int
    mark: Path


_JSON = TypeAdapter(Sequence[Hold])


def dump_holds(holds: Sequence[Hold]) -> str:
    """Write holds for ``Holder.of_environment``."""
    return _JSON.dump_json(holds).decode()


class Holder:
    """The holds of a process, carried out one after the other, in any of its greenlets."""

    def __init__(self, holds: Sequence[Hold]) -> None:
        self._pending = list(holds)
        self._arrived = 0

    @classmethod
    def of_environment(cls) -> "Holder":
        """Read the holds of this process."""
        return cls(_JSON.validate_json(os.environ[HOLDS]))

    def pass_point(self, edge: Edge, step: DurableStep) -> None:
        """Arrive at a point, and wait while it is held."""
        self.arrive(edge, step)
        self.wait(edge, step)

    def arrive(self, edge: Edge, step: DurableStep) -> bool:
        """Count a call that arrives at a point; return whether it is the last to be held there."""
        if not self._is_next(edge, step):
            return False
        self._arrived += 1
        is_last = self._arrived == self._pending[0].calls
        if is_last:
            self._pending[0].mark.touch()
        return is_last

    def wait(self, edge: Edge, step: DurableStep) -> None:
        """Wait while calls are held at a point, or are still to arrive there."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._is_next(edge, step) and time.monotonic() < until:
            if self._arrived >= self._pending[0].calls and not self._pending[0].mark.exists():
                del self._pending[0]
                self._arrived = 0
            else:
                time.sleep(POLL_SECONDS)

    def _is_next(self, edge: Edge, step: DurableStep) -> bool:
        return any((hold.edge, hold.step) == (edge, step) for hold in self._pending[:1])
