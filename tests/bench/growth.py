"""What grows with the number of records: intake, look-up and drain, each beside itself at none.

Every size has a server and a web of its own, filled once; the loads go from one to the next.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from redis import Redis

from tests.bench import fill
from tests.bench.drain import drained
from tests.bench.load import load
from tests.bench.scene import READ_TOKEN, SUBMIT_TOKEN, Measure, Scene
from tests.bench.table import Row, ratios
from tests.bench.upstream import Upstream, upstream
from tests.stack.valkey import Valkey

MUST = 1.1
KNOWN = 1000
FLYING = 16
DELAY_MS = 5
WHATS = ("intake", "look-up", "drain")


@dataclass(frozen=True)
class Size:
    """How full a Redis is."""

    settled: int = 0
    waiting: int = 0

    @property
    def name(self) -> str:
        """As the table says it."""
        if self.waiting:
            return f"{self.waiting:,} waiting"
        return f"{self.settled:,} settled"


@dataclass(frozen=True)
class Place:
    """A relay over a Redis of one size; ``known`` are ids that are there: prefix and how many."""

    size: Size
    valkey: Valkey
    client: Redis
    port: int
    known: tuple[str, int]


def measures() -> Sequence[Measure]:
    """All sizes together."""
    return [Measure("cost as it grows", _grow)]


def _sizes(*, is_quick: bool) -> list[Size]:
    if is_quick:
        return [Size(), Size(settled=100_000), Size(waiting=20_000)]
    return [Size(), Size(settled=100_000), Size(settled=1_000_000), Size(waiting=100_000)]


def _grow(scene: Scene) -> list[Row]:
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        sizes = _sizes(is_quick=scene.is_quick)
        places = [_open(scene, stack, size) for size in sizes]
        rates: dict[Size, list[tuple[float, ...]]] = {size: [] for size in sizes}
        for place in places:
            _measure(scene, channel, place, seconds=1)  # warms up
        for _ in range(scene.rounds):
            for place in places:
                rates[place.size].append(_measure(scene, channel, place, scene.seconds))
    none, *others = sizes
    return [
        _row(what, size, _of(rates[none], what), _of(rates[size], what))
        for size in others
        for what in WHATS
    ]


def _open(scene: Scene, stack: ExitStack, size: Size) -> Place:
    valkey = stack.enter_context(scene.valkey())
    client = stack.enter_context(scene.client(valkey))
    if size.settled:
        known = ("fill", size.settled)
        fill.settled(client, *known)
    elif size.waiting:
        known = ("fill", size.waiting)
        fill.accept(client, "fill", range(size.waiting))
    else:
        known = ("known", KNOWN)
        fill.settle(client, "known", range(KNOWN))
    return Place(size, valkey, client, stack.enter_context(scene.web(valkey)).port, known)


def _measure(scene: Scene, channel: Upstream, place: Place, seconds: int) -> tuple[float, ...]:
    """The rates of intake, look-up and drain; the place is as full afterwards as before."""
    prefix, ids = place.known
    taken = load(place.port, seconds, what="post", prefix="grow", token=SUBMIT_TOKEN)
    fill.forget_waiting(place.client, "grow")
    found = load(place.port, seconds, what="get", prefix=prefix, token=READ_TOKEN, ids=ids)
    return taken.rate, found.rate, _drain(scene, channel, place)


def _drain(scene: Scene, channel: Upstream, place: Place) -> float:
    calls = 500 if scene.is_quick else 3000
    # The first to be called are those that waited; these take their place.
    first = place.client.incr("bench:drained", calls) - calls
    fill.accept(place.client, "drain", range(first, first + calls))
    return drained(scene, place.valkey, channel, calls, delay_ms=DELAY_MS, flying=FLYING)


def _of(measured: Sequence[tuple[float, ...]], what: str) -> list[float]:
    return [rates[WHATS.index(what)] for rates in measured]


def _row(what: str, size: Size, at_none: Sequence[float], at_size: Sequence[float]) -> Row:
    return Row(
        what=f"time of {what}, {size.name}",
        against="itself with none",
        values=ratios(at_none, at_size),
        must=MUST,
        aim=1.03,  # flat, as far as this can tell
        is_most=True,
        note=f"{median(at_size):.0f} and {median(at_none):.0f} a second",
    )
