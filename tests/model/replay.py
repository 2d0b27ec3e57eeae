"""Replays the model's steps on the real scripts, each step of the explored graph once.

For every state that the explorer finds, a relay with a prefix of its own stands in Redis, brought
there by the real scripts along the shortest way. Each step from the state is done to a copy of that
relay; the copy must then be in the state in which the model says it is. What the scripts read of a
record is all compared, so that one way to a state stands for all ways.
"""

from dataclasses import dataclass
from itertools import count

from redis import Redis

from app.chats.event import OnUnknown
from app.chats.grant import Grant
from app.store.calls import CallStore
from app.store.keys import Keys
from app.store.records import read_record
from tests.model.explorer import Explorer
from tests.model.specification import Specification
from tests.model.states import PLACE_OF, Record, State, Step
from tests.store.bench import EVENT_DEADLINE_MS, Bench
from tests.store.outcomes import OUTCOMES, created

EVENT = "e1"
PLACES = tuple(PLACE_OF.values())
SILENT = {"begin", "send", "give up sending", "crash"}  # Redis hears nothing of it
FAR_MS = 10**15


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be compared of a state, in the model and in Redis."""

    record: Record | None
    created: bool | None
    places: frozenset[str]
    taken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the scripts and the model part; the last step of ``trace`` is the one."""

    trace: str
    expected: Seen
    found: Seen


@dataclass(frozen=True, slots=True)
class World:
    """A real relay in one of the model's states, and the grants that its workers heard of."""

    bench: Bench
    grants: dict[int, Grant]


class Replay:
    """The relays of one replay, over one client; ``replayed`` counts what was done to them."""

    def __init__(self, client: Redis, specification: Specification) -> None:
        self.replayed = 0
        self._client = client
        self._specification = specification
        self._explorer = Explorer(specification)
        self._prefixes = (f"world-{number}" for number in count())
        self._first = Bench(client, Keys(next(self._prefixes)))
        self._first.open_gate()

    def first_difference(self) -> Difference | None:
        """Replay the graph up to the first step after which Redis is not where the model is."""
        worlds = {self._specification.start: World(self._first, {})}
        for before, steps in self._explorer.visits():
            for step, after in steps:
                if step.name in SILENT and after in worlds:
                    continue
                world = self._copy(worlds[before])
                self._act(world, step)
                if (expected := _expected(after)) != (found := self._found(world)):
                    trace = ", ".join(map(str, [*self._explorer.trace(before), step]))
                    return Difference(trace, expected, found)
                self._drop(world) if after in worlds else worlds.setdefault(after, world)
            self._drop(worlds[before])
        return None

    def _act(self, world: World, step: Step) -> None:
        if step.name in SILENT:
            return
        self.replayed += 1
        bench = world.bench
        match step:
            case Step("accept"):
                bench.accept(EVENT)
            case Step("expire"):
                bench.reply(self._worker(bench, event_deadline_ms=-1))
            case Step("lose worker"):
                bench.lose_worker(EVENT)
                bench.reply(self._worker(bench))
            case Step("flush"):
                self._flush(bench)
            case Step("roll back"):
                self._flush(bench)
                bench.accept(EVENT)
            case Step(name, int(turn), kind):
                self._act_in_turn(world, name, turn, kind)

    def _act_in_turn(self, world: World, name: str, turn: int, kind: str) -> None:
        worker, token = self._worker(world.bench), _token(turn)
        match name:
            case "take":
                taken = worker.take(token).taken
                assert isinstance(taken, Grant), taken
                world.grants[turn] = taken
            case "unheard take":
                worker.take(token)
            case "release":
                worker.release(token)
            case "settle" | "unheard settle":
                outcome = created(_chat_id(turn)) if kind == "created" else OUTCOMES[kind]
                worker.settle(world.grants[turn], outcome)
            case _:
                raise AssertionError(name)

    def _worker(self, bench: Bench, event_deadline_ms: int = EVENT_DEADLINE_MS) -> CallStore:
        policy = OnUnknown.RECREATE if self._specification.consents else OnUnknown.HOLD
        return bench.worker(on_unknown=policy, event_deadline_ms=event_deadline_ms)

    def _copy(self, world: World) -> World:
        """Another relay in the same state, whose gate is open, whose event is due if it waits, and
        whose lease and tokens end only when a step says so.
        """
        bench = Bench(self._client, Keys(next(self._prefixes)))
        with self._client.pipeline(transaction=False) as pipeline:
            for name in self._names:
                pipeline.copy(world.bench.key(name), bench.key(name))
            pipeline.copy(self._first.key("gate"), bench.key("gate"))
            pipeline.zadd(bench.key("due"), {EVENT: 1}, xx=True)
            pipeline.zadd(bench.key("calling"), {EVENT: FAR_MS}, xx=True)
            pipeline.execute()
        return World(bench, dict(world.grants))

    def _found(self, world: World) -> Seen:
        key = world.bench.key
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(key(f"event:{EVENT}"))
            for place in PLACES:
                pipeline.zscore(key(place), EVENT)
            for name in self._taken:
                pipeline.get(key(name))
                pipeline.persist(key(name))
            fields, *rest = pipeline.execute()
        scores, taken = rest[: len(PLACES)], rest[len(PLACES) :: 2]
        places = {place for place, score in zip(PLACES, scores, strict=True) if score is not None}
        return Seen(
            _record(fields) if fields else None,
            read_record(EVENT, fields).created if fields else None,
            frozenset(places),
            tuple("" if found is None else found and "grant" or "over" for found in taken),
        )

    def _flush(self, bench: Bench) -> None:
        self._client.unlink(*map(bench.key, self._names))

    def _drop(self, world: World) -> None:
        if world.bench is not self._first:
            passing = (name for name in ("gate", "bell", "user:u1", *self._chats))
            self._client.unlink(*map(world.bench.key, (*self._names, *passing)))

    @property
    def _taken(self) -> list[str]:
        return [f"taken:{_token(turn)}" for turn in range(self._specification.turns)]

    @property
    def _chats(self) -> list[str]:
        return [f"chat:{_chat_id(turn)}" for turn in range(self._specification.turns)]

    @property
    def _names(self) -> list[str]:
        return [f"event:{EVENT}", *PLACES, *self._taken]


def _expected(state: State) -> Seen:
    created_ = state.record.created if state.record else None
    return Seen(state.record, created_, state.places, tuple(turn.taken for turn in state.turns))


def _record(fields: dict[str, str]) -> Record:
    record = read_record(EVENT, fields)
    return Record(
        status=record.status.value,
        attempt=int(fields["attempt"]),
        attempts=record.attempts,
        token=_number(fields.get("token")),
        unknowns=int(fields.get("unknowns", 0)),
        consented="consented" in fields,
        orphan=record.possible_orphan,
        chat=_number(record.chat.id if record.chat else None),
        duplicates=frozenset(int(chat_id.removeprefix("chat-")) for chat_id in record.duplicate_chat_ids),
    )


def _token(turn: int) -> str:
    return f"turn-{turn}"


def _chat_id(turn: int) -> str:
    return f"chat-{turn}"


def _number(name: str | None) -> int | None:
    return None if name is None else int(name.rpartition("-")[2])
