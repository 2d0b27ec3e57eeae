"""A fast stand-in of Channel.io with a fixed delay: no script, no ledger, no limits.

The stand-in of the tests has a thread for each connection, and would limit the drain. This one
sends the same answers from one event loop, in a process of its own. The base ``/20/open/v4``
answers after 20 ms. It reports the times of calls and answers, so both contenders are timed alike.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.request import urlopen

from tools.bench.scene import wait_until_listening
from tools.stack.channel_io.answers import channel_answer, chat_answer, new_chat_id
from tools.stack.processes import free_port, kill_child, start_child
from tools.stack.relay import ROOT


@dataclass(frozen=True)
class Upstream:
    """Client of the stand-in's control requests."""

    port: int

    def url(self, delay_ms: int) -> str:
        """Return the base URL for ``CHANNEL_API_URL``."""
        return f"http://127.0.0.1:{self.port}/{delay_ms}/open/v4"

    def forget(self) -> None:
        """Reset the counts."""
        self._get("forget")

    @property
    def calls(self) -> int:
        """Return how many creates were answered."""
        return int(self._get("report/1")["calls"])

    def rate(self, calls: int) -> float:
        """Return creates a second, from the first arrival to answer number ``calls``."""
        return calls / float(self._get(f"report/{calls}")["seconds"])

    def _get(self, what: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=10) as answer:
            return json.load(answer)


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Run the stand-in in a process of its own."""
    port = free_port()
    child = start_child([sys.executable, "-m", "tools.bench.upstream", str(port)], cwd=ROOT)
    try:
        wait_until_listening(port, child)
        yield Upstream(port)
    finally:
        kill_child(child)


@dataclass
class _Ledger:
    """The times of the first create's arrival and of each answer."""

    first: float | None = None
    answered: list[float] = field(default_factory=list)

    def forget(self) -> None:
        self.first = None
        self.answered.clear()

    def report(self, calls: int) -> dict[str, Any]:
        if self.first is None or not self.answered:
            return {"calls": 0, "seconds": None}
        last = self.answered[min(calls, len(self.answered)) - 1]
        return {"calls": len(self.answered), "seconds": last - self.first}


class _Line(asyncio.Protocol):
    """A connection; requests have no body, like those of the relay."""

    def __init__(self, ledger: _Ledger) -> None:
        self._ledger = ledger
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._request(head)

    def _request(self, head: bytes) -> None:
        _, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        is_last = b"connection: close" in head.lower()
        match path.split("/")[1:]:
            case [delay, "open", "v4", "users", user_id, "user-chats"]:
                self._ledger.first = self._ledger.first or time.monotonic()
                asyncio.get_running_loop().call_later(
                    int(delay) / 1000, self._create, user_id, is_last
                )
            case [_, "open", "v4", "channel"]:
                self._answer(channel_answer(), is_last=is_last)
            case ["report", calls]:
                self._answer(self._ledger.report(int(calls)), is_last=is_last)
            case ["forget"]:
                self._ledger.forget()
                self._answer({}, is_last=is_last)
            case _:
                self._answer({}, is_last=is_last)

    def _create(self, user_id: str, is_last: bool) -> None:  # noqa: FBT001 - call_later has no names
        now = time.time()
        self._answer(chat_answer(user_id, new_chat_id(now), now), is_last=is_last)
        self._ledger.answered.append(time.monotonic())

    def _answer(self, content: Any, *, is_last: bool) -> None:
        body = json.dumps(content).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
            b"Content-Length: %d\r\n%s\r\n%s"
            % (len(body), b"Connection: close\r\n" if is_last else b"", body)
        )
        if is_last:
            self._transport.close()


async def _serve(port: int) -> None:
    ledger = _Ledger()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Line(ledger), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
