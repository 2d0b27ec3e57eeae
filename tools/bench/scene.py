"""Settings and processes of a measure."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TypeVar

from tools.bench.load import Invalid
from tools.bench.table import BenchRow
from tools.stack.processes import Child, free_port, start_child, stop_child, wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.relay import ROOT, RUN_TIME, Process, RelayClient, start_process
from tools.stack.valkey import Valkey

T = TypeVar("T")

SUBMIT_TOKEN = "bench-submit-token-9d2c5680"
READ_TOKEN = "bench-read-token-efc60000"
PROCESSES = 2
PEER_THREADS = 8
START_SECONDS = 30
LOADS_PER_ROUND = 5

# No limit of the gate, and no rewrite of the AOF, may slow a measure.
RELAY = {
    "SUBMIT_TOKENS": f"bench:{SUBMIT_TOKEN}",
    "READ_TOKENS": f"bench:{READ_TOKEN}",
    "CHANNEL_ACCESS_KEY": "key",
    "CHANNEL_ACCESS_SECRET": "secret",
    "RATE_LIMIT_PER_SECOND": "10000",
    "RATE_LIMIT_BURST": "1000000",
    "MAX_BACKLOG": "10000000",
}
NO_REWRITE = ("--auto-aof-rewrite-percentage", "0")
GUNICORN = (
    *("--threads", str(PEER_THREADS), "--worker-class", "gthread"),
    *("--keep-alive", "75", "--no-control-socket"),
)


@dataclass(frozen=True)
class BenchRun:
    """One run of the benchmarks: its directory and thoroughness.

    ``peers`` is where the programs of the peers' environment are.
    """

    directory: Path
    peers: Path
    rounds: int
    is_quick: bool
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def loads(self) -> int:
        """Return the number of loads for each contender, without the first."""
        return self.rounds if self.is_quick else LOADS_PER_ROUND * self.rounds

    @contextmanager
    def valkey(self) -> Iterator[Valkey]:
        """Run a server with its data on disk, as in a deployment."""
        directory = self.directory / f"valkey-{next(self._numbers)}"
        with Valkey(directory, arguments=NO_REWRITE) as valkey:
            yield valkey

    @contextmanager
    def client(self, valkey: Valkey) -> Iterator[Client]:
        """Connect a client with a long timeout, for the scripts that fill the server."""
        with connect_to(valkey.url) as client:
            client.connection_pool.connection_kwargs["socket_timeout"] = 120
            yield client

    @contextmanager
    def web(self, valkey: Valkey, *, processes: int = PROCESSES) -> Iterator[int]:
        """Start the relay's web as the Procfile has it; yield its port once it is ready."""
        port = free_port()
        environ = {**RELAY, "REDIS_URL": valkey.url, "PORT": str(port)}
        environ["WEB_CONCURRENCY"] = str(processes)
        bind = ("--bind", f"127.0.0.1:{port}")
        process = start_process("web", environ, self._log("web"), *bind, programs=RUN_TIME)
        caller = RelayClient(f"http://127.0.0.1:{port}", SUBMIT_TOKEN, READ_TOKEN)
        try:
            wait_until_listening(port, process.child)
            caller.wait_until_ready()
            yield port
        finally:
            stop_child(process.child, 20)

    @contextmanager
    def worker(self, valkey: Valkey, channel_url: str, **settings: str) -> Iterator[Process]:
        """Start the relay's worker as the Procfile has it."""
        environ = {
            **RELAY,
            "REDIS_URL": valkey.url,
            "CHANNEL_API_URL": channel_url,
            "SPOOL_DIR": str(self.directory / f"spool-{next(self._numbers)}"),
            **settings,
        }
        process = start_process("worker", environ, self._log("worker"), programs=RUN_TIME)
        try:
            yield process
        finally:
            stop_child(process.child, 30)

    @contextmanager
    def gunicorn(
        self, module: str, programs: Path, *, processes: int = PROCESSES, **environ: str
    ) -> Iterator[int]:
        """Start a peer under gunicorn's own threads; yield its port once it listens."""
        port = free_port()
        command = [str(programs / "gunicorn"), *GUNICORN, "--workers", str(processes)]
        command += ["--bind", f"127.0.0.1:{port}", f"tools.bench.peers.{module}:application"]
        with self._peer(command, environ) as child:
            wait_until_listening(port, child)
            yield port

    @contextmanager
    def uvicorn(self, module: str, **environ: str) -> Iterator[int]:
        """Start a peer under uvicorn with its fast parts; yield its port once it listens."""
        port = free_port()
        command = [str(self.peers / "uvicorn"), "--port", str(port), "--no-access-log"]
        command += ["--workers", str(PROCESSES), f"tools.bench.peers.{module}:application"]
        with self._peer(command, environ) as child:
            wait_until_listening(port, child)
            yield port

    @contextmanager
    def _peer(self, command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Child]:
        both = {"PATH": os.environ["PATH"], "SUBMIT_TOKEN": SUBMIT_TOKEN, **environ}
        with self._log("peer").open("ab") as log:
            child = start_child(command, env=both, cwd=ROOT, output=log)
        try:
            yield child
        finally:
            stop_child(child, 20)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}-{next(self._numbers)}.log"


@dataclass(frozen=True)
class Measure:
    """A named measure, and the function that makes it."""

    name: str
    run: Callable[[BenchRun], list[BenchRow]]


def in_turn(contenders: Sequence[T], number: int) -> Sequence[T]:
    """Rotate the contenders, so each round begins with another one."""
    first = number % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def wait_until_listening(port: int, child: Child) -> None:
    """Return once a server answers HTTP on ``port``.

    Raises ``TimeoutError``, or ``Invalid`` if ``child`` ends before.
    """

    def answers() -> bool:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError), closing(connection):
            connection.request("GET", "/")
            connection.getresponse()
            return True
        return child.poll() is not None

    wait_until(answers, START_SECONDS, f"port {port}")
    if child.poll() is not None:
        raise Invalid(f"{child.args!r} ended with code {child.returncode}")
