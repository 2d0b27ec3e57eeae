"""Scenes in which the clock of Redis jumps back, for the real scripts in virtual time.

Each scene is played with and without the jump. With the jump, a call or a probe may be up to
``MOST_LATE_MS`` later than without it, and not earlier; that bounds the rate as well.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from app.chats.outcome import Created, Outcome, Throttled
from app.chats.record import Chat
from tools.model.outcomes import UNKNOWN
from tools.model.virtual import LIMITS, Simulation, VirtualWorker
from tools.prove.rate import find_overruns
from tools.stack.redis_client import Client

RATE = replace(LIMITS, rate_per_second=10, burst=5)
JUMP_AT_MS = 4000
LASTS_MS = 40_000
CLOCK_MS = 10  # instants are whole milliseconds, and so are round trips
MOST_LATE_MS = 2000
BACKS_MS = (1500, 40_000, 300_000, 3_600_000)

Scene = Callable[[Client, int], Simulation]


def _create(_way: str, event_id: str) -> Outcome:
    return Created(Chat(f"chat-{event_id}"))


def _play(simulation: Simulation, back_ms: int) -> Simulation:
    simulation.at(JUMP_AT_MS, lambda: simulation.time.turn_back(back_ms))
    simulation.run_until(LASTS_MS)
    return simulation


def events_wait(client: Client, back_ms: int) -> Simulation:
    """120 events are due, and are called at the limited rate."""
    simulation = Simulation(client, answer=_create, limits=RATE)
    for _ in range(2):
        simulation.start_worker()
    for number in range(120):
        simulation.accept_at(JUMP_AT_MS // 2, f"e{number:03}")
    return _play(simulation, back_ms)


def a_429_pauses_all(client: Client, back_ms: int) -> Simulation:
    """The first answer is a 429 for ten seconds."""

    def answer(way: str, event_id: str) -> Outcome:
        is_first = len(simulation.calls) == 0
        return Throttled(10_000) if is_first else _create(way, event_id)

    simulation = Simulation(client, answer=answer, limits=RATE)
    simulation.start_worker(slots=1)
    for number in range(50):
        simulation.accept_at(JUMP_AT_MS // 2, f"e{number:03}")
    return _play(simulation, back_ms)


def the_breaker_is_open(client: Client, back_ms: int) -> Simulation:
    """The first answers are lost, which opens the breaker."""

    def answer(way: str, event_id: str) -> Outcome:
        is_first = len(simulation.calls) < RATE.threshold
        return UNKNOWN if is_first else _create(way, event_id)

    simulation = Simulation(client, answer=answer, limits=RATE)
    simulation.start_worker(slots=RATE.threshold)
    for number in range(50):
        simulation.accept_at(JUMP_AT_MS // 2, f"e{number:03}")
    return _play(simulation, back_ms)


def a_probe_is_leased(client: Client, back_ms: int) -> Simulation:
    """The worker with the lease of the probe is lost."""
    simulation = Simulation(client, answer=_create, limits=RATE)
    lost = simulation.start_worker()
    simulation.at(1, lambda: _lose(lost))
    simulation.at(1000, simulation.start_worker)
    simulation.accept_at(JUMP_AT_MS // 2, "e")
    return _play(simulation, back_ms)


def a_trial_is_out(client: Client, back_ms: int) -> Simulation:
    """The worker with the trial is lost."""
    simulation = Simulation(client, answer=_create, limits=RATE)
    lost = simulation.start_worker()
    simulation.at(1000, lambda: simulation.bench.set_gate(state="half_open"))
    simulation.accept_at(2000, "trial")
    simulation.at(2100, lambda: _lose(lost))
    simulation.at(2200, simulation.start_worker)
    for number in range(20):
        simulation.accept_at(3000, f"e{number:03}")
    return _play(simulation, back_ms)


def _lose(worker: VirtualWorker) -> None:
    worker.is_lost = True


SCENES: Sequence[Scene] = (
    events_wait,
    a_429_pauses_all,
    the_breaker_is_open,
    a_probe_is_leased,
    a_trial_is_out,
)


def find_faults(expected: Simulation, found: Simulation) -> Iterator[str]:
    """Compare calls and probes with those that were made without the jump."""
    yield from _differences("event", _first_calls_ms(expected), _first_calls_ms(found))
    yield from _differences("probe", expected.probes_ms, found.probes_ms)
    called_at = [call.at_ms / 1000 for call in found.calls]
    yield from find_overruns(called_at, RATE.rate_per_second, RATE.burst, 0)


def _first_calls_ms(simulation: Simulation) -> list[int]:
    """Return when each event was first called; later calls may be delayed by a backoff."""
    first: dict[str, int] = {}
    for call in simulation.calls:
        first.setdefault(call.event_id, call.at_ms)
    return [*first.values()]


def _differences(what: str, expected: Sequence[int], found: Sequence[int]) -> Iterator[str]:
    if len(expected) != len(found):
        yield f"{len(found)} {what}s instead of {len(expected)}"
    for number, (there, here) in enumerate(zip(expected, found, strict=False)):
        if here > there + MOST_LATE_MS:
            yield f"{what} {number} is {here - there} ms late"
        if here < there - CLOCK_MS:
            yield f"{what} {number} is {there - here} ms early"
