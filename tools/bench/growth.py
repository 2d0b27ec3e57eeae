"""Cost by the number of records: intake, look-up and drain against an empty Redis.

Every size has a server and a web of its own, filled once; the loads alternate between them.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from tools.bench import fill
from tools.bench.drain import measure_drain
from tools.bench.load import load
from tools.bench.scene import READ_TOKEN, SUBMIT_TOKEN, BenchRun, Measure, in_turn
from tools.bench.table import BenchRow, ratios
from tools.bench.upstream import Upstream, upstream
from tools.stack.redis_client import Client
from tools.stack.valkey import Valkey

MUST = 1.1
KNOWN = 1000
FLYING = 16
DELAY_MS = 5


@dataclass(frozen=True)
class Size:
    """The number of events in a Redis."""

    settled: int = 0
    waiting: int = 0

    @property
    def name(self) -> str:
        """Return the size as the table has it."""
        if self.waiting:
            return f"{self.waiting:,} waiting"
        return f"{self.settled:,} settled"


@dataclass(frozen=True)
class GrowthScene:
    """A relay over a Redis of one size; ``known`` has prefix and number of existing ids."""

    size: Size
    valkey: Valkey
    client: Client
    port: int
    known: tuple[str, int]


def measures() -> Sequence[Measure]:
    """Return the measure of all sizes."""
    return [Measure("cost as it grows", _grow)]


def _sizes(*, is_quick: bool) -> list[Size]:
    if is_quick:
        return [Size(), Size(settled=100_000), Size(waiting=20_000)]
    return [Size(), Size(settled=100_000), Size(settled=1_000_000), Size(waiting=100_000)]


def _grow(scene: BenchRun) -> list[BenchRow]:
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        sizes = _sizes(is_quick=scene.is_quick)
        places = [_open(scene, stack, size) for size in sizes]
        rates: dict[tuple[str, Size], list[float]] = {}
        turns = {"intake": scene.loads, "look-up": scene.loads, "drain": scene.rounds}
        for what, measure in MEASURES.items():
            for number in range(1 + turns[what]):
                for place in in_turn(places, number):
                    rate = measure(scene, channel, place)
                    if number:  # the first warmed up
                        rates.setdefault((what, place.size), []).append(rate)
    none, *others = sizes
    return [
        _row(what, size, rates[what, none], rates[what, size])
        for size in others
        for what in MEASURES
    ]


def _open(scene: BenchRun, stack: ExitStack, size: Size) -> GrowthScene:
    valkey = stack.enter_context(scene.valkey())
    client = stack.enter_context(scene.client(valkey))
    if size.settled:
        known = ("fill", size.settled)
        fill.copy_settled(client, *known)
    elif size.waiting:
        known = ("fill", size.waiting)
        fill.accept(client, "fill", range(size.waiting))
    else:
        known = ("known", KNOWN)
        fill.settle(client, "known", range(KNOWN))
    # Two processes would share the connections at random, which outweighs the size.
    port = stack.enter_context(scene.web(valkey, processes=1))
    return GrowthScene(size, valkey, client, port, known)


def _intake(_scene: BenchRun, _channel: Upstream, place: GrowthScene) -> float:
    taken = load(place.port, what="post", prefix="grow", token=SUBMIT_TOKEN)
    fill.forget_waiting(place.client, "grow")  # as full as before
    return taken.rate


def _look_up(_scene: BenchRun, _channel: Upstream, place: GrowthScene) -> float:
    prefix, ids = place.known
    return load(place.port, what="get", prefix=prefix, token=READ_TOKEN, ids=ids).rate


def _drain(scene: BenchRun, channel: Upstream, place: GrowthScene) -> float:
    calls = 500 if scene.is_quick else 3000
    # The waiting events are called first, and these replace them.
    first = place.client.incr("bench:drained", calls) - calls
    fill.accept(place.client, "drain", range(first, first + calls))
    return measure_drain(scene, place.valkey, channel, calls, delay_ms=DELAY_MS, flying=FLYING)


MEASURES = {"intake": _intake, "look-up": _look_up, "drain": _drain}


def _row(what: str, size: Size, at_none: Sequence[float], at_size: Sequence[float]) -> BenchRow:
    return BenchRow(
        what=f"time of {what}, {size.name}",
        against="itself with none",
        values=ratios(at_none, at_size),
        must=MUST,
        aim=1.03,  # flat, as far as this can show
        is_most=True,
        note=f"{median(at_size):.0f} and {median(at_none):.0f} a second",
    )
