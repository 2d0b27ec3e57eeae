"""Process of the proxy, with its interface for tests."""

import json
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.stack.processes import Child, free_port, kill_child, start_child, wait_until
from tools.stack.redis_proxy.proxy import Mode

ROOT = Path(__file__).parents[3]
START_TIMEOUT_SECONDS = 30


class RedisProxy:
    """Proxy to the Redis at ``upstream_port``; with a ``certificate`` it serves TLS."""

    def __init__(self, upstream_port: int, *, certificate: Path | None = None) -> None:
        """Start nothing yet."""
        self.port = free_port()
        self._control = free_port()
        self._upstream_port = upstream_port
        self._certificate = certificate
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Return the value for ``REDIS_URL``."""
        return f"redis{'s' if self._certificate else ''}://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        """Start the process; return once it serves. Raises TimeoutError."""
        command = [sys.executable, "-m", "tools.stack.redis_proxy"]
        ports = {"port": self.port, "control": self._control, "upstream": self._upstream_port}
        options = [f"--{name}={port}" for name, port in ports.items()]
        if self._certificate:
            options.append(f"--certificate={self._certificate}")
        self._child = start_child([*command, *options], cwd=ROOT)
        wait_until(self._serves, START_TIMEOUT_SECONDS, "the proxy to Redis")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        if self._child is not None:
            kill_child(self._child)

    def fail(self, mode: Mode, *, seconds: float = 0.0, mark: str = "") -> None:
        """Apply this fault to every connection, open ones included."""
        self._send({"mode": mode, "seconds": seconds, "mark": mark})

    def mend(self) -> None:
        """Pass everything again; close the connections that lost data."""
        self.fail(Mode.PASS)

    def close_lines(self) -> None:
        """Reset every open connection."""
        self._send({"close_lines": True})

    def lead_to(self, port: int) -> None:
        """Connect new clients to the Redis at ``port``."""
        self._send({"upstream": port})

    def _send(self, command: dict[str, str | float]) -> None:
        with socket.create_connection(("127.0.0.1", self._control), timeout=10) as control:
            control.sendall(json.dumps(command).encode() + b"\n")
            done = control.recv(64)
        assert b"done\n" == done, command

    def _serves(self) -> bool:
        """Return whether both ports are open: the control port is opened last."""
        try:
            self.mend()
        except ConnectionError:
            return False
        return True
