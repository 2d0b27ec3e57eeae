"""Faults of Redis, and of the line to it, while callers keep posting.

Every caller is answered within three seconds, with an acceptance or a 503; no worker spins or ends.
Afterwards nothing is lost, and nothing was called twice.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import cast

from tools.prove.account import Fault, account, wait_until_settled
from tools.prove.scene import (
    ANSWER_SECONDS,
    UNAVAILABLE,
    find_bad_answers,
    post,
    run_relay,
)
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import LONG_CALLS, Deployment
from tools.stack.load import EventPoster
from tools.stack.processes import free_port, wait_until
from tools.stack.redis_client import Client
from tools.stack.redis_line import RedisLine
from tools.stack.relay import Process

LASTS_SECONDS = 3.0
PAUSE_SECONDS = 0.2
# A worker that spins on a broken Redis exceeds one of these.
MOST_CPU_SHARE = 0.25
MOST_MESSAGES_PER_SECOND = 1500
LOST_SHARE = 0.1
JUNK_KEYS = 12_000


@dataclass(frozen=True)
class LineScene:
    """A relay whose processes reach Redis through a proxy that fails."""

    deployment: Deployment
    line: RedisLine
    random: Random


@dataclass(frozen=True)
class Trouble:
    """Something that breaks while the context lasts.

    ``refuses``: callers get 503 if true, none does if false, and some may if None.
    """

    name: str
    broken: Callable[[LineScene], AbstractContextManager[None]]
    refuses: bool | None = True
    is_short: bool = False
    valkey_arguments: Sequence[str] = ()


def proofs() -> Sequence[Proof]:
    """Return one proof for each trouble, and one of a flushed Redis."""
    return [
        *(Proof(each.name, partial(_prove, each), each.is_short) for each in _TROUBLES),
        Proof("Redis is flushed", _flush, is_short=False),
    ]


def _prove(trouble: Trouble, directory: Path, random: Random) -> ProofRow:
    deployment = Deployment(directory, valkey_arguments=trouble.valkey_arguments)
    with (
        RedisLine(deployment.valkey.port) as line,
        run_relay(deployment, REDIS_URL=line.url),
        _loaded(deployment) as load,
    ):
        load.wait_for_more()
        faults = _break(trouble, LineScene(deployment, line, random))
        over_at = time.monotonic()
        load.wait_for_more()
        load.end()
        note = f"{len(load.refusals)} answered 503, slowest {load.slowest_seconds:.1f} s"
        times = line.losses or 1
        doing = Fault(name=trouble.name, times=times, over_at=over_at, note=note)
        return account(deployment, doing, [*faults, *_find_wrong_refusals(load, trouble)])


@contextmanager
def _loaded(deployment: Deployment) -> Iterator[EventPoster]:
    """Run callers, and stop them at the end of the context."""
    load = EventPoster(deployment.caller, PAUSE_SECONDS)
    try:
        yield load
    finally:
        load.stop()


def _break(trouble: Trouble, place: LineScene) -> list[str]:
    workers, line = place.deployment.workers, place.line
    with trouble.broken(place):
        began, sent_before = time.monotonic(), line.said
        used = sum(map(_cpu_seconds, workers))
        faults = [*_look_up(place.deployment, until=began + LASTS_SECONDS)]
        lasted = time.monotonic() - began
        share = (sum(map(_cpu_seconds, workers)) - used) / lasted / len(workers)
        sent = line.said - sent_before
        if share > MOST_CPU_SHARE or sent / lasted > MOST_MESSAGES_PER_SECOND:
            faults.append(f"workers spin: {share:.0%} of a core, {sent} messages with Redis")
    ended = [worker for worker in workers if worker.child.poll() is not None]
    return [*faults, *(f"{worker.log.stem} ended" for worker in ended)]


def _look_up(deployment: Deployment, *, until: float) -> Iterator[str]:
    """Look a record up repeatedly; each answer is 200 or 503, and in time."""
    path = f"/v1/events/{min(deployment.accepted)}"
    while (began := time.monotonic()) < until:
        answer = deployment.caller.get(path)
        given = (answer.status_code, answer.headers.get("Retry-After"))
        if given not in {(200, None), UNAVAILABLE}:
            yield f"a look-up was answered {given}"
        if (seconds := time.monotonic() - began) > ANSWER_SECONDS:
            yield f"a look-up was answered after {seconds:.1f} s"
        time.sleep(PAUSE_SECONDS)


def _cpu_seconds(process: Process) -> float:
    """Read utime and stime: https://www.man7.org/linux/man-pages/man5/proc_pid_stat.5.html."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _find_wrong_refusals(load: EventPoster, trouble: Trouble) -> Iterator[str]:
    """Yield a sentence for bad or late answers, and for refusals that do not fit the trouble."""
    yield from find_bad_answers(load)
    if trouble.refuses is not None and trouble.refuses is not bool(load.refusals):
        yield f"callers were answered {len(load.refusals)} times to repeat"


@contextmanager
def _losing(place: LineScene, *, resets: bool) -> Iterator[None]:
    place.line.lose(place.random, LOST_SHARE, resets=resets)
    yield
    place.line.mend()


@contextmanager
def _cut(place: LineScene) -> Iterator[None]:
    place.line.cut()
    yield
    place.line.mend()


@contextmanager
def _slow(place: LineScene) -> Iterator[None]:
    place.line.delay_seconds = 0.2
    yield
    place.line.delay_seconds = 0


@contextmanager
def _frozen(place: LineScene) -> Iterator[None]:
    place.deployment.valkey.pause()
    yield
    place.deployment.valkey.resume()


@contextmanager
def _read_only(place: LineScene) -> Iterator[None]:
    with place.deployment.connect() as client:
        client.replicaof("127.0.0.1", free_port())
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def _out_of_memory(place: LineScene) -> Iterator[None]:
    with place.deployment.connect() as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextmanager
def _snapshot_failing(place: LineScene) -> Iterator[None]:
    """Cause MISCONF: a directory has the name of the snapshot."""
    in_the_way = place.deployment.valkey.directory / "dump.rdb"
    in_the_way.mkdir()
    with place.deployment.connect() as client:
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: _snapshot(client) == "err", 10, "a snapshot that fails")
        yield
        client.config_set("save", "")
        in_the_way.rmdir()


def _snapshot(client: Client) -> str:
    return str(cast("dict[str, str]", client.info("persistence"))["rdb_last_bgsave_status"])


@contextmanager
def _forgetting_scripts(place: LineScene) -> Iterator[None]:
    """Cause NOSCRIPT again and again."""
    over = Event()

    def forget() -> None:
        with place.deployment.connect() as client:
            while not over.wait(0.02):
                client.script_flush()

    forgetting = Thread(target=forget)
    forgetting.start()
    yield
    over.set()
    forgetting.join()


@contextmanager
def _loading(place: LineScene) -> Iterator[None]:
    """Cause LOADING: Redis is killed, and reads a long file at its next start."""
    valkey = place.deployment.valkey
    with place.deployment.connect() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(JUNK_KEYS):
            pipeline.set(f"junk-{number}", number)
        pipeline.execute()
    valkey.kill()
    back = Thread(target=valkey.start)
    back.start()
    yield
    back.join()


_TROUBLES = (
    Trouble("replies from Redis are lost", partial(_losing, resets=False), refuses=None),
    Trouble("connections to Redis are reset", partial(_losing, resets=True), refuses=None),
    Trouble("packets to Redis are dropped", _cut, is_short=True),
    Trouble("the line to Redis is slow", _slow, refuses=None),
    Trouble("Redis is frozen", _frozen),
    Trouble("Redis is READONLY", _read_only),
    Trouble("Redis is out of memory: OOM", _out_of_memory),
    Trouble("Redis cannot write its snapshot: MISCONF", _snapshot_failing),
    Trouble("Redis forgets the scripts: NOSCRIPT", _forgetting_scripts, refuses=False),
    Trouble(
        "Redis is killed, and LOADING after its start",
        _loading,
        valkey_arguments=(
            "--appendfsync", "always", "--key-load-delay", "300",
            "--loading-process-events-interval-bytes", "1024",
        ),
    ),
)  # fmt: skip


def _flush(directory: Path, _random: Random) -> ProofRow:
    """Flush Redis: settled and waiting events are lost; calls in flight are restored."""
    in_flight = 8
    with run_relay(Deployment(directory, **LONG_CALLS)) as deployment:
        settled = post(deployment, range(20), name="settled")
        wait_until_settled(deployment)
        deployment.channel_io.always(Behaviour.CREATE_THEN_WAIT)
        called = post(deployment, range(in_flight), name="called")
        deployment.channel_io.wait_for_arrivals(in_flight)
        waiting = post(deployment, range(5), name="waiting")
        with deployment.connect() as client:
            client.flushall()
        over_at = time.monotonic()
        deployment.channel_io.behave_well()
        deployment.channel_io.release()
        post(deployment, range(20), name="after")
        wait_until_settled(deployment)
        records = [deployment.caller.find(event_id) for event_id in called]
        faults = [
            f"{event_id} was called when Redis was flushed, and is not opened"
            for event_id, record in zip(called, records, strict=True)
            if record is None or record["status"] != "opened"
        ]
        doing = Fault(
            name="Redis is flushed",
            over_at=over_at,
            forgotten={*settled, *waiting},
            note=f"{len(settled) + len(waiting)} events lost, {in_flight} restored",
        )
        return account(deployment, doing, faults)
