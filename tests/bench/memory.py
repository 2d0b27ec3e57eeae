"""What an event costs in Redis once it is settled: real ones, from the post to the settle."""

from collections.abc import Sequence
from contextlib import ExitStack

from redis import Redis

from tests.bench.load import load
from tests.bench.scene import SUBMIT_TOKEN, Measure, Scene
from tests.bench.table import Row
from tests.bench.upstream import upstream
from tests.stack.processes import wait_until

# As long as a name with a Channel.io id in it would be.
PREFIX = "refund-6606508eaa71"
SETTLE_SECONDS = 300


def measures() -> Sequence[Measure]:
    """The one."""
    return [Measure("memory in Redis per settled event", _memory)]


def _memory(scene: Scene) -> list[Row]:
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        web = stack.enter_context(scene.web(valkey))
        stack.enter_context(scene.worker(valkey, channel.url(0)))
        _post(web.port, client, "warm")
        values, later, events = [], [], 0
        for number in range(scene.rounds):
            before, kept = _used(client), client.dbsize()
            answers = _post(web.port, client, f"{PREFIX}-{number}")
            beside = _used(client)
            _forget_tombstones(client)
            # A record, its chat and its user: three keys each.
            events = (client.dbsize() - kept) // 3
            assert events >= answers
            values.append((_used(client) - before) / events)
            later.append((beside - before) / events)
    return [
        Row(
            what="memory in Redis per settled event",
            against="",
            values=tuple(values),
            unit="bytes",
            must=700,
            aim=450,
            is_most=True,
            note=f"{events} events a round, each of another user; {later[0]:.0f} for 400 s more",
        )
    ]


def _post(port: int, client: Redis, prefix: str) -> int:
    """Post for two seconds, and return once all of it is settled and nothing else is kept."""
    posted = load(port, 2, what="post", prefix=prefix, token=SUBMIT_TOKEN)
    wait_until(
        lambda: not client.exists("{relay}:due", "{relay}:calling"), SETTLE_SECONDS, "the settles"
    )
    if prefix == "warm":
        _forget_tombstones(client)
    return posted.answers


def _forget_tombstones(client: Redis) -> None:
    """Delete what ends by itself 400 s after a settle."""
    for key in client.scan_iter("{relay}:taken:*", count=5000):
        client.delete(key)


def _used(client: Redis) -> int:
    """Of the server, but for what connections and the log's buffer take at this moment."""
    told = client.info("memory")
    beside = ("mem_clients_normal", "mem_aof_buffer")
    return int(told["used_memory"]) - sum(int(told[name]) for name in beside)
