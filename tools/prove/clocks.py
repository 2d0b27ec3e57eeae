"""Proofs about time: stopped workers, and a Redis whose clock jumps.

A worker may be stopped for longer than its lease and then resumed: its late answer opens a held
event, or becomes a duplicate chat. A clock may jump: nothing is called twice, and no event is stuck
for longer than the longest legal delay.
"""

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Protocol

from tools.prove.account import Fault, account, open_events, wait_until_settled
from tools.prove.rate import calls_of
from tools.prove.scene import post, run_relay, stop_workers
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import LONG_CALLS, Deployment, Json
from tools.stack.load import EventPoster
from tools.stack.processes import wait_until
from tools.stack.relay import Process
from tools.stack.valkey import Valkey

PAUSE_SECONDS = 0.2
CALLS = 4
ROUNDS = 2

LEASE_SECONDS = 6.0  # the shortest call deadline here, 1 s, and the margin of 5 s
STOPS = 3

JUMPS = 4
WAITING = 5
MOST_HOURS = 6
# No event may be due later than this, and the gate's instants are limited too.
LONGEST_DELAY_SECONDS = 121
LIBRARIES = "*/faketime/libfaketime.so.1"


def proofs() -> Sequence[Proof]:
    """Workers that are stopped, and clocks that jump."""
    return [
        Proof(_LATE, _answer_late, is_short=True),
        Proof(_STOPPED, _stop_at_random, is_short=False),
        Proof(_JUMPING, _jump, is_short=False),
    ]


_LATE = "a worker is stopped until its lease expires, and then resumed"
_STOPPED = "workers are stopped at random moments, for longer than their leases"
_JUMPING = "the clock of Redis jumps by hours, ahead and back"


def _answer_late(directory: Path, random: Random) -> ProofRow:
    with run_relay(Deployment(directory, **LONG_CALLS), workers=1) as deployment:
        faults = [
            fault
            for number in range(ROUNDS)
            for fault in _outlive_lease(deployment, random, f"round{number}-")
        ]
        return account(deployment, Fault(name=_LATE, times=ROUNDS, may_recreate=True), faults)


def _outlive_lease(deployment: Deployment, random: Random, name: str) -> Iterator[str]:
    """Stop a worker during its calls; another worker finds them lost; resume the first."""
    stopped = deployment.worker()
    event_ids = _hold_calls(deployment, random, name)
    stopped.child.send_signal(signal.SIGSTOP)
    deployment.expire_leases()
    deployment.start_worker()
    wait_until(lambda: not open_events(deployment), 30, "all calls to be found lost")
    found = {event_id: deployment.caller.record(event_id) for event_id in event_ids}
    deployment.channel_io.release()
    stopped.child.send_signal(signal.SIGCONT)
    yield from _late_answers(deployment, found)
    stopped.kill()


def _hold_calls(deployment: Deployment, random: Random, name: str) -> list[str]:
    """Start as many calls as the worker makes at once; the stand-in holds them."""
    ways = [Behaviour.CREATE_THEN_WAIT, Behaviour.WAIT_THEN_CREATE]
    deployment.channel_io.plan(*random.choices(ways, k=CALLS))
    event_ids = [f"{name}{number}" for number in range(CALLS)]
    for event_id in event_ids:
        on_unknown = random.choice(["hold", "recreate"])
        event = {"event_id": event_id, "user_id": f"u-{event_id}", "on_unknown": on_unknown}
        deployment.caller.post(event).raise_for_status()
    deployment.channel_io.wait_for_arrivals(CALLS, timeout_seconds=30)
    return event_ids


def _late_answers(deployment: Deployment, found: Mapping[str, Json]) -> Iterator[str]:
    """Check that late answers open held events, and are kept by opened ones."""

    def is_kept(event_id: str) -> bool:
        record = deployment.caller.record(event_id)
        return bool(record["duplicate_chat_ids"] if found[event_id]["chat"] else record["chat"])

    with suppress(TimeoutError):
        wait_until(lambda: all(map(is_kept, found)), 20, "the late answers")
    for event_id, before in found.items():
        if not is_kept(event_id):
            yield f"{event_id} was {before['status']}, and its late answer is not kept"


def _stop_at_random(directory: Path, random: Random) -> ProofRow:
    """Stop workers in real time, so that deadlines pass meanwhile; no record is rewritten."""
    deployment = Deployment(directory, CALL_DEADLINE_SECONDS="1")
    with run_relay(deployment):
        deployment.channel_io.always(Behaviour.CREATE_SLOW, seconds=0.1)
        load = EventPoster(deployment.caller, PAUSE_SECONDS)
        for _ in range(STOPS):
            _stop_one(random.choice(deployment.workers), random)
        load.end()
        over_at = time.monotonic()
        _wait_for_calls(deployment)
        return account(deployment, Fault(name=_STOPPED, times=STOPS, over_at=over_at))


def _wait_for_calls(deployment: Deployment) -> None:
    """Return once all calls have ended; a lost event is held before its call ends.

    Raises TimeoutError.
    """
    wait_until_settled(deployment)

    def have_ended() -> bool:
        ended = sum(len(worker.lines("call")) for worker in deployment.workers)
        return ended >= len(calls_of(deployment))

    wait_until(have_ended, 20, "the calls under way to end")


def _stop_one(worker: Process, random: Random) -> None:
    time.sleep(random.uniform(0.5, 1.5))
    with stop_workers([worker]):
        time.sleep(LEASE_SECONDS + 1)


class RedisClock(Protocol):
    """The clock of a Redis, which can jump."""

    def jump(self, seconds: float) -> None:
        """Move it ahead, or back."""


class FakedClock:
    """The server's own clock, moved by https://github.com/wolfcw/libfaketime."""

    def __init__(self, library: Path, offset: Path) -> None:
        self._library = library
        self._offset = offset
        self._seconds = 0.0
        self.jump(0)

    @property
    def environ(self) -> dict[str, str]:
        """Return the server's environment."""
        return {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: float) -> None:
        """Move it ahead, or back."""
        self._seconds += seconds
        written = self._offset.with_suffix(".new")
        written.write_text(f"{self._seconds:+f}\n")
        written.rename(self._offset)


# A record's instants by which an event is scheduled or ends.
_INSTANTS = json.dumps(["accepted_ms", "deadline_from_ms", "settled_ms"])
# Moves all stored instants by ARGV[1] milliseconds at once.
_MOVE = """
local by = tonumber(ARGV[1])
for _, name in ipairs({'due', 'calling', 'held', 'failed'}) do
  local queue = KEYS[1] .. ':' .. name
  for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    redis.call('ZINCRBY', queue, by, id)
  end
end
local gate = KEYS[1] .. ':gate'
local instants =
  {'tat', 'pause_until', 'slow_until', 'open_until', 'trial_until', 'probe_until:breaker'}
for _, name in ipairs(instants) do
  local stored = redis.call('HGET', gate, name)
  if stored then redis.call('HSET', gate, name, string.format('%.0f', stored + by)) end
end
for _, key in ipairs(redis.call('KEYS', KEYS[1] .. ':event:*')) do
  local record = cjson.decode(redis.call('GET', key))
  for _, name in ipairs(cjson.decode(ARGV[2])) do
    record[name] = record[name] and record[name] + by
  end
  redis.call('SET', key, cjson.encode(record), 'KEEPTTL')
end
"""


class StillClock:
    """A clock that seems to jump: all stored instants are moved instead."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def jump(self, seconds: float) -> None:
        """Move all stored instants into the past or the future."""
        with self._deployment.connect() as client:
            client.eval(_MOVE, 1, "{relay}", str(round(-seconds * 1000)), _INSTANTS)


def clock_of(deployment: Deployment) -> RedisClock:
    """Return the clock of the deployment's Redis, before it is started."""
    library = next(Path("/usr/lib").glob(LIBRARIES), None)
    if library is None:
        return StillClock(deployment)
    clock = FakedClock(library, deployment.directory / "offset")
    deployment.valkey = Valkey(deployment.directory / "valkey", environ=clock.environ)
    return clock


def _jump(directory: Path, random: Random) -> ProofRow:
    deployment = Deployment(directory)
    clock = clock_of(deployment)
    with run_relay(deployment):
        deployment.channel_io.always(Behaviour.CREATE_SLOW, seconds=0.3)
        ways = random.sample([-1, 1] * (JUMPS // 2), JUMPS)
        hours = [way * random.uniform(1, MOST_HOURS) for way in ways]
        faults = [fault for each in hours for fault in _jump_once(deployment, clock, 3600 * each)]
        _wait_for_calls(deployment)
        means = "libfaketime" if isinstance(clock, FakedClock) else "by rewriting instants"
        return account(deployment, Fault(name=_JUMPING, times=JUMPS, note=means), faults)


def _jump_once(deployment: Deployment, clock: RedisClock, seconds: float) -> Iterator[str]:
    """Jump under load; all events must be settled once the longest delay has passed."""
    load = EventPoster(deployment.caller, PAUSE_SECONDS)
    load.wait_for_more()
    with stop_workers(deployment.workers):
        post(deployment, range(WAITING), name=f"jump{seconds:.0f}-")
        clock.jump(seconds)
    load.wait_for_more()
    load.end()
    if load.answers:
        yield f"callers were answered {sorted(load.answers, key=str)}"
    clock.jump(LONGEST_DELAY_SECONDS)
    try:
        wait_until(lambda: not open_events(deployment), 30, "all events to be settled")
    except TimeoutError:
        yield f"{open_events(deployment)} events are stuck after a jump of {seconds:+.0f} s"
