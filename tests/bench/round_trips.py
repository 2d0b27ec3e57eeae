"""Counts what web and worker send to Redis for an event, with MONITOR, which sees every command."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from socket import SHUT_RDWR, create_connection
from threading import Thread

import requests

from tests.bench import fill
from tests.bench.events import event, event_id
from tests.bench.load import Invalid
from tests.bench.scene import READ_TOKEN, SUBMIT_TOKEN, Measure, Scene
from tests.bench.table import Row
from tests.bench.upstream import Upstream, upstream
from tests.stack.processes import wait_until
from tests.stack.valkey import Valkey

EVENTS = 1000
LIMIT_SECONDS = 60

# 1700000000.123456 [0 127.0.0.1:50000] "EVALSHA" …; scripts' commands have no address
_LINE = re.compile(r'\+?[\d.]+ \[\d+ [^\]]*:\d+\] "(?P<name>[^"]+)"')
# Said once a connection, or by whoever has nothing to do.
_BESIDE = {"HELLO", "CLIENT", "AUTH", "SELECT", "PING", "INFO", "CONFIG", "BLPOP"}


def measures() -> Sequence[Measure]:
    """The one."""
    return [Measure("round trips to Redis per event", _round_trips)]


def _round_trips(scene: Scene) -> list[Row]:
    with ExitStack() as stack:
        channel = stack.enter_context(upstream())
        valkey = stack.enter_context(scene.valkey())
        port = stack.enter_context(scene.web(valkey)).port
        _post(port, [EVENTS])  # the script is loaded with the first
        with _monitored(valkey) as posting:
            _post(port, range(EVENTS))
        with _monitored(valkey) as looking:
            _get(port, range(EVENTS))
        worker = _worker(scene, valkey, channel)
    counts = (("intake", len(posting), 1), ("worker", worker, 2), ("look-up", len(looking), 1))
    return [
        Row(
            what=f"round trips to Redis per event, {what}",
            against="",
            values=(round(count / EVENTS, 1),),  # a few are of the start, not of an event
            unit="",
            must=must,
            aim=1,
            is_most=True,
            note=f"{count} for {EVENTS} events",
        )
        for what, count, must in counts
    ]


def read_names(monitored: Iterable[str]) -> Iterator[str]:
    """The commands that clients sent for an event's sake, of what MONITOR says."""
    for line in monitored:
        found = _LINE.match(line)
        if found and found["name"].upper() not in _BESIDE:
            yield found["name"].upper()


def _worker(scene: Scene, valkey: Valkey, channel: Upstream) -> int:
    """The backlog is there before the worker, so that nobody looks in vain before the end."""
    with scene.client(valkey) as client:
        fill.empty(client)
        fill.accept(client, "trip", range(EVENTS))
        with _monitored(valkey) as seen, scene.worker(valkey, channel.url(0)):
            wait_until(lambda: channel.calls >= EVENTS, LIMIT_SECONDS, "the worker's calls")
    return len(seen)


@contextmanager
def _monitored(valkey: Valkey) -> Iterator[list[str]]:
    """What is sent in here; complete when it is left."""
    seen: list[str] = []
    with create_connection(("127.0.0.1", valkey.port)) as connection:
        lines = connection.makefile(encoding="utf-8", errors="replace")
        connection.sendall(b"MONITOR\r\n")
        if lines.readline().strip() != "+OK":
            raise Invalid("Redis does not let itself be watched")
        thread = Thread(target=lambda: seen.extend(read_names(lines)))
        thread.start()
        try:
            yield seen
        finally:
            connection.shutdown(SHUT_RDWR)
            thread.join()


def _post(port: int, numbers: Iterable[int]) -> None:
    headers = {"Authorization": f"Bearer {SUBMIT_TOKEN}"}
    _each(
        lambda session, number: session.post(
            f"http://127.0.0.1:{port}/v1/events",
            json=event("trip", number).model_dump(exclude_none=True),
            headers=headers,
            timeout=10,
        ),
        numbers,
    )


def _get(port: int, numbers: Iterable[int]) -> None:
    headers = {"Authorization": f"Bearer {READ_TOKEN}"}
    _each(
        lambda session, number: session.get(
            f"http://127.0.0.1:{port}/v1/events/{event_id('trip', number)}",
            headers=headers,
            timeout=10,
        ),
        numbers,
    )


def _each(
    send: Callable[[requests.Session, int], requests.Response], numbers: Iterable[int]
) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for number in numbers:
            send(session, number).raise_for_status()
