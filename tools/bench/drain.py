"""Drain of a backlog: a worker against bare threads that only call."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

from tools.bench import fill
from tools.bench.intake import format_rates
from tools.bench.load import Invalid, measure_capacity
from tools.bench.scene import BenchRun, Measure
from tools.bench.table import BenchRow, ratios
from tools.bench.upstream import Upstream, upstream
from tools.stack.processes import kill_child, start_child, wait_until
from tools.stack.relay import PYTHON, ROOT
from tools.stack.valkey import Valkey

DELAY_MS = 50
DRAIN_SECONDS = 300
LOOK_SECONDS = 0.25
# The stand-in must be faster than both contenders, or it limits the result.
LEEWAY = 1.15
MOST_SHARE = 0.85


def measures() -> Sequence[Measure]:
    """Return the drains with few and with many calls in flight."""
    return [
        Measure(f"drain, {DELAY_MS} ms upstream, {flying} in flight", partial(_drain, flying))
        for flying in (16, 64)
    ]


def _drain(flying: int, scene: BenchRun) -> list[BenchRow]:
    backlog = 1500 if scene.is_quick else 5000
    ours, theirs = [], []
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        valkey = stack.enter_context(scene.valkey())
        possible = _capacity(channel, flying)
        for _ in range(scene.rounds):
            ours.append(_worker(scene, valkey, channel, backlog=backlog, flying=flying))
            theirs.append(_bare_threads(channel, backlog, flying))
    fastest = max(*ours, *theirs)
    # The delay itself limits any contender to this rate.
    if possible < min(LEEWAY * fastest, MOST_SHARE * flying * 1000 / DELAY_MS):
        raise Invalid(f"the stand-in is the limit: {possible:.0f} a second, {fastest:.0f} measured")
    return [
        BenchRow(
            what=f"drain of {backlog}, {DELAY_MS} ms upstream, {flying} in flight",
            against="requests in bare threads",
            values=ratios(ours, theirs),
            must=0.75,
            aim=0.8,
            note=f"{format_rates(ours, theirs)}; the stand-in does {possible:.0f}",
        )
    ]


def _capacity(channel: Upstream, flying: int) -> float:
    url = f"{channel.url(DELAY_MS)}/users/user-1/user-chats"
    return median(measure_capacity(url, flying, 2) for _ in range(3))


def _worker(
    scene: BenchRun, valkey: Valkey, channel: Upstream, *, backlog: int, flying: int
) -> float:
    with scene.client(valkey) as client:
        fill.empty(client)
        fill.accept(client, "drain", range(backlog))
        rate = measure_drain(scene, valkey, channel, backlog, delay_ms=DELAY_MS, flying=flying)
        if client.zcard("{relay}:due") + client.zcard("{relay}:held"):
            raise Invalid("not every event was opened")
    return rate


def measure_drain(
    scene: BenchRun, valkey: Valkey, channel: Upstream, calls: int, *, delay_ms: int, flying: int
) -> float:
    """Start a worker on a backlog of ``calls`` events, and return its calls a second."""
    channel.forget()
    url = channel.url(delay_ms)
    with scene.worker(valkey, url, WORKER_CONCURRENCY=str(flying)):
        wait_until(lambda: _has_seen(channel, calls), DRAIN_SECONDS, f"{calls} calls")
    return channel.rate(calls)


def _has_seen(channel: Upstream, calls: int) -> bool:
    """Poll, rarely, since each poll takes time from the measure."""
    time.sleep(LOOK_SECONDS)
    return channel.calls >= calls


def _bare_threads(channel: Upstream, calls: int, flying: int) -> float:
    channel.forget()
    command = [PYTHON, "-m", "tools.bench.peers.bare_threads"]
    arguments = [channel.url(DELAY_MS), str(flying), str(calls)]
    child = start_child([*command, *arguments], cwd=ROOT)
    try:
        code = child.wait(DRAIN_SECONDS)
    finally:
        kill_child(child)
    if code or channel.calls != calls:
        raise Invalid("a bare thread's call failed")
    return channel.rate(calls)
