"""The scene of every proof: a working relay and a stream of events."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.stack.deployment import Deployment
from tools.stack.load import EventPoster
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.relay import Process
from tools.stack.valkey import Valkey

START_TIMEOUT_SECONDS = 60
ANSWER_SECONDS = 3.0
UNAVAILABLE = (503, "1")  # status and Retry-After


@contextmanager
def fresh_redis(directory: Path) -> Iterator[Client]:
    """Run a Redis of the proof's own, for scripts without processes."""
    with Valkey(directory) as server, connect_to(server.url) as client:
        yield client


@contextmanager
def run_relay(deployment: Deployment, *, workers: int = 2, **settings: str) -> Iterator[Deployment]:
    """Run the services, one web and ``workers`` workers, and yield after a good probe.

    ``settings`` are for all of these processes.
    """
    with deployment:
        started = [deployment.start_worker(**settings) for _ in range(workers)]
        deployment.start_web(**settings).wait_until_ready()
        wait_until_working(started)
        yield deployment


def wait_until_working(workers: Sequence[Process]) -> None:
    """Return once all workers run, and one of them has made a good probe."""
    for worker in workers:
        worker.wait_for_line("worker_started")
    if workers:
        wait_until(
            lambda: any(worker.lines("probe_succeeded") for worker in workers),
            START_TIMEOUT_SECONDS,
            "a good probe",
        )


@contextmanager
def stop_workers(workers: Sequence[Process]) -> Iterator[None]:
    """Stop these workers with SIGSTOP, and resume them at the end of the context."""
    for worker in workers:
        worker.child.send_signal(signal.SIGSTOP)
    yield
    for worker in workers:
        worker.child.send_signal(signal.SIGCONT)


def find_bad_answers(load: EventPoster) -> Iterator[str]:
    """Yield a sentence for a refusal that is no 503 with ``Retry-After``, or a late answer."""
    if load.answers - {UNAVAILABLE}:
        yield f"callers were answered {sorted(load.answers, key=str)}"
    if load.slowest_seconds > ANSWER_SECONDS:
        yield f"a caller was answered after {load.slowest_seconds:.1f} s"


def post(deployment: Deployment, numbers: range, *, name: str = "e") -> list[str]:
    """Post one event for each of ``numbers``, each of its own user; return the ids."""
    event_ids = [f"{name}{number}" for number in numbers]
    for event_id in event_ids:
        event = {"event_id": event_id, "user_id": f"u-{event_id}"}
        deployment.caller.post(event).raise_for_status()
    return event_ids
