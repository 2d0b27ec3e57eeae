"""What a process costs: its memory, and the time from its start until it is ready."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

from app.store.client import Client
from tests.bench import fill
from tests.bench.load import load
from tests.bench.scene import SUBMIT_TOKEN, Measure, Scene, Server
from tests.bench.table import Row, ratios
from tests.bench.upstream import Upstream, upstream
from tests.stack.processes import wait_until
from tests.stack.relay import RUN_TIME
from tests.stack.valkey import Valkey

MUST = 2.0
EVENTS = 500
LIMIT_SECONDS = 60


def measures() -> Sequence[Measure]:
    """The one."""
    return [Measure("memory of a process, and start to ready", _processes)]


def _processes(scene: Scene) -> list[Row]:
    rows: dict[str, list[tuple[float, float]]] = {"web": [], "worker": [], "bare Flask": []}
    with upstream() as channel, scene.valkey() as valkey, scene.client(valkey) as client:
        for _ in range(scene.loads):
            rows["bare Flask"].append(_web(lambda: scene.gunicorn("echo", RUN_TIME)))
            fill.empty(client)
            rows["web"].append(_web(lambda: scene.web(valkey)))
            fill.empty(client)
            rows["worker"].append(_worker(scene, valkey, channel, client))
    return [
        _row(f"{what} of a {name} process", name, place, unit, rows)
        for name in ("web", "worker")
        for place, (what, unit) in enumerate([("memory", "MiB"), ("start to ready", "s")])
    ]


def _web(start: Callable[[], AbstractContextManager[Server]]) -> tuple[float, float]:
    """MiB of one of gunicorn's processes after some requests, and seconds until the first one."""
    began = time.monotonic()
    with start() as server:
        seconds = time.monotonic() - began
        load(server.port, what="post", prefix="start", token=SUBMIT_TOKEN)
        return median(map(_mib, _children(server.child.pid))), seconds


def _worker(scene: Scene, valkey: Valkey, channel: Upstream, client: Client) -> tuple[float, float]:
    """The same of a worker, after some calls."""
    channel.forget()
    began = time.monotonic()
    with scene.worker(valkey, channel.url(0)) as process:
        process.wait_for_line("worker_started")
        seconds = time.monotonic() - began
        fill.accept(client, "start", range(EVENTS))
        wait_until(lambda: channel.calls >= EVENTS, LIMIT_SECONDS, "the worker's calls")
        return _mib(process.pid), seconds


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def _mib(pid: int) -> float:
    """Its resident memory; what processes share is counted in each."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) / 1024


def _row(
    what: str, name: str, place: int, unit: str, rows: dict[str, list[tuple[float, float]]]
) -> Row:
    ours, theirs = ([one[place] for one in rows[which]] for which in (name, "bare Flask"))
    return Row(
        what=what,
        against="bare Flask",
        values=ratios(ours, theirs),
        must=MUST,
        is_most=True,
        note=f"{median(ours):.1f} and {median(theirs):.1f} {unit}",
    )
