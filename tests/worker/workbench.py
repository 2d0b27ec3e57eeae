"""A worker in a process of its own, over a real Redis and a real HTTP server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.channel.client import compute_way
from app.chats.record import Record
from app.store.grants import GrantStore
from app.store.keys import Keys
from tests.worker.faults import Plan, Stall, StoreFault
from tools.model.store_driver import StoreDriver
from tools.stack.channel_io import ChannelIo
from tools.stack.processes import kill_child, start_child, wait_until
from tools.stack.redis_client import Client
from tools.stack.relay import ROOT, RUN_TIME, Process, start_process

PATIENCE_SECONDS = 30
SETTINGS = {
    "CHANNEL_ACCESS_KEY": "key",
    "CHANNEL_ACCESS_SECRET": "secret",
    "CALL_CONNECT_TIMEOUT_SECONDS": "1",
    "CALL_DEADLINE_SECONDS": "5",
    "RATE_LIMIT_PER_SECOND": "1000",
    "RATE_LIMIT_BURST": "1000",
    "WORKER_CONCURRENCY": "1",
}

Faults = Mapping[str, Sequence[StoreFault]]
Json = dict[str, Any]


@dataclass(frozen=True)
class ProcessEnd:
    """The end of a process: its exit code, -9 where it had to be killed, and how long it took."""

    code: int
    seconds: float


class Workbench:
    """A relay's Redis, the stand-in, and one worker that a test starts and watches."""

    def __init__(
        self, client: Client, redis_url: str, channel_io: ChannelIo, directory: Path
    ) -> None:
        """Start nothing yet."""
        self.client = client
        self.channel_io = channel_io
        self.store = StoreDriver(client, Keys("relay"))
        self.directory = directory
        self.spool = directory / "spool"
        self.log = directory / "worker.log"
        self._stalls = directory / "stalls"
        self._stalls.mkdir()
        self._environ = {
            **SETTINGS,
            "REDIS_URL": redis_url,
            "CHANNEL_API_URL": channel_io.url,
            "SPOOL_DIR": str(self.spool),
        }
        self._processes: list[Process] = []
        self._creates_before = len(channel_io.creates)

    def grants(self, url: str | None = None) -> GrantStore:
        """Return the schedule of calls as the worker has it, its way included."""
        return self.store.worker(way=way_to(url or self.channel_io.url))

    @property
    def worker(self) -> Process:
        """The worker that was started last."""
        return self._processes[-1]

    def start(
        self, *, before: Faults | None = None, after: Faults | None = None, **settings: str
    ) -> None:
        """Start a worker with these faults."""
        plan = Plan(str(self._stalls), before or {}, after or {})
        command = [sys.executable, "-m", "tests.worker.faulty_worker", plan.to_json()]
        environ = {**self._environ, **settings, "PATH": os.environ["PATH"]}
        with self.log.open("ab") as output:
            child = start_child(command, env=environ, cwd=ROOT, output=output)
        self._processes.append(Process(child, self.log))

    def start_ordinary(self, **settings: str) -> None:
        """Start the worker of the Procfile."""
        environ = {**self._environ, **settings}
        self._processes.append(start_process("worker", environ, self.log, programs=RUN_TIME))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> ProcessEnd:
        """Send a signal, and wait for the end."""
        self.worker.child.send_signal(number)
        return self.wait_for_end()

    def wait_for_end(self) -> ProcessEnd:
        """Wait until the process ends by itself."""
        began = time.monotonic()
        try:
            code = self.worker.child.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            code = kill_child(self.worker.child)
        return ProcessEnd(code, time.monotonic() - began)

    def kill(self) -> None:
        """End all workers, as a crash would."""
        for process in self._processes:
            process.kill()

    def stall(self, *stalls: Stall) -> None:
        """Let these take nothing from now on."""
        for stall in stalls:
            (self._stalls / stall).touch()

    def mend(self, *stalls: Stall) -> None:
        """Let these take everything again."""
        for stall in stalls:
            (self._stalls / stall).unlink()

    @property
    def calls(self) -> list[str]:
        """The names of the store's calls, in order."""
        return [line["name"] for line in self.worker.lines("store_call")]

    def tries(self, name: str) -> list[Json]:
        """Every try of that call, confirmed or not."""
        return self.worker.lines("store_try", name=name)

    def calls_from(self, name: str) -> list[str]:
        """Those from the first one of that name on."""
        calls = self.calls
        return calls[calls.index(name) :]

    def wait_for_call(self, name: str, times: int = 1) -> None:
        """Return once the store was called so, so many times."""
        wait_until(lambda: self.calls.count(name) >= times, PATIENCE_SECONDS, f"{times} {name}")

    def wait_for(self, event_id: str, status: str) -> Record:
        """Return the record once it has that status."""
        wait_until(lambda: self.store.record(event_id).status == status, PATIENCE_SECONDS, status)
        return self.store.record(event_id)

    def chats_of(self, user_id: str) -> list[str]:
        """The ids of the chats that were made for a user since this bench is there."""
        creates = self.channel_io.creates[self._creates_before :]
        return [create.chat_id for create in creates if create.user_id == user_id]

    def spooled(self) -> str:
        """Return the contents of the spool's files."""
        return "".join(path.read_text() for path in self.spool.glob("*.jsonl"))


def way_to(url: str) -> str:
    """Return the way of a worker with these settings."""
    return compute_way(url, None, SETTINGS["CHANNEL_ACCESS_KEY"], SETTINGS["CHANNEL_ACCESS_SECRET"])
