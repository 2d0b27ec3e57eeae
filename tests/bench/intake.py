"""Intake of unique events, duplicates and look-ups, beside a bare echo and beside queues."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from app.store.client import Client
from tests.bench import fill
from tests.bench.load import CONNECTIONS, Invalid, load
from tests.bench.scene import READ_TOKEN, SUBMIT_TOKEN, Measure, Scene, in_turn
from tests.bench.table import Row, ratios
from tests.stack.relay import RUN_TIME

KNOWN = 1000

RELAY, ECHO, ARQ = "relay", "bare Flask echo", "FastAPI + arq"

Queued = Callable[[Client], int]

# Where each peer keeps what it has enqueued.
FLASK_PEERS: dict[str, tuple[str, Queued]] = {
    "Flask + RQ": ("flask_rq", lambda redis: redis.llen("rq:queue:default")),
    "Flask + Dramatiq": ("flask_dramatiq", lambda redis: redis.llen("dramatiq:default")),
    "Flask + Celery": ("flask_celery", lambda redis: redis.llen("celery")),
}


@dataclass(frozen=True)
class Contender:
    """A server that takes events in, and how many of them it has; None: it keeps none."""

    name: str
    port: int
    queued: Queued | None


def measures() -> Sequence[Measure]:
    """Intake; duplicates and look-ups."""
    return [
        Measure("intake of unique events", _intake),
        Measure("duplicates and look-ups", _known),
    ]


def _intake(scene: Scene) -> list[Row]:
    with ExitStack() as stack:
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        echo = stack.enter_context(scene.gunicorn("echo", RUN_TIME))
        web = stack.enter_context(scene.web(valkey))
        contenders = [
            Contender(ECHO, echo.port, None),
            Contender(RELAY, web.port, lambda redis: redis.zcard("{relay}:due")),
        ]
        for name, (module, queued) in FLASK_PEERS.items():
            peer = scene.gunicorn(module, scene.peers, REDIS_URL=valkey.url)
            contenders.append(Contender(name, stack.enter_context(peer).port, queued))
        arq = stack.enter_context(scene.uvicorn("fastapi_arq", REDIS_URL=valkey.url))
        contenders.append(Contender(ARQ, arq.port, lambda redis: redis.zcard("arq:queue")))
        rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for number in range(1 + scene.loads):
            for contender in in_turn(contenders, number):
                rates[contender.name].append(_take_in(client, contender))
    return _intake_rows({name: found[1:] for name, found in rates.items()})  # the first warmed up


def _take_in(client: Client, contender: Contender) -> float:
    """Answers a second, each to an event that is queued afterwards."""
    fill.empty(client)
    taken = load(contender.port, what="post", prefix="event", token=SUBMIT_TOKEN)
    if contender.queued is not None:
        queued = contender.queued(client)
        # What was under way when wrk stopped is queued without an answer.
        if not taken.answers <= queued <= taken.answers + 2 * CONNECTIONS:
            raise Invalid(f"{contender.name} answered {taken.answers} and queued {queued}")
    return taken.rate


def _intake_rows(rates: dict[str, list[float]]) -> list[Row]:
    limits = {ECHO: (0.60, 0.80), ARQ: (None, 1.0)} | dict.fromkeys(FLASK_PEERS, (1.2, 1.5))
    return [
        Row(
            what="intake of unique events",
            against=name,
            values=ratios(rates[RELAY], rates[name]),
            must=must,
            aim=aim,
            note=per_second(rates[RELAY], rates[name]),
        )
        for name, (must, aim) in limits.items()
    ]


def _known(scene: Scene) -> list[Row]:
    duplicates: tuple[list[float], list[float]] = ([], [])
    look_ups: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        valkey = stack.enter_context(scene.valkey())
        client = stack.enter_context(scene.client(valkey))
        ports = (
            stack.enter_context(scene.web(valkey)).port,
            stack.enter_context(scene.gunicorn("echo", RUN_TIME)).port,
        )
        fill.settle(client, "known", range(KNOWN))
        for number in range(1 + scene.loads):
            for rates, is_post in ((duplicates, True), (look_ups, False)):
                for port, found in in_turn([*zip(ports, rates, strict=True)], number):
                    found.append(_rate(port, is_post=is_post))
        if client.zcard("{relay}:due"):
            raise Invalid("what was posted were no duplicates")
    return [
        _known_row("duplicates of settled events", *duplicates),
        _known_row("look-ups of settled events", *look_ups),
    ]


def _rate(port: int, *, is_post: bool) -> float:
    known = partial(load, port, prefix="known", ids=KNOWN)
    if is_post:
        return known(what="post", token=SUBMIT_TOKEN).rate
    return known(what="get", token=READ_TOKEN).rate


def _known_row(what: str, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    ours, theirs = ours[1:], theirs[1:]  # the first warmed up
    return Row(
        what=what,
        against=ECHO,
        values=ratios(ours, theirs),
        must=0.70,
        aim=0.85,
        note=per_second(ours, theirs),
    )


def per_second(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Both medians."""
    return f"{median(ours):.0f} and {median(theirs):.0f} a second"
