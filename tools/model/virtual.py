"""Real scripts in virtual time: a relay with simulated workers, callers and clock.

Hours pass in seconds: nothing sleeps. Lua that precedes each script replaces the clock that the
script reads, so the clock can jump while time passes evenly.
"""

import hashlib
import heapq
import json
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, cast

from app import store
from app.chats.event import OpenChatEvent
from app.chats.grant import Grant, NoWork, Probe, new_token
from app.chats.outcome import Outcome
from app.store.client import Argument, RedisClient
from app.store.grants import GrantStore, Limits
from app.store.keys import Keys
from app.store.scripts import read_script
from tools.model.store_driver import WAY, StoreDriver
from tools.stack.redis_client import Client

DIGESTS = {
    hashlib.sha1(read_script(path.stem).encode(), usedforsecurity=False).hexdigest(): path.stem
    for path in (Path(store.__file__).parent / "lua").glob("*.lua")
}

# The settings' defaults.
LIMITS = Limits(rate_per_second=10, burst=100, threshold=5, cooldown_ms=5000)
SLOTS = 16
DAY_MS = 86_400_000

START_MS = 1_764_547_200_000
ROUND_TRIP_MS = 1
FULL_TAKE_MS = 1000
CALL_MS = 300
PROBE_MS = 100

# ARGV: the script's argument, the clock.
_CLOCK = """
local real, clock = redis, tonumber(ARGV[2])
local redis = {pcall = real.pcall, call = function(name, ...)
  if name == 'TIME' then return {math.floor(clock / 1000), (clock % 1000) * 1000} end
  return real.call(name, ...)
end}
"""

# The outcome of a call, by its worker's way and the event's id.
Answer = Callable[[str, str], Outcome]
# The problem that a probe finds, by its worker's way; None if the way is good.
Examine = Callable[[str], str | None]


@dataclass
class Time:
    """The milliseconds that have passed, and Redis' clock, which may be set back."""

    passed_ms: int = 0
    back_ms: int = 0

    @property
    def redis_ms(self) -> int:
        """Redis' clock."""
        return START_MS + self.passed_ms - self.back_ms

    def turn_back(self, ms: int) -> None:
        """Let Redis' clock jump back."""
        self.back_ms += ms


class VirtualRedis:
    """A client that runs scripts at the time that ``time`` shows, with seeded jitter."""

    def __init__(self, client: Client, time: Time, random: Random) -> None:
        """Load no script yet."""
        self._client = client
        self._time = time
        self._random = random
        self._digests: dict[str, str] = {}

    def execute(self, *command: Argument) -> Any:
        """Run a script; no other command is accepted."""
        name, digest, _, tag, packed = command
        assert name == "EVALSHA"
        assert isinstance(packed, bytes)
        arguments = json.loads(packed)
        if "random" in arguments:
            arguments["random"] = self._random.random()
        return self._client.relay.execute(
            "EVALSHA", self._load(str(digest)), 1, tag, json.dumps(arguments), self._time.redis_ms
        )

    def _load(self, digest: str) -> str:
        if digest not in self._digests:
            text = _CLOCK + read_script(DIGESTS[digest])
            self._digests[digest] = str(self._client.relay.execute("SCRIPT", "LOAD", text))
        return self._digests[digest]


def attach_clock(client: Client, time: Time) -> Client:
    """Return a copy of the client whose scripts read the clock of ``time``."""
    virtual = copy(client)
    redis = VirtualRedis(client, time, Random(0))  # noqa: S311 - no secret
    virtual.relay = cast("RedisClient", redis)
    return virtual


@dataclass(frozen=True)
class VirtualCall:
    """One call, ``at_ms`` milliseconds after the start."""

    at_ms: int
    event_id: str
    way: str
    outcome: Outcome


@dataclass(eq=False)
class VirtualWorker:
    """A worker process: its taker and its free slots. A lost worker does nothing more."""

    simulation: "Simulation"
    way: str
    store: GrantStore
    free: int
    turn: int = 0  # the wake-up of an earlier turn does nothing
    is_lost: bool = False

    def take(self) -> None:
        """Take like the real taker, and schedule its next take."""
        may_grant = self.free > 0
        decision = self.store.take(new_token(), may_grant=may_grant).decision
        match decision:
            case Grant() as grant:
                self._call(grant)
                self.take_after(ROUND_TRIP_MS)
            case Probe(token):
                self._probe(token)
                self.take_after(ROUND_TRIP_MS)
            case NoWork() if not may_grant:
                self.take_after(FULL_TAKE_MS)
            case NoWork(wait_ms, is_idle):
                self.take_after(max(wait_ms, ROUND_TRIP_MS))
                if is_idle:
                    self.simulation.waiters.append(self)

    def take_after(self, ms: int) -> None:
        """Take after ``ms`` milliseconds, and not before."""
        self.turn += 1
        turn = self.turn
        if self in self.simulation.waiters:
            self.simulation.waiters.remove(self)
        self._after(ms, lambda: self.take() if turn == self.turn else None)

    def _call(self, grant: Grant) -> None:
        simulation = self.simulation
        outcome = simulation.answer(self.way, grant.event_id)
        now_ms = simulation.time.passed_ms
        simulation.calls.append(VirtualCall(now_ms, grant.event_id, self.way, outcome))
        self._occupy(simulation.call_ms, lambda: simulation.settle(self.store, grant, outcome))

    def _probe(self, token: str) -> None:
        problem = self.simulation.examine(self.way)
        self.simulation.probes_ms.append(self.simulation.time.passed_ms)
        self._occupy(PROBE_MS, lambda: self.store.report_probe(token, problem=problem))

    def _occupy(self, ms: int, act: Callable[[], object]) -> None:
        self.free -= 1

        def end() -> None:
            act()
            self.free += 1
            if self.free == 1:  # the taker waits for a slot
                self.take_after(ROUND_TRIP_MS)

        self._after(ms, end)

    def _after(self, ms: int, act: Callable[[], object]) -> None:
        self.simulation.after(ms, lambda: None if self.is_lost else act())


@dataclass(eq=False)
class Simulation:
    """A simulated relay and its schedule."""

    client: Client
    answer: Answer
    examine: Examine = lambda _way: None
    limits: Limits = LIMITS
    call_ms: int = CALL_MS
    time: Time = field(default_factory=Time)
    calls: list[VirtualCall] = field(default_factory=list)
    probes_ms: list[int] = field(default_factory=list)
    accepted_ms: dict[str, int] = field(default_factory=dict)
    ended_ms: dict[str, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    waiters: list[VirtualWorker] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with an empty Redis, and no worker."""
        self.client.flushall()
        self.bench = StoreDriver(attach_clock(self.client, self.time), Keys("relay"))
        self._intake = self.bench.intake(record_ttl_seconds=30 * DAY_MS // 1000, max_backlog=10**6)
        self._agenda: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = count()
        self._last_acceptance_ms = 0

    def start_worker(self, way: str = WAY, slots: int = SLOTS) -> VirtualWorker:
        """Start a worker process whose calls use ``way``."""
        store = self.bench.worker(way=way, limits=self.limits, event_deadline_ms=DAY_MS)
        worker = VirtualWorker(self, way, store, slots)
        worker.take_after(0)
        return worker

    def accept(self, event_id: str) -> None:
        """Accept an event."""
        event = OpenChatEvent.model_validate({"event_id": event_id, "user_id": "u1"})
        self._intake.accept(event)
        self.accepted_ms[event_id] = self.time.passed_ms

    def accept_at(self, at_ms: int, event_id: str) -> None:
        """Schedule the acceptance of an event, ``at_ms`` after the start."""
        self._last_acceptance_ms = max(at_ms, self._last_acceptance_ms)
        self.at(at_ms, lambda: self.accept(event_id))

    def settle(self, store: GrantStore, grant: Grant, outcome: Outcome) -> None:
        """Settle a call's outcome, and record when its event ended."""
        result = store.settle(grant, outcome).effect
        if result in {"opened", "failed"}:
            self.ended_ms[grant.event_id] = self.time.passed_ms
        if result == "failed":
            self.failed.add(grant.event_id)

    def at(self, at_ms: int, act: Callable[[], object]) -> None:
        """Schedule ``act``, ``at_ms`` after the start."""
        heapq.heappush(self._agenda, (at_ms, next(self._numbers), act))

    def after(self, ms: int, act: Callable[[], object]) -> None:
        """Schedule ``act``, ``ms`` from now."""
        self.at(self.time.passed_ms + ms, act)

    def run_until(self, at_ms: int) -> None:
        """Let time pass."""
        while self._agenda and self._agenda[0][0] <= at_ms:
            self.time.passed_ms, _, act = heapq.heappop(self._agenda)
            act()
            self._ring()
        self.time.passed_ms = at_ms

    def run_until_over(self, most_ms: int) -> None:
        """Let time pass until every event has ended, or until ``most_ms``."""
        self.run_until(self._last_acceptance_ms)
        while len(self.ended_ms) < len(self.accepted_ms) and self.time.passed_ms < most_ms:
            self.run_until(self.time.passed_ms + 1000)

    def longest_wait_ms(self, prefix: str) -> int:
        """Return the longest wait of an event with this prefix, including events still waiting."""
        return max(
            self.ended_ms.get(event_id, self.time.passed_ms) - at_ms
            for event_id, at_ms in self.accepted_ms.items()
            if event_id.startswith(prefix)
        )

    def _ring(self) -> None:
        """Wake one idle worker for each ring of the bell."""
        while self.waiters and self.client.relay.execute("LPOP", self.bench.key("bell")):
            self.waiters[0].take_after(ROUND_TRIP_MS)
