"""Scenes of denied events and ways, and their cost to good events, on the real scripts."""

from collections.abc import Callable
from dataclasses import dataclass

from app.chats.outcome import Created, Outcome
from app.chats.record import Chat
from tools.model.outcomes import DENIED
from tools.model.virtual import Answer, Simulation
from tools.stack.redis_client import Client

KEY, OLD_KEY = "key", "old-key"
START_MS = 1000
MINUTE_MS = 60_000
GOOD, BAD = "good", "bad"


@dataclass(frozen=True)
class WayScene:
    """One scene; ``play`` runs it for a number of minutes.

    A good event may wait ``most_seconds``, and if ``is_outage``, also while the trouble lasts. The
    full scene lasts ``minutes``, the short one ``short_minutes``.
    """

    name: str
    play: Callable[[Client, float], Simulation]
    most_seconds: float
    minutes: float
    short_minutes: float
    is_outage: bool = False

    def figures(self, simulation: Simulation) -> str:
        """Format the longest wait of a good event, and the number of good events that failed."""
        longest = simulation.longest_wait_ms(GOOD) / 1000
        return f"good ones waited {longest:.1f} s at most, {len(_burned(simulation))} failed"

    def faults(self, simulation: Simulation, minutes: float) -> list[str]:
        """Return a sentence for each good event that failed, and for too long a wait."""
        longest = simulation.longest_wait_ms(GOOD) / 1000
        most = self.most_seconds + (60 * minutes if self.is_outage else 0)
        late = [f"a good event waited for {longest:.1f} s, at most {most:.0f} allowed"]
        return [
            *(late if longest > most else []),
            *(f"{event_id} failed" for event_id in _burned(simulation)),
        ]


def _burned(simulation: Simulation) -> list[str]:
    return [event_id for event_id in simulation.failed if event_id.startswith(GOOD)]


def _play_old_key(client: Client, minutes: float) -> Simulation:
    """Change the key; one of two workers continues with the old one."""

    def is_old(way: str) -> bool:
        return way == OLD_KEY and simulation.time.passed_ms >= 5 * START_MS

    simulation = Simulation(
        client,
        answer=_deny(lambda way, _: is_old(way)),
        examine=lambda way: "401" if is_old(way) else None,
    )
    simulation.start_worker(KEY)
    simulation.start_worker(OLD_KEY)
    _accept_regularly(simulation, GOOD, minutes, every_ms=500)
    simulation.run_until_over(_after(minutes))
    return simulation


def _play_burst(client: Client, _minutes: float) -> Simulation:
    """Queue all bad events before all good ones."""
    simulation = _two_workers(client)
    simulation.run_until(START_MS)
    for number in range(12):
        simulation.accept(f"{BAD}-{number}")
    for number in range(60):
        simulation.accept(f"{GOOD}-{number}")
    simulation.run_until_over(MINUTE_MS)
    return simulation


def _play_quick_burst(client: Client, _minutes: float) -> Simulation:
    """Post bad events that are denied one after the other: each opens the breaker."""
    simulation = _two_workers(client)
    simulation.call_ms = 5
    for number in range(72):
        name = f"{BAD}-{number}" if number < 12 else f"{GOOD}-{number}"
        simulation.accept_at(START_MS + 5 * number, name)
    simulation.run_until_over(MINUTE_MS)
    return simulation


def _play_stream(client: Client, minutes: float) -> Simulation:
    """Post bad events among good ones all the time."""
    simulation = _two_workers(client)
    _accept_regularly(simulation, GOOD, minutes, every_ms=500)
    for number in range(2):
        _accept_regularly(simulation, f"{BAD}-{number}", minutes, every_ms=10_000)
    simulation.run_until_over(_after(minutes))
    return simulation


def _play_wrong_key(client: Client, minutes: float) -> Simulation:
    """Make the key wrong while calls are under way, and right again at the end."""
    return _play_denied(client, minutes, are_reads_denied=True)


def _play_denied_creates(client: Client, minutes: float) -> Simulation:
    """Deny creates alone; probes succeed."""
    return _play_denied(client, minutes, are_reads_denied=False)


def _play_denied(client: Client, minutes: float, *, are_reads_denied: bool) -> Simulation:
    begins_ms, ends_ms = 5 * START_MS, 5 * START_MS + minutes * MINUTE_MS

    def is_wrong() -> bool:
        return begins_ms <= simulation.time.passed_ms < ends_ms

    simulation = Simulation(
        client,
        answer=_deny(lambda *_: is_wrong()),
        examine=lambda _: "401" if are_reads_denied and is_wrong() else None,
    )
    for _ in range(2):
        simulation.start_worker()
    for number in range(2):
        _accept_regularly(simulation, f"{GOOD}-{number}", minutes, every_ms=5000)
    simulation.run_until_over(_after(minutes))
    return simulation


def _two_workers(client: Client) -> Simulation:
    """Start two workers; only bad events are denied."""
    simulation = Simulation(client, answer=_deny(lambda _, event_id: event_id.startswith(BAD)))
    for _ in range(2):
        simulation.start_worker()
    return simulation


def _deny(is_denied: Callable[[str, str], bool]) -> Answer:
    def answer(way: str, event_id: str) -> Outcome:
        return DENIED if is_denied(way, event_id) else Created(Chat(f"chat-{event_id}"))

    return answer


def _accept_regularly(simulation: Simulation, name: str, minutes: float, every_ms: int) -> None:
    for at_ms in range(START_MS, START_MS + int(minutes * MINUTE_MS), every_ms):
        simulation.accept_at(at_ms, f"{name}-{at_ms}")


def _after(minutes: float) -> int:
    return int((minutes + 10) * MINUTE_MS)


SCENES = (
    WayScene("one of two workers has an old key for ten minutes", _play_old_key, 7, 10, 0.5),
    WayScene("12 bad events before 60 good ones", _play_burst, 3.5, 1, 1),
    WayScene(
        "12 bad events that are denied at once before 60 good ones", _play_quick_burst, 7, 1, 1
    ),
    WayScene(
        "two bad events every ten seconds among two good ones a second", _play_stream, 2, 10, 0.5
    ),
    WayScene("a wrong key for an hour", _play_wrong_key, 70, 60, 1, is_outage=True),
    WayScene(
        "creates are denied for an hour, reads work", _play_denied_creates, 150, 60, 1,
        is_outage=True,
    ),
)  # fmt: skip
