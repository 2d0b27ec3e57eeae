"""Proofs of the rate: shared by workers, paused by a 429, lowered by Channel.io."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from tools.prove.account import Fault, account
from tools.prove.scene import post, run_relay, stop_workers
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour, ChannelIo, Request
from tools.stack.deployment import ACCESS_KEY, ACCESS_SECRET, Deployment
from tools.stack.processes import wait_until

RATE_PER_SECOND = 20
BURST = 10
CALLS_IN_FLIGHT = 2
EVENTS = 70

PAUSE_SECONDS = 3
# Calls that were granted before the 429 was settled may still arrive.
NOTICE_SECONDS = 1.0

LOWER_PER_SECOND = 5
CONFIGURED_PER_SECOND = 50
LATENCY_SECONDS = 0.2
LOWER_EVENTS = 110
FINDING_SECONDS = 8
MOST_REFUSED_IN_A_SECOND = 4


def proofs() -> Sequence[Proof]:
    """Return the proofs of few and many workers, a 429, and a lower limit."""
    return [
        *(
            Proof(f"{workers} workers share one rate", partial(_share, workers), workers == 2)
            for workers in (2, 5, 10)
        ),
        Proof(f"a 429 with Retry-After: {PAUSE_SECONDS}", _pause, is_short=False),
        Proof("the rate limit is a tenth of what is configured", _find_limit, is_short=False),
    ]


def calls_of(deployment: Deployment) -> list[Request]:
    """Return every request of a create, in order."""
    return [request for request in deployment.channel_io.requests if request.method == "POST"]


def find_overruns(
    times: Sequence[float], rate_per_second: float, burst: int, calls_in_flight: int
) -> Iterator[str]:
    """Find the first window with more calls than allowed.

    Calls are counted when they arrive. Calls that were granted before a window may arrive in it, at
    most ``calls_in_flight`` of them.
    """
    for first, began in enumerate(times):
        for number, at in enumerate(times[first:], start=1):
            most = burst + rate_per_second * (at - began) + calls_in_flight
            if number > most + 1:
                yield f"{number} calls within {at - began:.2f} s, at most {most:.0f} allowed"
                return


def _share(workers: int, directory: Path, _random: Random) -> ProofRow:
    deployment = Deployment(
        directory,
        WORKER_CONCURRENCY=str(CALLS_IN_FLIGHT),
        RATE_LIMIT_PER_SECOND=str(RATE_PER_SECOND),
        RATE_LIMIT_BURST=str(BURST),
    )
    with run_relay(deployment, workers=workers):
        with stop_workers(deployment.workers):
            post(deployment, range(EVENTS))
        row = account(deployment, Fault(name=f"{workers} workers share one rate"))
        times = [call.at for call in calls_of(deployment)]
        return row.with_faults(
            find_overruns(times, RATE_PER_SECOND, BURST, workers * CALLS_IN_FLIGHT)
        )


def _pause(directory: Path, _random: Random) -> ProofRow:
    """Send each kind of 429, one after the other; all workers must pause."""
    ways = (Behaviour.THROTTLED, Behaviour.THROTTLED_RESET)
    deployment = Deployment(directory, WORKER_CONCURRENCY=str(CALLS_IN_FLIGHT))
    with run_relay(deployment, workers=3):
        faults = [
            fault
            for number, way in enumerate(ways)
            for fault in _throttle_once(deployment, way, number * EVENTS)
        ]
        name = f"a 429 with Retry-After: {PAUSE_SECONDS}"
        return account(deployment, Fault(name=name, times=len(ways)), faults)


def _throttle_once(deployment: Deployment, way: Behaviour, first: int) -> Iterator[str]:
    known = len(calls_of(deployment))
    deployment.channel_io.plan(way, seconds=PAUSE_SECONDS, retry_after=str(PAUSE_SECONDS))
    post(deployment, range(first, first + 5))
    (throttled, *_) = wait_until(lambda: calls_of(deployment)[known:], 30, "the 429")
    _sleep_until(throttled.at + NOTICE_SECONDS)
    post(deployment, range(first + 5, first + 25))
    _sleep_until(throttled.at + PAUSE_SECONDS)
    # x-ratelimit-reset is in whole seconds, and may be up to one too early.
    shortest = PAUSE_SECONDS - (way is Behaviour.THROTTLED_RESET)
    after = [call.at - throttled.at for call in calls_of(deployment)[known:]]
    early = [seconds for seconds in after if NOTICE_SECONDS < seconds < shortest]
    if early:
        yield f"{len(early)} calls in the pause of a 429, the first after {early[0]:.2f} s"


def _sleep_until(instant: float) -> None:
    time.sleep(max(0, instant - time.time()))


def _find_limit(directory: Path, _random: Random) -> ProofRow:
    deployment = Deployment(
        directory,
        WORKER_CONCURRENCY="8",
        RATE_LIMIT_PER_SECOND=str(CONFIGURED_PER_SECOND),
        RATE_LIMIT_BURST=str(CONFIGURED_PER_SECOND),
    )
    deployment.channel_io = ChannelIo(
        ACCESS_KEY,
        ACCESS_SECRET,
        limit_per_second=LOWER_PER_SECOND,
        burst=LOWER_PER_SECOND,
        latency_seconds=LATENCY_SECONDS,
    )
    with run_relay(deployment, workers=3):
        post(deployment, range(LOWER_EVENTS))
        row = account(
            deployment, Fault(name="the rate limit is a tenth of what is configured", times=1)
        )
        return row.with_faults(_too_many_refused(deployment))


def _too_many_refused(deployment: Deployment) -> Iterator[str]:
    """Check how many calls were refused in the worst second, after the limit was found."""
    calls = calls_of(deployment)
    # All events are opened, so the last call for each was good, and the earlier ones refused.
    good = {call.path: call for call in calls}
    refused = [call.at for call in calls if good[call.path] is not call]
    late = [at for at in refused if at - calls[0].at > FINDING_SECONDS]
    worst = max((sum(began <= at < began + 1 for at in late) for began in late), default=0)
    if worst > MOST_REFUSED_IN_A_SECOND:
        yield f"{worst} calls were refused within a second, long after the limit could be found"
