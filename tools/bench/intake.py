"""Intake of unique events, duplicates and look-ups, against an echo and queues."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from tools.bench import fill
from tools.bench.load import CONNECTIONS, Invalid, LoadResult, load
from tools.bench.scene import READ_TOKEN, SUBMIT_TOKEN, BenchRun, Measure, in_turn
from tools.bench.table import BenchRow, ratios
from tools.stack.redis_client import Client
from tools.stack.relay import RUN_TIME

KNOWN = 1000

RELAY, ECHO, ARQ = "relay", "bare Flask echo", "FastAPI + arq"

Queued = Callable[[Client], int]

# The queue of each peer in Redis.
FLASK_PEERS: dict[str, tuple[str, Queued]] = {
    "Flask + RQ": ("flask_rq", lambda redis: redis.llen("rq:queue:default")),
    "Flask + Dramatiq": ("flask_dramatiq", lambda redis: redis.llen("dramatiq:default")),
    "Flask + Celery": ("flask_celery", lambda redis: redis.llen("celery")),
}


@dataclass(frozen=True)
class Contender:
    """A server that accepts events, and the length of its queue; None if it has no queue."""

    name: str
    port: int
    queued: Queued | None


def measures() -> Sequence[Measure]:
    """Return the measures of intake, and of duplicates and look-ups."""
    return [
        Measure("intake of unique events, one process", _intake_beside_echo),
        Measure("intake of unique events, beside queues", _intake_beside_queues),
        Measure("duplicates and look-ups, one process", _known),
    ]


def _intake_beside_echo(scene: BenchRun) -> list[BenchRow]:
    with ExitStack() as stack:
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        echo = stack.enter_context(scene.gunicorn("echo", RUN_TIME, processes=1))
        web = stack.enter_context(scene.web(valkey, processes=1))
        loads = _take_turns(scene, client, [Contender(ECHO, echo, None), _relay(web)])
    ours, theirs = _rates(loads[RELAY]), _rates(loads[ECHO])
    our_p99, their_p99 = ([one.p99_ms for one in loads[name]] for name in (RELAY, ECHO))
    return [
        BenchRow(
            what="intake of unique events, one process",
            against=ECHO,
            values=ratios(ours, theirs),
            must=0.8,
            aim=1.0,
            note=format_rates(ours, theirs),
        ),
        BenchRow(
            what="intake of unique events, one process, p99",
            against=ECHO,
            values=ratios(our_p99, their_p99),
            must=None,
            aim=2.0,
            is_most=True,
            note=f"{median(our_p99):.1f} and {median(their_p99):.1f} ms",
        ),
    ]


def _intake_beside_queues(scene: BenchRun) -> list[BenchRow]:
    with ExitStack() as stack:
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        contenders = [_relay(stack.enter_context(scene.web(valkey)))]
        for name, (module, queued) in FLASK_PEERS.items():
            peer = scene.gunicorn(module, scene.peers, REDIS_URL=valkey.url)
            contenders.append(Contender(name, stack.enter_context(peer), queued))
        arq = stack.enter_context(scene.uvicorn("fastapi_arq", REDIS_URL=valkey.url))
        contenders.append(Contender(ARQ, arq, lambda redis: redis.zcard("arq:queue")))
        loads = _take_turns(scene, client, contenders)
    rates = {name: _rates(of_name) for name, of_name in loads.items()}
    limits = {ARQ: (None, 1.2)} | dict.fromkeys(FLASK_PEERS, (1.2, 1.5))
    return [
        BenchRow(
            what="intake of unique events",
            against=name,
            values=ratios(rates[RELAY], rates[name]),
            must=must,
            aim=aim,
            note=format_rates(rates[RELAY], rates[name]),
        )
        for name, (must, aim) in limits.items()
    ]


def _relay(port: int) -> Contender:
    return Contender(RELAY, port, lambda redis: redis.zcard("{relay}:due"))


def _take_turns(
    scene: BenchRun, client: Client, contenders: Sequence[Contender]
) -> dict[str, list[LoadResult]]:
    """Load each contender in turn; return the loads by name, without the first."""
    loads: dict[str, list[LoadResult]] = {contender.name: [] for contender in contenders}
    for number in range(1 + scene.loads):
        for contender in in_turn(contenders, number):
            loads[contender.name].append(_take_in(client, contender))
    return {name: of_name[1:] for name, of_name in loads.items()}


def _take_in(client: Client, contender: Contender) -> LoadResult:
    """Post new events, and check that each answered one is queued."""
    fill.empty(client)
    taken = load(contender.port, what="post", prefix="event", token=SUBMIT_TOKEN)
    if contender.queued is not None:
        queued = contender.queued(client)
        # wrk does not count an event whose answer was under way when it stopped.
        if not taken.answers <= queued <= taken.answers + 2 * CONNECTIONS:
            raise Invalid(f"{contender.name} answered {taken.answers} and queued {queued}")
    return taken


def _rates(loads: Sequence[LoadResult]) -> list[float]:
    return [one.rate for one in loads]


def _known(scene: BenchRun) -> list[BenchRow]:
    duplicates: tuple[list[float], list[float]] = ([], [])
    look_ups: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        ports = (
            stack.enter_context(scene.web(valkey, processes=1)),
            stack.enter_context(scene.gunicorn("echo", RUN_TIME, processes=1)),
        )
        fill.settle(client, "known", range(KNOWN))
        for number in range(1 + scene.loads):
            for rates, is_post in ((duplicates, True), (look_ups, False)):
                for port, found in in_turn([*zip(ports, rates, strict=True)], number):
                    found.append(_rate(port, is_post=is_post))
        if client.zcard("{relay}:due"):
            raise Invalid("the posted events were not duplicates")
    return [
        _known_row("duplicates of settled events, one process", *duplicates),
        _known_row("look-ups of settled events, one process", *look_ups),
    ]


def _rate(port: int, *, is_post: bool) -> float:
    known = partial(load, port, prefix="known", ids=KNOWN)
    if is_post:
        return known(what="post", token=SUBMIT_TOKEN).rate
    return known(what="get", token=READ_TOKEN).rate


def _known_row(what: str, ours: Sequence[float], theirs: Sequence[float]) -> BenchRow:
    ours, theirs = ours[1:], theirs[1:]  # the first warmed up
    return BenchRow(
        what=what,
        against=ECHO,
        values=ratios(ours, theirs),
        must=0.70,
        aim=0.85,
        note=format_rates(ours, theirs),
    )


def format_rates(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Format both medians."""
    return f"{median(ours):.0f} and {median(theirs):.0f} a second"
