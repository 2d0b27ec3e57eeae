"""Calls in a patched process, as a worker makes them: in no other does a deadline fire."""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from app.chats.outcome import Outcome
from tests.channel.calls import AMPLE_SECONDS, USER_ID
from tools.stack.processes import Child, kill_child, start_child
from tools.stack.relay import ROOT

PROCESS_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedCall:
    """A task at ``url``, or a probe, that is due ``seconds`` after its beginning.

    The task is the create for ``user_id``, unless there is a ``member_id`` or a ``chat_id``: then
    the resolve, and the message or the open.
    """

    url: str
    seconds: float = AMPLE_SECONDS
    connect_timeout_seconds: float = AMPLE_SECONDS
    user_id: str = USER_ID
    member_id: str | None = None
    chat_id: str | None = None
    is_open: bool = False
    is_probe: bool = False
    trusts_loopback: bool = False
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a call: its outcome or a probe's problem, how long it took, requests counted."""

    outcome: Outcome | None
    problem: str | None
    seconds: float
    requests: int = 0


CALLS: TypeAdapter[list[PatchedCall]] = TypeAdapter(list[PatchedCall])
ENDED: TypeAdapter[list[Ended]] = TypeAdapter(list[Ended])


class PatchedCalls:
    """A process that makes calls, all of them at once. ``log`` gets what it prints."""

    def __init__(self, log: Path, calls: Sequence[PatchedCall]) -> None:
        """Begin."""
        self._log = log
        command = [sys.executable, "-m", "tests.channel.patched_call"]
        plan = json.dumps([asdict(call) for call in calls])
        with log.open("wb") as output:
            self.child: Child = start_child([*command, plan], cwd=ROOT, output=output)

    def ended(self) -> list[Ended]:
        """Wait for the end of the process; return what came of each call."""
        try:
            code = self.child.wait(PROCESS_SECONDS)
        finally:
            kill_child(self.child)
        text = self._log.read_text()
        assert 0 == code, text
        return ENDED.validate_json(text)


class StoppedCall(PatchedCalls):
    """A call whose process is stopped by SIGSTOP, until its deadline has passed."""

    def __init__(self, log: Path, call: PatchedCall) -> None:
        super().__init__(log, [call])
        self._seconds = call.seconds

    def stop(self) -> None:
        """Stop it, some time after the call began."""
        self.child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.child.pid, os.WSTOPPED)
        self._stopped_at = time.monotonic()

    def go_on_after_the_deadline(self) -> None:
        """Let it go on."""
        time.sleep(self._stopped_at + self._seconds - time.monotonic())
        self.child.send_signal(signal.SIGCONT)


def make_calls(directory: Path, *calls: PatchedCall) -> list[Ended]:
    """Make calls in a process of their own; the log goes to ``directory``."""
    return PatchedCalls(directory / "calls.log", calls).ended()


def outcome_of_call(directory: Path, **call: Any) -> Outcome:
    """Make one create; return its outcome."""
    (ended,) = make_calls(directory, PatchedCall(**call))
    assert ended.outcome is not None
    return ended.outcome
