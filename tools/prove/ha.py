"""Proofs of fail-overs: sentinels, a cluster, and an address that changes its server.

``MIN_REPLICAS_ACKED`` is the number of replicas that can be promoted, so each promoted server has
all confirmed writes. The servers are the wheel's Valkey, and Debian's Redis 7 if it is installed.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Self

from tools.prove.account import Fault, account, wait_until_settled
from tools.prove.ha_servers import (
    QUICK,
    Address,
    Cluster,
    RedisServer,
    Sentinels,
    run_cluster,
    run_sentinels,
)
from tools.prove.scene import find_bad_answers, post, run_relay
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.load import EventPoster, event_with_tasks, plain_event
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.relay import Json

OUTAGE_TIMEOUT_SECONDS = 60
CALL_SECONDS = 0.3
KILLS = 2
# A message that may have been sent is looked for once its lease and three deadlines are over.
SHORT_TASKS = {"BOT_NAME": "Relay", "CALL_DEADLINE_SECONDS": "1"}
MOST_SENDS = 2
STALL_SECONDS = 3.0
REDIS = "redis-server"


def proofs() -> Sequence[Proof]:
    """Faults of a Redis that consists of several servers."""
    return [
        *_on_each("the primary behind sentinels is killed", _primary_killed),
        *_on_each("the cluster node with the relay's slot is killed", _owner_killed),
        _proof("the relay's slot is moved to another node", _slot_moved),
        _proof("sentinels and servers are frozen", _silent),
        _proof("the replica that must confirm is stalled", _replica_stalled, is_short=True),
        _proof("a fail-over loses the last writes", _last_writes_lost),
        _proof("a fail-over loses the last writes, unconfirmed ones", _unconfirmed_writes_lost),
        _proof("tasks: the primary behind sentinels is killed", _primary_killed_with_tasks),
        _proof(
            "tasks: a fail-over loses the last writes, unconfirmed ones", _unconfirmed_tasks_lost
        ),
    ]


def _proof(
    name: str, prove: Callable[[str, Path, Random], ProofRow], *, is_short: bool = False
) -> Proof:
    return Proof(name, partial(prove, name), is_short)


def _on_each(name: str, prove: Callable[[str, Path, Random, Path | None], ProofRow]) -> list[Proof]:
    """Return the proof on the wheel's Valkey, and on Debian's Redis 7."""
    found, on_redis = shutil.which(REDIS), f"{name}, Redis 7"

    def run(directory: Path, random: Random) -> ProofRow:
        return prove(name, directory, random, None)

    def run_on_redis(directory: Path, random: Random) -> ProofRow:
        return prove(on_redis, directory, random, Path(found)) if found else _not_proved(on_redis)

    return [Proof(name, run, is_short=False), Proof(on_redis, run_on_redis, is_short=False)]


def _not_proved(name: str) -> ProofRow:
    """Build the row of a proof that could not run."""
    why = f"NOT PROVED: {REDIS} is not installed; apt-get install --no-install-recommends {REDIS}"
    return ProofRow(name=name, times=0, note=why)


class HaDeployment(Deployment):
    """A relay on servers that are running already."""

    def __init__(self, directory: Path, redis_url: str, **settings: str) -> None:
        """Start nothing yet."""
        super().__init__(directory, REDIS_URL=redis_url, **settings)
        self._redis_url = redis_url

    def __enter__(self) -> Self:
        """Start the stand-in; no web and no worker yet."""
        self.channel_io.start()
        return self

    def connect(self) -> Client:
        """Connect a client whose ``relay`` finds its server as the relay does."""
        return connect_to(self._redis_url)


class RelayLoad:
    """Load on every web of a deployment, and how long callers were refused."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        are_served: bool = True,
        event_of: Callable[[str], Json] = plain_event,
    ) -> None:
        """Begin."""
        self._are_served = are_served
        self._loads = [EventPoster(one, event_of=event_of) for one in deployment.callers]

    def __enter__(self) -> Self:
        """Return once all webs accept events, unless ``are_served`` is false."""
        if self._are_served:
            self.wait_for_more()
        return self

    def __exit__(self, *_: object) -> None:
        """Post nothing more."""
        for load in self._loads:
            load.stop()

    def wait_for_more(self) -> None:
        """Return once every web has accepted some more events. Raises TimeoutError."""
        wanted = [load.accepted + 5 for load in self._loads]

        def are_served() -> bool:
            return all(load.accepted >= n for load, n in zip(self._loads, wanted, strict=True))

        wait_until(are_served, OUTAGE_TIMEOUT_SECONDS, "events to be accepted")

    def end(self) -> None:
        """Stop posting, and return once every posted event is accepted."""
        for load in self._loads:
            load.end()

    @property
    def accepted(self) -> int:
        """Return how many events were accepted."""
        return sum(load.accepted for load in self._loads)

    @property
    def refused(self) -> int:
        """Return how many answers were 503."""
        return sum(len(load.refusals) for load in self._loads)

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each web whose callers were answered badly, or late."""
        for load in self._loads:
            yield from find_bad_answers(load)


@contextmanager
def _run_relay_on(
    directory: Path, redis_url: str, *, acks: int, **settings: str
) -> Iterator[HaDeployment]:
    """Run two webs and two workers that require ``acks`` confirmations of each write.

    A call takes a while, so some are always under way.
    """
    deployment = HaDeployment(directory, redis_url, MIN_REPLICAS_ACKED=str(acks), **settings)
    deployment.channel_io.always(Behaviour.CREATE_SLOW, seconds=CALL_SECONDS)
    with run_relay(deployment):
        deployment.start_web().wait_until_ready()
        yield deployment


def _primary_killed(name: str, directory: Path, random: Random, binary: Path | None) -> ProofRow:
    with run_sentinels(directory / "redis", binary) as redis:
        return _kill_one_by_one(name, directory, random, redis)


def _owner_killed(name: str, directory: Path, random: Random, binary: Path | None) -> ProofRow:
    with run_cluster(directory / "redis", binary) as redis:
        return _kill_one_by_one(name, directory, random, redis)


def _primary_killed_with_tasks(name: str, directory: Path, random: Random) -> ProofRow:
    with run_sentinels(directory / "redis", None) as redis:
        return _kill_one_by_one(name, directory, random, redis, event_of=event_with_tasks)


def _kill_one_by_one(
    name: str,
    directory: Path,
    random: Random,
    redis: Sentinels | Cluster,
    *,
    event_of: Callable[[str], Json] = plain_event,
) -> ProofRow:
    """Kill the primary under load, twice, and start it again after each fail-over."""
    outages = []
    with (
        _run_relay_on(directory, redis.url, acks=2, **SHORT_TASKS) as deployment,
        RelayLoad(deployment, event_of=event_of) as callers,
    ):
        for _ in range(KILLS):
            time.sleep(random.uniform(0, 1))
            over_at, outage_seconds = _kill(redis, callers)
            outages.append(f"{outage_seconds:.1f} s")
            redis.wait_until_whole()
        callers.end()
        note = f"refused for {' and '.join(outages)}"
        doing = Fault(name=name, times=KILLS, over_at=over_at, note=note)
        return account(deployment, doing, callers.faults())


def _kill(redis: Sentinels | Cluster, callers: RelayLoad) -> tuple[float, float]:
    """Kill the primary; return when it was started again, and the seconds of the outage."""
    killed = redis.primary
    killed.kill()
    began = time.monotonic()
    wait_until(lambda: redis.primary is not killed, OUTAGE_TIMEOUT_SECONDS, "a fail-over")
    killed.start()
    back_at = time.monotonic()
    callers.wait_for_more()
    return back_at, time.monotonic() - began


def _slot_moved(name: str, directory: Path, random: Random) -> ProofRow:
    with (
        run_cluster(directory / "redis") as redis,
        _run_relay_on(directory, redis.url, acks=0) as deployment,
        RelayLoad(deployment) as callers,
    ):
        others = [node for node in redis.nodes[:3] if node is not redis.primary]
        for node in random.sample(others, len(others)):
            redis.move_slot(node)
            over_at = time.monotonic()
            callers.wait_for_more()
        callers.end()
        note = f"{callers.refused} times answered 503"
        doing = Fault(name=name, times=len(others), over_at=over_at, note=note)
        return account(deployment, doing, callers.faults())


def _silent(name: str, directory: Path, random: Random) -> ProofRow:
    """Freeze all servers: connections are accepted, and nothing is sent on them."""
    with (
        run_sentinels(directory / "redis") as redis,
        _run_relay_on(directory, redis.url, acks=2) as deployment,
        RelayLoad(deployment) as callers,
    ):
        servers = redis.all
        for server in servers:
            server.pause()
        time.sleep(STALL_SECONDS + random.uniform(0, 2))
        for server in servers:
            server.resume()
        over_at = time.monotonic()
        callers.wait_for_more()
        callers.end()
        note = f"{callers.refused} times answered 503"
        return account(deployment, Fault(name=name, over_at=over_at, note=note), callers.faults())


def _replica_stalled(name: str, directory: Path, _random: Random) -> ProofRow:
    """Drop the replica's packets: writes are stored, and not confirmed."""
    with _one_replica(directory) as (primary, replica, line):
        replica.follow(line.port)
        primary.wait_for_replicas(1)
        with _run_relay_on(directory, primary.url, acks=1) as deployment:
            post(deployment, range(10), name="before")
            wait_until_settled(deployment)
            called_before = len(deployment.channel_io.requests)
            line.cut()
            with RelayLoad(deployment, are_served=False) as callers:
                time.sleep(STALL_SECONDS)
                called = len(deployment.channel_io.requests) - called_before
                accepted = callers.accepted
                line.mend()
                over_at = time.monotonic()
                callers.wait_for_more()
                callers.end()
            faults = [
                *callers.faults(),
                *(["an event was accepted without its confirmation"] if accepted else []),
                *([f"{called} calls without a confirmed intent"] if called else []),
            ]
            note = f"{callers.refused} times answered 503"
            return account(deployment, Fault(name=name, over_at=over_at, note=note), faults)


def _last_writes_lost(name: str, directory: Path, random: Random) -> ProofRow:
    return _lose_last_writes(name, directory, random, acks=1)


def _unconfirmed_writes_lost(name: str, directory: Path, random: Random) -> ProofRow:
    return _lose_last_writes(name, directory, random, acks=0)


def _unconfirmed_tasks_lost(name: str, directory: Path, random: Random) -> ProofRow:
    return _lose_last_writes(name, directory, random, acks=0, event_of=event_with_tasks)


def _lose_last_writes(
    name: str,
    directory: Path,
    random: Random,
    *,
    acks: int,
    event_of: Callable[[str], Json] = plain_event,
) -> ProofRow:
    with _one_replica(directory) as (primary, replica, line), Address(primary.port) as address:
        replica.follow(line.port)
        primary.wait_for_replicas(1)
        with (
            _run_relay_on(directory, address.url, acks=acks, **SHORT_TASKS) as deployment,
            RelayLoad(deployment, event_of=event_of) as callers,
        ):
            for old, new in ((primary, replica), (replica, primary)):
                line.cut()
                time.sleep(random.uniform(1, STALL_SECONDS))
                _replace(old, new, line, address)
                over_at = time.monotonic()
                callers.wait_for_more()
            callers.end()
            note = f"{callers.refused} times answered 503"
            doing = Fault(name=name, times=KILLS, over_at=over_at, note=note)
            row = account(deployment, doing, callers.faults())
            return row if acks else _fine_print(row, deployment)


def _fine_print(row: ProofRow, deployment: Deployment) -> ProofRow:
    """Report lost events as fine print: without confirmation, writes may be lost."""
    creates = Counter(create.user_id for create in deployment.creates)
    twice = sum(number > 1 for number in creates.values())
    note = "FINE PRINT: this is what a fail-over costs without MIN_REPLICAS_ACKED"
    lost = row.accepted - row.opened - row.failed - row.unknown
    sent = Counter(message.chat_id for message in deployment.messages)
    faults = [f"{chat} has {count} messages" for chat, count in sent.items() if count > MOST_SENDS]
    return replace(row, created_twice=twice, lost=lost, faults=tuple(faults), note=note)


def _replace(old: RedisServer, new: RedisServer, line: Address, address: Address) -> None:
    """Promote a replica that is behind, and make the old primary its replica."""
    new.lead()
    address.lead_to(new.port)
    old.kill()
    old.start()
    line.lead_to(new.port)
    old.follow(line.port)
    new.wait_for_replicas(1)


@contextmanager
def _one_replica(directory: Path) -> Iterator[tuple[RedisServer, RedisServer, Address]]:
    """Run a primary, its later replica, and the line between them."""
    with ExitStack() as stack:
        primary, replica = (
            stack.enter_context(RedisServer(directory / "redis" / part, arguments=QUICK))
            for part in ("a", "b")
        )
        yield primary, replica, stack.enter_context(Address(primary.port))
