"""Child processes that end with their parent, free ports, and polling."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import IO, TypeVar

T = TypeVar("T")
Child = subprocess.Popen[bytes]

# Seconds between polls, shortest and longest: each poll takes CPU from the awaited process.
POLL_SECONDS = (0.01, 0.05)

# Below every system's range for outgoing connections: a client that retries a stopped server's port
# could otherwise get that port for itself, and block the server's restart.
PORTS = range(20_000, 32_768)

# Hypothesis seeds the shared generator alike in every test process, which would pick equal ports.
_random = SystemRandom()
_TIED = Path(__file__).with_name("tied.py")

# The kernel kills a tied child when the *thread* that forked it ends; this thread never ends.
_launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")


def free_port() -> int:
    """Reserve a loopback TCP port without a listener, for this process alone.

    The process marks it for others: it holds the UDP port of the same number until it ends.
    """
    while True:
        port = _random.choice(PORTS)
        sign = socket.socket(type=socket.SOCK_DGRAM)
        try:
            sign.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            sign.close()
        else:
            atexit.register(sign.close)
            return port


def wait_until(condition: Callable[[], T], timeout_seconds: float, what: str) -> T:
    """Wait until ``condition`` returns a true value, and return it.

    Raises TimeoutError, naming ``what`` and the last value seen, after ``timeout_seconds``.
    """
    began = time.monotonic()
    shortest, longest = POLL_SECONDS
    while not (value := condition()):
        waited = time.monotonic() - began
        if waited > timeout_seconds:
            message = f"waited {timeout_seconds} s for {what}; last seen: {value!r}"
            raise TimeoutError(message)
        time.sleep(min(max(shortest, waited / 10), longest))
    return value


def start_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start ``command`` in its own session; on Linux the kernel ends it with this process.

    ``output`` gets both stdout and stderr. Any thread may call this.
    """
    return _launcher.submit(
        subprocess.Popen,
        [*_tie_command(), *command],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=pass_fds,
        start_new_session=True,
    ).result()


def stop_child(child: Child, timeout_seconds: float = 10) -> int:
    """End ``child`` by SIGTERM, or by SIGKILL after ``timeout_seconds``; return its exit code."""
    child.terminate()
    child.send_signal(signal.SIGCONT)  # a paused process would not receive the SIGTERM
    try:
        return child.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        return kill_child(child)


def kill_child(child: Child) -> int:
    """End a running ``child`` and its session by SIGKILL; return its exit code."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _tie_command() -> list[str]:
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", str(_TIED), str(os.getpid())]
