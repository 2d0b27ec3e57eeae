"""``Prefer: wait``, one event at a time, against a view that calls Channel.io."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from itertools import count
from statistics import median, quantiles

from tools.bench.events import event
from tools.bench.load import Invalid
from tools.bench.scene import SUBMIT_TOKEN, BenchRun, Measure
from tools.bench.table import BenchRow, ratios
from tools.bench.upstream import upstream
from tools.stack.relay import RUN_TIME

DELAY_MS = 20
WARM_REQUESTS = 50

_numbers = count()


def measures() -> Sequence[Measure]:
    """Return the measure."""
    return [Measure(f"Prefer: wait, {DELAY_MS} ms upstream", _wait)]


def _wait(scene: BenchRun) -> list[BenchRow]:
    requests = 150 if scene.is_quick else 1000
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        valkey = stack.enter_context(scene.valkey())
        web = stack.enter_context(scene.web(valkey))
        url = channel.url(DELAY_MS)
        stack.enter_context(scene.worker(valkey, url))
        inline = stack.enter_context(scene.gunicorn("inline", RUN_TIME, CHANNEL_API_URL=url))
        for port in (web, inline):
            _latencies(port, WARM_REQUESTS)
        for _ in range(scene.rounds):
            ours.append(_p50_and_p99(_latencies(web, requests)))
            theirs.append(_p50_and_p99(_latencies(inline, requests)))
    return [
        _row(name, [one[place] for one in ours], [one[place] for one in theirs], must, aim)
        for place, (name, must, aim) in enumerate([("p50", 1.3, 1.1), ("p99", 1.5, None)])
    ]


def _latencies(port: int, requests: int) -> list[float]:
    """Return the ms of each answer; one connection, one request after the other."""
    headers = {
        "Authorization": f"Bearer {SUBMIT_TOKEN}",
        "Content-Type": "application/json",
        "Prefer": "wait=10",
    }
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        return [_latency(connection, headers) for _ in range(requests)]


def _latency(connection: HTTPConnection, headers: Mapping[str, str]) -> float:
    body = event("wait", next(_numbers)).model_dump_json(exclude_none=True)
    began = time.perf_counter()
    connection.request("POST", "/v1/events", body, headers=dict(headers))
    answer = connection.getresponse()
    record = json.loads(answer.read())
    took_ms = (time.perf_counter() - began) * 1000
    if answer.status != 200 or not record["chat"]:
        raise Invalid(f"an event was answered {answer.status}, and should be opened")
    return took_ms


def _p50_and_p99(latencies: Sequence[float]) -> tuple[float, float]:
    return median(latencies), quantiles(latencies, n=100)[98]


def _row(
    name: str, ours: Sequence[float], theirs: Sequence[float], must: float, aim: float | None
) -> BenchRow:
    return BenchRow(
        what=f"Prefer: wait, {DELAY_MS} ms upstream, {name}",
        against="a view that calls inline",
        values=ratios(ours, theirs),
        must=must,
        aim=aim,
        is_most=True,
        note=f"{median(ours):.1f} and {median(theirs):.1f} ms",
    )
