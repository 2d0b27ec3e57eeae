"""Many callers at once, in one light process: each sends a request on a connection of its own.

``python -m tests.system.burst`` reads a plan from stdin and prints what was answered, as JSON.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tools.stack.relay import ROOT

GIVEN_UP = 0  # the status of a request without an answer


@dataclass(frozen=True, slots=True)
class BurstRequest:
    """One request; ``name`` is repeated in its answer."""

    name: str
    path: str
    method: str = "GET"
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    event: dict[str, Any] | None = None

    def head_and_body(self) -> bytes:
        """Write the request as HTTP/1.1 has it."""
        body = b"" if self.event is None else json.dumps(self.event).encode()
        headers = {"Host": "relay", "Connection": "close", **self.headers}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.event is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = [f"{self.method} {self.path} HTTP/1.1", *map(": ".join, headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class BurstAnswer:
    """An answer; ``seconds`` is counted from the moment at which the request was sent whole."""

    name: str
    status: int
    seconds: float
    headers: dict[str, str]
    text: str

    @property
    def document(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to a burst, and those to the requests that one more caller sent meanwhile."""

    burst: list[BurstAnswer]
    meanwhile: list[BurstAnswer]

    def of(self, name: str) -> list[BurstAnswer]:
        """The answers to the requests of that name."""
        return [answer for answer in self.burst if answer.name == name]


def send_together(
    port: int,
    requests: Sequence[BurstRequest],
    *,
    meanwhile: BurstRequest,
    every_seconds: float = 0.05,
    over_seconds: float = 0,
    timeout_seconds: float = 10,
) -> Answers:
    """Send ``requests``, and ``meanwhile`` again and again until all are answered.

    The first and the last of them are ``over_seconds`` apart.
    """
    plan = {
        "port": port,
        "requests": [asdict(request) for request in requests],
        "meanwhile": asdict(meanwhile),
        "every_seconds": every_seconds,
        "over_seconds": over_seconds,
        "timeout_seconds": timeout_seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.burst"],
        cwd=ROOT,
        input=json.dumps(plan),
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout_seconds + 60,
        check=True,
    )
    printed = json.loads(done.stdout)
    return Answers(
        *([BurstAnswer(**answer) for answer in printed[key]] for key in ("burst", "polls"))
    )


async def _send(
    port: int, request: BurstRequest, timeout_seconds: float, after_seconds: float = 0
) -> BurstAnswer:
    await asyncio.sleep(after_seconds)
    sent_at = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request.head_and_body())
        await writer.drain()
        sent_at = time.monotonic()
        whole = await asyncio.wait_for(reader.read(), timeout_seconds)
        writer.close()
    except (OSError, TimeoutError):
        whole = b""
    seconds = time.monotonic() - sent_at
    head, _, body = whole.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    status = int(status_line.split()[1]) if status_line else GIVEN_UP
    return BurstAnswer(request.name, status, seconds, headers, body.decode())


async def _send_all(plan: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    port, timeout_seconds = plan["port"], plan["timeout_seconds"]
    requests = [BurstRequest(**request) for request in plan["requests"]]
    pause_seconds = plan["over_seconds"] / len(requests)
    burst = asyncio.gather(
        *(
            _send(port, request, timeout_seconds, number * pause_seconds)
            for number, request in enumerate(requests)
        )
    )
    polls: list[asyncio.Task[BurstAnswer]] = []
    while not burst.done():
        request = BurstRequest(**plan["meanwhile"])
        polls.append(asyncio.create_task(_send(port, request, timeout_seconds)))
        await asyncio.wait([burst], timeout=plan["every_seconds"])
    return {
        "burst": [asdict(answer) for answer in await burst],
        "polls": [asdict(answer) for answer in await asyncio.gather(*polls)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_send_all(json.load(sys.stdin)))))
