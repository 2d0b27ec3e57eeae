"""Many callers with ``Prefer: wait`` in one web process, and ``/livez`` meanwhile."""

import asyncio
import json
import resource
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from statistics import median, quantiles
from typing import Any

from tools.bench.events import event
from tools.bench.load import Invalid
from tools.bench.scene import SUBMIT_TOKEN, BenchRun, Measure
from tools.bench.table import BenchRow
from tools.bench.upstream import upstream
from tools.stack.processes import wait_until

CALLERS, QUICK_CALLERS, WARM_CALLERS = 1000, 200, 10
DELAY_MS = 2000
FLYING = 500
WAIT_SECONDS = 30
WAVE_SECONDS = 60
LIVEZ_EVERY_SECONDS = 0.05
LIVEZ_MS = 300
QUEUES = ("{relay}:due", "{relay}:calling")
# Sockets of the callers here, and of web and worker, which inherit the limit.
OPEN_FILES = 4096

_numbers = count()


@dataclass(frozen=True)
class Wave:
    """Callers that posted at once; ``delays_ms`` are from the settle to the answer with ids.

    ``seconds`` is the time from the first post to the last answer.
    """

    delays_ms: Sequence[float]
    livez_ms: Sequence[float]
    seconds: float


def measures() -> Sequence[Measure]:
    """Return the measure."""
    return [Measure("waiters: callers with Prefer: wait at once", _waiters)]


def build_rows(waves: Sequence[Wave], callers: int) -> list[BenchRow]:
    """Build the rows of waves of ``callers`` callers.

    The wave with the fewest answers with ids counts. Raises ``Invalid`` if it has one at most.
    """
    if any(len(wave.delays_ms) <= 1 for wave in waves):
        raise Invalid("at most one caller got its ids in the same request")
    what = f"{callers:,} callers wait, {DELAY_MS / 1000:.0f} s upstream"
    p50 = tuple(median(wave.delays_ms) for wave in waves)
    p99 = tuple(quantiles(wave.delays_ms, n=100, method="inclusive")[98] for wave in waves)
    answered = BenchRow(
        what=f"{what}: answered with ids",
        against="",
        values=(min(len(wave.delays_ms) for wave in waves),),
        unit="",
        must=callers,
        note=f"the last answer after {median(wave.seconds for wave in waves):.1f} s",
    )
    livez = BenchRow(
        what=f"{what}: slowest /livez",
        against="",
        values=tuple(max(wave.livez_ms) for wave in waves),
        unit="ms",
        must=LIVEZ_MS,
        is_most=True,
        note=f"median {median(median(wave.livez_ms) for wave in waves):.1f} ms",
    )
    delays = [
        BenchRow(what=f"{what}: settled to answered, {name}", against="", values=values, unit="ms")
        for name, values in (("p50", p50), ("p99", p99))
    ]
    return [answered, *delays, livez]


def _waiters(scene: BenchRun) -> list[BenchRow]:
    callers = QUICK_CALLERS if scene.is_quick else CALLERS
    _allow_open_files()
    waves = []
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        port = stack.enter_context(scene.web(valkey, processes=1))
        url = channel.url(DELAY_MS)
        stack.enter_context(scene.worker(valkey, url, WORKER_CONCURRENCY=str(FLYING)))
        for number in range(1 + scene.rounds):
            wave = asyncio.run(_post_at_once(port, callers if number else WARM_CALLERS))
            # Events of callers that stopped waiting must not slow the next wave.
            wait_until(lambda: not client.exists(*QUEUES), WAVE_SECONDS, "the settles")
            if number:
                waves.append(wave)
    return build_rows(waves, callers)


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= OPEN_FILES or soft == resource.RLIM_INFINITY:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
    except ValueError as error:
        raise Invalid(f"needs {OPEN_FILES} open files, and {hard} are allowed") from error


async def _post_at_once(port: int, callers: int) -> Wave:
    """Connect all callers, post their events, and read all answers. Raises ``Invalid``."""
    is_over = asyncio.Event()
    requests = [_request(next(_numbers)) for _ in range(callers)]
    try:
        async with asyncio.timeout(WAVE_SECONDS):
            connections = [await _Connection.open(port) for _ in requests]
            livez = asyncio.create_task(_time_livez(port, is_over))
            began = time.monotonic()
            answered = await asyncio.gather(*map(_post, connections, requests))
            seconds = time.monotonic() - began
            is_over.set()
            livez_ms = await livez
    except (OSError, EOFError) as error:
        raise Invalid(f"a caller had no answer: {error!r}") from error
    return Wave([delay_ms for delay_ms in answered if delay_ms is not None], livez_ms, seconds)


def _request(number: int) -> str:
    body = event("waiter", number).model_dump_json(exclude_none=True)
    return (
        f"POST /v1/events HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {SUBMIT_TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Prefer: wait={WAIT_SECONDS}\r\n\r\n{body}"
    )


async def _post(connection: "_Connection", request: str) -> float | None:
    """Post an event; return the ms from its settle to its answer, None without ids."""
    status, record = await connection.send(request)
    answered_at = time.time()
    if status != 200 or not record["chat"]:
        return None
    return (answered_at - datetime.fromisoformat(record["settled_at"]).timestamp()) * 1000


async def _time_livez(port: int, is_over: asyncio.Event) -> list[float]:
    """Get ``/livez`` on new connections until ``is_over``; return the ms of each."""
    latencies = []
    while not is_over.is_set():
        began = time.perf_counter()
        connection = await _Connection.open(port)
        status, _ = await connection.send("GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n")
        latencies.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise Invalid(f"/livez answered {status}")
        await asyncio.sleep(LIVEZ_EVERY_SECONDS)
    return latencies


class _Connection:
    """A connection for one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, request: str) -> tuple[int, Any]:
        """Send a request, and return the status and JSON of its answer."""
        self._writer.write(request.encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self._reader.readexactly(int(headers["content-length"]))
        self._writer.close()
        return int(head[0].split(" ")[1]), json.loads(body)
