"""Child processes that never outlive their parent, and waiting without sleeping for luck."""

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

# Each poll takes time from the awaited work: the longer it takes, the less often.
POLL_SECONDS = (0.01, 0.05)

# Below every system's range for outgoing connections: inside it, a client that keeps calling a
# stopped server's port may be given that port as its own, and keep the server from coming back.
PORTS = range(20_000, 32_768)

# Not the shared generator: hypothesis seeds that alike in every process of the tests.
_random = SystemRandom()
_TIED = Path(__file__).with_name("tied.py")

# The kernel kills a tied child when the *thread* that forked it ends: this one lasts to the end.
_launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")


def free_port() -> int:
    """Reserve a loopback TCP port without a listener, for this process alone.

    Until this process ends it holds the UDP port of the same number, which all others see.
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
    """Start ``command`` in its own session; on Linux it dies with this process, however that ends.

    ``output`` gets both stdout and stderr. Works from any thread, and beside any thread.
    """
    return _launcher.submit(
        subprocess.Popen,
        [*_tie(), *command],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=pass_fds,
        start_new_session=True,
    ).result()


def stop_child(child: Child, timeout_seconds: float = 10) -> int:
    """End ``child`` by SIGTERM, by SIGKILL after ``timeout_seconds``; its exit code (-9: so)."""
    child.terminate()
    child.send_signal(signal.SIGCONT)  # a paused process would not see the SIGTERM
    try:
        return child.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        return kill_child(child)


def kill_child(child: Child) -> int:
    """End ``child`` and, while it lives, all of its session by SIGKILL; its exit code."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _tie() -> list[str]:
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", str(_TIED), str(os.getpid())]
