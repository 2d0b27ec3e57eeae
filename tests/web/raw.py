"""The web process under gunicorn, and clients that send it bytes as they like."""

import errno
import json
import re
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event
from typing import Self

import requests

from tools.stack.processes import Child, free_port, start_child, stop_child, wait_until
from tools.stack.relay import PYTHON, ROOT

START_TIMEOUT_SECONDS = 30
SERVED_SECONDS = 5  # what "served" means, whatever other clients do
STOPPED_SECONDS = 20  # well before gunicorn kills who has not stopped

TOKEN = "submit-0123456789abcdef"
SETTINGS = {
    "SUBMIT_TOKENS": f"orders:{TOKEN}",
    "READ_TOKENS": f"crm:{TOKEN}-2",
    "WEB_CONCURRENCY": "1",
}
RELAY = "app.wsgi:application"

LISTENING = "0A"  # in /proc/net/tcp; what a process has closed already has no inode there
EVENT_NUMBERS = count()


class RawClient:
    """A client that sends what it likes, when it likes.

    Between a ``narrow`` one and the server the system buffers little: about 60 KB, else megabytes.
    """

    def __init__(
        self, port: int, *, narrow: bool = False, patience_seconds: float = SERVED_SECONDS
    ) -> None:
        self._sock = socket.socket()
        self._sock.settimeout(patience_seconds)
        if narrow:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 500)
        self._sock.connect(("127.0.0.1", port))
        self._answers = self._sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._sock.close()

    def send(self, content: bytes) -> Self:
        """Send all of it."""
        self._sock.sendall(content)
        return self

    def end(self) -> Self:
        """Send nothing more; answers can still be read."""
        self._sock.shutdown(socket.SHUT_WR)
        return self

    def flood(self, content: bytes, over: Event) -> None:
        """Send ``content`` again and again, and take what is answered, until it is ``over``."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLOUT)
        self._sock.settimeout(0)
        whole = rest = memoryview(content)
        while not over.is_set():
            for _, ready in poll.poll(100):
                if ready & select.POLLIN and not self._sock.recv(1024 * 1024):
                    return
                if ready & select.POLLOUT:
                    rest = rest[self._sock.send(rest) :] or whole

    def is_answered(self) -> bool:
        """Return whether something has come, or the end."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def answer(self) -> tuple[int, Mapping[str, str], bytes]:
        """Read one answer: its status, headers and body."""
        status = int(self._answers.readline().split()[1])
        lines = iter(self._answers.readline, b"\r\n")
        headers = dict(line.decode().strip().split(": ", 1) for line in lines)
        return status, headers, self._answers.read(int(headers.get("Content-Length", 0)))

    def status(self) -> int:
        """Read one answer, for its status."""
        return self.answer()[0]

    def rest(self) -> bytes:
        """Read to the end."""
        return self._answers.read()


@dataclass(frozen=True)
class Web:
    """A running web process, and its log."""

    port: int
    child: Child
    log: Path

    @property
    def url(self) -> str:
        """Return the address that it listens on."""
        return f"http://127.0.0.1:{self.port}"

    def client(
        self, *, narrow: bool = False, patience_seconds: float = SERVED_SECONDS
    ) -> RawClient:
        """Connect."""
        return RawClient(self.port, narrow=narrow, patience_seconds=patience_seconds)

    def serves(self, events: int = 5) -> bool:
        """Return whether a good client's events are accepted in time, over a connection each."""
        return all(self._accepts(f"slow-{next(EVENT_NUMBERS)}") for _ in range(events))

    def _accepts(self, event_id: str) -> bool:
        return requests.post(
            f"{self.url}/v1/events",
            json={"event_id": event_id, "user_id": "6606508eaa71575f1e8c"},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=SERVED_SECONDS,
        ).ok

    def refuses(self) -> bool:
        """Return whether no client can connect."""
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == errno.ECONNREFUSED

    def open_connections(self) -> int:
        """Return how many clients' sockets gunicorn holds, in whatever state."""
        return len(self._clients())

    def unread_bytes(self) -> int:
        """Return the bytes that clients have sent and gunicorn has not read."""
        return sum(client.unread_bytes for client in self._clients())

    def _clients(self) -> list["HeldSocket"]:
        return [
            held
            for held in _held_sockets()
            if held.own_port == self.port and held.state != LISTENING
        ]

    def wait_until_alone(self) -> None:
        """Return once gunicorn holds no client's socket. Raises TimeoutError."""
        wait_until(lambda: not self.open_connections(), SERVED_SECONDS, "the last connection's end")

    def worker(self) -> int:
        """The process id of the only worker."""
        (pid,) = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return int(pid)

    def memory_bytes(self) -> int:
        """The resident memory of the only worker, https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
        status = Path(f"/proc/{self.worker()}/status").read_text()
        (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        return int(kilobytes) * 1024

    def wait_for_event(self, event: str) -> None:
        """Return once the log has it. Raises TimeoutError."""
        wait_until(lambda: event in self.log.read_text(), START_TIMEOUT_SECONDS, event)

    def complaints(self) -> list[str]:
        """Return the log's lines that report a fault, or are not the relay's."""
        return [line for line in self.log.read_text().splitlines() if _is_complaint(line)]


@dataclass(frozen=True)
class HeldSocket:
    """A TCP socket that a process holds."""

    own_port: int
    other_port: int
    state: str
    unread_bytes: int


def connections_to(port: int) -> int:
    """Return how many sockets are connected to ``port``, from anywhere."""
    return sum(held.other_port == port for held in _held_sockets())


def _held_sockets() -> list[HeldSocket]:
    """Read https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html"""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        HeldSocket(_last_number(row[1]), _last_number(row[2]), row[3], _last_number(row[4]))
        for row in rows
        if row[9] != "0"
    ]


def _last_number(pair: str) -> int:
    return int(pair.rpartition(":")[2], 16)


def _is_complaint(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return True
    return entry["level"] not in {"info", "debug"} or "exception" in entry


@contextmanager
def serve(
    application: str,
    redis_url: str,
    directory: Path,
    *options: str,
    limit: str = "-S -n 256",
    complains: bool = False,
    **settings: str,
) -> Iterator[Web]:
    """Run ``application`` as the relay is run, from a shell with that ``ulimit``.

    Unless it ``complains``, its log has no complaint, whatever clients do to it.
    """
    port, log = free_port(), directory / "web.log"
    gunicorn = [PYTHON, "-m", "gunicorn", "--config", "config/gunicorn.py"]
    where = ["--bind", f"127.0.0.1:{port}"]
    with log.open("ab") as output:
        child = start_child(
            [
                "sh",
                "-c",
                f'ulimit {limit}; exec "$@"',
                "-",
                *gunicorn,
                *where,
                *options,
                application,
            ],
            env={**SETTINGS, "REDIS_URL": redis_url, **settings},
            cwd=ROOT,
            output=output,
        )
    web = Web(port, child, log)
    try:
        web.wait_for_event("Booting worker")
        yield web
    finally:
        stop_child(child)
    assert complains or web.complaints() == []
