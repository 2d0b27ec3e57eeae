"""Memory of a settled event in Redis, measured with real events."""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from tools.bench import fill
from tools.bench.load import Invalid
from tools.bench.scene import BenchRun, Measure
from tools.bench.table import BenchRow
from tools.bench.upstream import upstream
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client

# Ids like those of the documents, refund-00000001: Redis stores an id three times.
PREFIX = "refund"
SETTLE_SECONDS = 300
KEYS_PER_EVENT = 3  # its record, its chat and its user


def measures() -> Sequence[Measure]:
    """Return the measure."""
    return [Measure("memory in Redis per settled event", _memory)]


def _memory(scene: BenchRun) -> list[BenchRow]:
    events = 2000 if scene.is_quick else 20_000
    kept, beside = [], []
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        stack.enter_context(scene.worker(valkey, channel.url(0)))
        _bytes_per_event(
            client, events
        )  # connections and scripts take their memory in the first run
        for _ in range(scene.rounds):
            lasting, passing = _bytes_per_event(client, events)
            kept.append(lasting)
            beside.append(passing)
    return [
        BenchRow(
            what="memory in Redis per settled event",
            against="",
            values=tuple(kept),
            unit="bytes",
            must=1100,
            is_most=True,
            note=f"each of another user; for 400 s {median(beside):.0f} bytes more",
        )
    ]


def _bytes_per_event(client: Client, events: int) -> tuple[float, float]:
    """Return the bytes that stay, and those that expire 400 s after the settle."""
    fill.empty(client)
    before = _used(client)
    fill.accept(client, PREFIX, range(events))
    queues = ("{relay}:due", "{relay}:calling")
    wait_until(lambda: not client.exists(*queues), SETTLE_SECONDS, "the settles")
    at_settle = _used(client)
    for key in client.scan_iter("{relay}:taken:*", count=5000):
        client.delete(key)
    if client.dbsize() // KEYS_PER_EVENT != events:
        raise Invalid(f"{events} events were accepted, and {client.dbsize()} keys are kept")
    after = _used(client)
    return (after - before) / events, (at_settle - after) / events


def _used(client: Client) -> int:
    """Return the server's used memory, without connections and the AOF buffer."""
    memory: Any = client.info("memory")
    beside = ("mem_clients_normal", "mem_aof_buffer")
    return int(memory["used_memory"]) - sum(int(memory[name]) for name in beside)
