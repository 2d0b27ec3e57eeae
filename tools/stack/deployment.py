"""Whole relay on loopback, with parts that tests stop, kill and pause."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.channel.client import compute_way
from tools.stack.channel_io import ChannelIo, Create, Message, Open, Request
from tools.stack.processes import free_port
from tools.stack.redis_client import Client, connect_to
from tools.stack.relay import RUN_TIME, Process, RelayClient, start_process
from tools.stack.valkey import Valkey

SUBMIT_TOKEN = "submit-token-5bd1e995"
READ_TOKEN = "read-token-c6a4a793"
ACCESS_KEY = "access-key-5f3759df"
ACCESS_SECRET = "access-secret-9e3779b9"
SECRETS = (SUBMIT_TOKEN, READ_TOKEN, ACCESS_KEY, ACCESS_SECRET)

# No test of the rate uses these; calls end soon.
QUICK = {
    "WEB_CONCURRENCY": "1",
    "WORKER_CONCURRENCY": "4",
    "CALL_CONNECT_TIMEOUT_SECONDS": "1",
    "CALL_DEADLINE_SECONDS": "2",
    "RATE_LIMIT_PER_SECOND": "1000",
    "RATE_LIMIT_BURST": "1000",
    "BREAKER_COOLDOWN_SECONDS": "0.2",
}

# For tests that hold a call, which must not reach its deadline on a busy machine.
LONG_CALLS = {"CALL_CONNECT_TIMEOUT_SECONDS": "30", "CALL_DEADLINE_SECONDS": "60"}

Json = dict[str, Any]


class Deployment:
    """A Valkey, a stand-in for Channel.io, and the webs and workers that a test starts.

    All files are in ``directory``. ``settings`` go to all processes. A test adds to ``only_logged``
    the chat ids that it kept out of the spool and of Redis.
    """

    programs = RUN_TIME

    def __init__(
        self, directory: Path, *, valkey_arguments: Sequence[str] = (), **settings: str
    ) -> None:
        """Start nothing yet."""
        self.valkey = Valkey(directory / "valkey", arguments=valkey_arguments)
        self.channel_io = ChannelIo(ACCESS_KEY, ACCESS_SECRET)
        self.callers: list[RelayClient] = []
        self.processes: list[Process] = []
        self.spool = directory / "spool"
        self.only_logged: set[str] = set()
        self.directory = directory
        self._settings = settings
        self._numbers = count(1)
        self._creates_before = 0
        self._messages_before = 0
        self._opens_before = 0
        self._requests_before = 0

    def __enter__(self) -> Self:
        """Start the services; no web and no worker yet."""
        self.valkey.start()
        self.channel_io.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything."""
        for process in self.processes:
            process.kill()
        self.channel_io.stop()
        self.valkey.stop()

    @property
    def caller(self) -> RelayClient:
        """Return the client of the first web process."""
        return self.callers[0]

    @property
    def creates(self) -> list[Create]:
        """Return every chat that was made since the last ``clear``."""
        return self.channel_io.creates[self._creates_before :]

    @property
    def messages(self) -> list[Message]:
        """Return every message that was made since the last ``clear``."""
        return self.channel_io.messages[self._messages_before :]

    @property
    def opens(self) -> list[Open]:
        """Return every open since the last ``clear``."""
        return self.channel_io.opens[self._opens_before :]

    def creates_of(self, user_id: str) -> list[Create]:
        """Return the chats of one user since the last ``clear``."""
        return [create for create in self.creates if create.user_id == user_id]

    def calls_of(self, user_id: str) -> list[Request]:
        """Return the calls for one user since the last ``clear``."""
        requests = self.channel_io.requests[self._requests_before :]
        return [request for request in requests if f"/users/{user_id}/" in request.path]

    @property
    def way(self) -> str:
        """Return the way of this relay's workers."""
        return compute_way(self.channel_io.url, None, ACCESS_KEY, ACCESS_SECRET)

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment of every process."""
        return {
            "REDIS_URL": self.valkey.url,
            "CHANNEL_API_URL": self.channel_io.url,
            "CHANNEL_ACCESS_KEY": ACCESS_KEY,
            "CHANNEL_ACCESS_SECRET": ACCESS_SECRET,
            "SUBMIT_TOKENS": f"orders:{SUBMIT_TOKEN}",
            "READ_TOKENS": f"crm:{READ_TOKEN}",
            "SPOOL_DIR": str(self.spool),
            **QUICK,
            **self._settings,
        }

    def start(self, name: str, **settings: str) -> Process:
        """Start a process of the Procfile by its name, on loopback."""
        environ = {**self.environ, "PORT": str(free_port()), **settings}
        log = self.directory / f"{name}-{next(self._numbers)}.log"
        options = ["--bind", f"127.0.0.1:{environ['PORT']}"] if name == "web" else []
        process = start_process(name, environ, log, *options, programs=self.programs)
        self.processes.append(process)
        return process

    def start_web(self, **settings: str) -> RelayClient:
        """Start a web process; return its client before it is ready."""
        port = str(free_port())
        self.start("web", PORT=port, **settings)
        self.callers.append(RelayClient(f"http://127.0.0.1:{port}", SUBMIT_TOKEN, READ_TOKEN))
        return self.callers[-1]

    def start_worker(self, **settings: str) -> Process:
        """Start one more worker."""
        return self.start("worker", **settings)

    def worker(self, **settings: str) -> Process:
        """Return a running worker; start one with these settings if there is none."""
        running = [process for process in self.workers if process.child.poll() is None]
        return running[0] if running else self.start_worker(**settings)

    def kill_workers(self) -> None:
        """End all workers by SIGKILL."""
        for worker in self.workers:
            worker.kill()

    @property
    def accepted(self) -> set[str]:
        """Return the ids of all events of which a client received a record since ``clear``."""
        return {record["event_id"] for caller in self.callers for record in caller.seen}

    @property
    def workers(self) -> list[Process]:
        """Return every worker that was started, ended ones included."""
        return [process for process in self.processes if process.log.stem.startswith("worker")]

    def connect(self) -> Client:
        """Return a client of the deployment's Valkey."""
        return connect_to(self.valkey.url)

    def expire_leases(self) -> None:
        """End the leases of all calls in progress."""
        with self.connect() as client:
            for event_id in client.zrange("{relay}:calling", 0, -1):
                client.zadd("{relay}:calling", {event_id: 1}, xx=True)

    def clear(self) -> None:
        """Remove all events and the gate, and let the stand-in create every chat."""
        with self.connect() as client:
            client.flushall()
        for caller in self.callers:
            caller.seen.clear()
        self.only_logged.clear()
        self.channel_io.behave_well()
        self._creates_before = len(self.channel_io.creates)
        self._messages_before = len(self.channel_io.messages)
        self._opens_before = len(self.channel_io.opens)
        self._requests_before = len(self.channel_io.requests)
