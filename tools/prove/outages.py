"""Outages of Channel.io, or nonsense answers, while many events wait.

Over all workers, an outage may cost ``BREAKER_THRESHOLD`` unknown events and the calls in flight,
plus one for each probe while reads work and creates do not. It costs none where nothing was
executed. All other events are opened afterwards, oldest first, at the limited rate.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from tools.prove.account import Fault, account, records_of
from tools.prove.rate import calls_of, find_overruns
from tools.prove.scene import post, run_relay, stop_workers
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.processes import wait_until

EVENTS = 60
WORKERS = 2
CALLS_IN_FLIGHT = 8
THRESHOLD = 3
COOLDOWN_SECONDS = 0.3
LASTS_SECONDS = 2.5
LOOK_SECONDS = 0.25
SIGN_TIMEOUT_SECONDS = 30
RATE_PER_SECOND = 40
BURST = 20

SETTINGS = {
    "WORKER_CONCURRENCY": str(CALLS_IN_FLIGHT // WORKERS),
    "CALL_DEADLINE_SECONDS": "1",
    "BREAKER_THRESHOLD": str(THRESHOLD),
    "BREAKER_COOLDOWN_SECONDS": str(COOLDOWN_SECONDS),
    "RATE_LIMIT_PER_SECOND": str(RATE_PER_SECOND),
    "RATE_LIMIT_BURST": str(BURST),
}

# While the file exists, Channel.io's name is not resolved; an audit hook sees every look-up.
HOST = "localhost"
NAMELESS = "nameless"
_DEAF = """
import os, socket, sys

def refuse(event, arguments):
    if event == "socket.getaddrinfo" and arguments[0] == {host!r} and os.path.exists({path!r}):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

sys.addaudithook(refuse)
"""


@dataclass(frozen=True)
class OutageScenario:
    """One kind of outage: how it begins and ends, and its highest cost.

    ``burns``: the result of some calls stays unknown. ``reads_work``: probes succeed.
    ``threshold`` is the number of calls that trip the breaker; ``sign`` is the log event by which a
    worker reports the outage. ``is_denied``: a failed probe of the way is repeated after each
    cool-down; only the breaker's cool-down doubles.
    """

    name: str
    begin: Callable[[Deployment, Random], None]
    end: Callable[[Deployment], None]
    burns: bool = False
    reads_work: bool = False
    threshold: int = THRESHOLD
    sign: str = "breaker"
    is_denied: bool = False
    is_short: bool = False

    def most_calls(self, probes: int) -> int:
        """Return how many creates may be called after ``probes`` probes."""
        return self.threshold + CALLS_IN_FLIGHT + (probes if self.reads_work else 0)


def proofs() -> Sequence[Proof]:
    """Return one proof for each outage."""
    return [Proof(outage.name, partial(_prove, outage), outage.is_short) for outage in _OUTAGES]


def _prove(outage: OutageScenario, directory: Path, random: Random) -> ProofRow:
    deployment = Deployment(directory, **SETTINGS)
    with run_relay(deployment, workers=WORKERS, **_settings(deployment)):
        probes_before, began = _probes(deployment), time.monotonic()
        with stop_workers(deployment.workers):
            outage.begin(deployment, random)
            event_ids = post(deployment, range(EVENTS))
        faults = [*_wait_for(outage, deployment), *_wait_out(deployment)]
        probes, calls = _probes(deployment) - probes_before, len(calls_of(deployment))
        faults += _too_many(outage, probes, calls, time.monotonic() - began)
        outage.end(deployment)
        doing = Fault(name=outage.name, over_at=time.monotonic())
        row = account(deployment, doing, faults)
        return row.with_faults([*_costs(outage, row, probes), *_after(deployment, event_ids)])


def _settings(deployment: Deployment) -> dict[str, str]:
    """Give workers a host name, and a hook that can block its resolution."""
    hook = _DEAF.format(host=HOST, path=str(deployment.directory / NAMELESS))
    (deployment.directory / "sitecustomize.py").write_text(hook)
    url = deployment.channel_io.url.replace("127.0.0.1", HOST)
    return {"PYTHONPATH": str(deployment.directory), "CHANNEL_API_URL": url}


def _wait_for(outage: OutageScenario, deployment: Deployment) -> Iterator[str]:
    try:
        wait_until(
            lambda: any(worker.lines(outage.sign) for worker in deployment.workers),
            SIGN_TIMEOUT_SECONDS,
            outage.sign,
        )
    except TimeoutError:
        yield f"no worker has logged {outage.sign}"


def _wait_out(deployment: Deployment) -> Iterator[str]:
    """Wait while the outage lasts, and check that intake works."""
    over_at = time.monotonic() + LASTS_SECONDS
    while time.monotonic() < over_at:
        if not deployment.caller.is_ready():
            yield "/readyz is not 200 in an outage of Channel.io"
        time.sleep(LOOK_SECONDS)


def _too_many(outage: OutageScenario, probes: int, calls: int, seconds: float) -> Iterator[str]:
    if calls > outage.most_calls(probes):
        yield f"{calls} calls in an outage, at most {outage.most_calls(probes)} allowed"
    cooldowns = seconds / COOLDOWN_SECONDS
    # One probe may be under way at each end.
    most = (cooldowns if outage.is_denied else math.log2(cooldowns + 1)) + 2
    if outage.sign == "breaker" and probes > most:
        yield f"{probes} probes in {seconds:.1f} s, at most {most:.0f} allowed"


def _costs(outage: OutageScenario, row: ProofRow, probes: int) -> Iterator[str]:
    most = outage.most_calls(probes) if outage.burns else 0
    if row.unknown > most:
        yield f"{row.unknown} events are unknown, at most {most} allowed"
    if row.failed:
        yield f"{row.failed} events failed"


def _after(deployment: Deployment, event_ids: Sequence[str]) -> Iterator[str]:
    """Check that events were called oldest first, and at the limited rate."""
    misplaced = mean_displacement(_waited(deployment, event_ids), _created(deployment))
    if misplaced > CALLS_IN_FLIGHT:
        yield f"events went {misplaced:.1f} places from their turn on average"
    times = [call.at for call in calls_of(deployment)]
    yield from find_overruns(times, RATE_PER_SECOND, BURST, CALLS_IN_FLIGHT)


def _waited(deployment: Deployment, event_ids: Sequence[str]) -> list[str]:
    """Return the users of events without a call in the outage, which no backoff moved."""
    records = records_of(deployment)
    found = [record for event_id in event_ids if (record := records[event_id])]
    return [record["user_id"] for record in found if record["attempts"] == 1]


def _created(deployment: Deployment) -> list[str]:
    return [create.user_id for create in deployment.creates]


def mean_displacement(expected: Sequence[str], actual: Sequence[str]) -> float:
    """Return how many places each of those in both is from where it should be, on average."""
    wanted = [name for name in expected if name in set(actual)]
    places = {name: place for place, name in enumerate(n for n in actual if n in set(wanted))}
    distances = [abs(place - places[name]) for place, name in enumerate(wanted)]
    return sum(distances) / max(1, len(distances))


def _probes(deployment: Deployment) -> int:
    return sum(request.method == "GET" for request in deployment.channel_io.requests)


def _behave(*behaviours: Behaviour, probes: bool = True) -> Callable[[Deployment, Random], None]:
    """Build a begin that answers creates, and perhaps probes, by ``behaviours``."""

    def begin(deployment: Deployment, random: Random) -> None:
        deployment.channel_io.plan(*random.choices(behaviours, k=EVENTS))
        deployment.channel_io.always(behaviours[0])
        if probes:
            deployment.channel_io.probe_with(random.choice(behaviours))

    return begin


def _behave_well(deployment: Deployment) -> None:
    deployment.channel_io.behave_well()


def _stop(deployment: Deployment, _random: Random) -> None:
    deployment.channel_io.stop()


def _start(deployment: Deployment) -> None:
    deployment.channel_io.start()


def _block_name(deployment: Deployment, _random: Random) -> None:
    (deployment.directory / NAMELESS).touch()


def _resolve_name(deployment: Deployment) -> None:
    (deployment.directory / NAMELESS).unlink()


def _misconfigure(deployment: Deployment, _random: Random) -> None:
    deployment.kill_workers()
    for _ in range(WORKERS):
        deployment.start_worker(CHANNEL_API_URL=f"{deployment.channel_io.url}9")


def _configure(deployment: Deployment) -> None:
    deployment.kill_workers()
    for _ in range(WORKERS):
        deployment.start_worker()


_SERVER_ERRORS = (
    Behaviour.UNAVAILABLE,
    Behaviour.SERVER_ERROR,
    Behaviour.BAD_GATEWAY_HTML,
    Behaviour.GATEWAY_TIMEOUT,
)
_MOVED = (
    Behaviour.REDIRECT,
    Behaviour.REDIRECT_307,
    Behaviour.METHOD_NOT_ALLOWED,
    Behaviour.GONE,
)

_OUTAGES = (
    OutageScenario(
        "Channel.io answers 5xx", _behave(*_SERVER_ERRORS), _behave_well, burns=True, is_short=True
    ),
    OutageScenario(
        "Channel.io answers 5xx to creates, and well to reads",
        _behave(*_SERVER_ERRORS, probes=False),
        _behave_well,
        burns=True,
        reads_work=True,
    ),
    OutageScenario("Channel.io is silent", _behave(Behaviour.SILENCE), _behave_well, burns=True),
    OutageScenario(
        "an edge answers 200 with HTML", _behave(Behaviour.HTML_200), _behave_well, burns=True
    ),
    OutageScenario("Channel.io refuses connections", _stop, _start),
    OutageScenario("Channel.io's name is not resolved", _block_name, _resolve_name),
    OutageScenario(
        "the credentials are refused",
        _behave(Behaviour.UNAUTHORIZED, Behaviour.FORBIDDEN),
        _behave_well,
        threshold=1,
        is_denied=True,
    ),
    OutageScenario(
        "Channel.io has moved: 3xx, 405, 410",
        _behave(*_MOVED),
        _behave_well,
        threshold=1,
        is_denied=True,
    ),
    OutageScenario("the base URL is wrong", _misconfigure, _configure, sign="probe_failed"),
)
