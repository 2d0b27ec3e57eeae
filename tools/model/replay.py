"""Replay of the model's steps on the real scripts.

For each state of the model, as far as Redis holds it, the real scripts bring a relay with a prefix
of its own to that state, along the shortest way. Each script that the model runs from there is run
on a copy of that relay, and the copy is compared with the model's next state. Everything that the
scripts read of an event is compared, so one way to a state is enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.chats.event import OnUnknown
from app.chats.grant import Grant
from app.chats.record import Chat
from app.store.grants import GrantStore
from app.store.operations import ABANDONED, LoggedChat
from app.store.records import (
    chat_fields,
    failure_fields,
    parse_fields,
    read_record,
    tokens_of,
)
from app.store.scripts import Scripts
from tools.model.explorer import Explorer
from tools.model.outcomes import OUTCOMES, created
from tools.model.relays import Relays
from tools.model.specification import FORGED, Specification, commands_of
from tools.model.states import OTHER_CHAT, PLACE_OF, ModelRecord, ModelStep, State
from tools.model.store_driver import HOUR_MS, TTL_SECONDS, WAY, StoreDriver
from tools.model.virtual import START_MS, Time, attach_clock
from tools.stack.redis_client import Client

EVENT = "e1"
OPERATOR = "anna"
USER = "u1"  # of the driver's events
PLACES = tuple(PLACE_OF.values())
# Steps in which no script changes Redis.
SILENT = {"begin", "send", "give up sending", "crash", "cut", "look up"}
RECOVER = {"recover", "recover trusted", "recover forged"}
FAR_MS = 10**15
# Lives are two windows apart, by a clock that moves only when one ends.
LIFE_MS = 2 * TTL_SECONDS * 1000


class Seen(NamedTuple):
    """The parts of a state that Redis holds."""

    record: ModelRecord | None
    created: bool | None
    places: frozenset[str]
    taken: tuple[str, ...]
    lives: int


class ScriptRun(NamedTuple):
    """One run of a script, for all steps that are the same to Redis."""

    seen: Seen
    name: str
    turn: int | None
    kind: str
    grant: ModelRecord | None
    command: ModelStep | None
    number: int
    life: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between scripts and model after the last step of ``trace``.

    It is in Redis (``found``), or in the grant that a take returned.
    """

    trace: str
    expected: object
    found: object
    returned: object


class Replay:
    """The relays of one replay, over one client; ``scripts_run`` counts the comparisons."""

    def __init__(self, client: Client, specification: Specification) -> None:
        self.scripts_run = 0
        self._time = Time()
        self._client = client = attach_clock(client, self._time)
        self._specification = specification
        self._explorer = Explorer(specification)
        self._relays = Relays(client, _seen(specification.start), self._names)
        self._grants: dict[tuple[int, ModelRecord], Grant] = {}

    def first_difference(self) -> Difference | None:
        """Replay the whole graph, up to the first difference."""
        self._relays.first.open_gate()
        for run, expected, before, step in self._runs():
            self._time.passed_ms = run.seen.lives * LIFE_MS
            relay = self._relays.at(run.seen)
            returned = self._run(relay, run)
            found = self._found(relay, lives=expected.lives)
            if found != expected or returned != _reply_record(run, expected):
                return Difference(self._explorer.trace(before, step), expected, found, returned)
            self._relays.keep(found, relay)
        return None

    def _runs(self) -> Iterator[tuple[ScriptRun, Seen, State, ModelStep]]:
        done = set()
        for before, steps in self._explorer.visits():
            seen, seen_there = _seen(before), _seen(_at_old(before))
            for step, after in steps:
                if step.name in SILENT:
                    continue
                run = _run_of(step, before, seen_there if step.is_old else seen)
                if run not in done:
                    done.add(run)
                    yield run, _seen(_at_old(after) if step.is_old else after), before, step

    def _run(self, relay: StoreDriver, run: ScriptRun) -> ModelRecord | None:
        self.scripts_run += 1
        match run.name:
            case "accept":
                relay.accept(EVENT)
            case "expire":
                relay.reply(self._worker(relay, event_deadline_ms=-1))
            case "lose worker":
                relay.lose_worker(EVENT)
                relay.reply(self._worker(relay))
            case "flush" | "end":
                self._flush(relay, has_tokens=run.name == "end")
            case "roll back":
                self._flush(relay)
                relay.accept(EVENT)
            case "take" | "release" | "settle" if run.turn is not None:
                return self._run_in_turn(relay, run, run.turn)
            case name if name in RECOVER:
                self._recover(relay, run)
            case _:
                self._operate(relay, run)
        return None

    def _run_in_turn(self, relay: StoreDriver, run: ScriptRun, turn: int) -> ModelRecord | None:
        worker, token = self._worker(relay), _token(turn)
        if run.name == "take":
            taken = worker.take(token).decision
            if not isinstance(taken, Grant):
                return None
            grant = self._record(taken.stored_fields)
            self._grants[turn, grant] = taken
            return grant
        if run.name == "release":
            worker.release(token)
        elif run.grant is not None:
            is_created = run.kind == "created"
            kind = run.kind.removeprefix("own ")
            outcome = created(_chat_id(turn)) if is_created else OUTCOMES[kind]
            if kind != run.kind:
                successes = relay.fields().get("denied", {}).get("successes", 0)
                relay.set_gate(**{f"successes:{WAY}": successes + 1})
            worker.settle(self._grants[turn, run.grant], outcome)
        return None

    def _recover(self, relay: StoreDriver, run: ScriptRun) -> None:
        """Read back the log line of the turn's chat, or a forged one."""
        number = FORGED if run.turn is None else run.turn
        token = _token(number)
        logged = LoggedChat(
            event_id=EVENT,
            user_id=USER,
            # The model's record has the tokens of earlier attempts, but not their numbers.
            attempt=tokens_of(relay.fields(EVENT)).get(token, 1),
            life_ms=START_MS + run.life * LIFE_MS,
            token=token,
            chat=Chat(_chat_id(number)),
        )
        relay.operations().recover(logged, is_trusted=run.name == "recover trusted")

    def _operate(self, relay: StoreDriver, run: ScriptRun) -> None:
        assert run.command is not None, run.name
        script, arguments = _command(run.command)
        about = {"event_id": EVENT, "by": OPERATOR, "token": f"command:{run.number}"}
        Scripts(self._client.relay, relay.keys).run(script, about | arguments)

    def _worker(self, relay: StoreDriver, event_deadline_ms: int = HOUR_MS) -> GrantStore:
        policy = OnUnknown.RECREATE if self._specification.consents else OnUnknown.HOLD
        return relay.worker(on_unknown=policy, event_deadline_ms=event_deadline_ms)

    def _found(self, relay: StoreDriver, *, lives: int) -> Seen:
        """Read the relay's state, and prepare it for the next script.

        The gate is opened, the backoff ends, the lease and the tokens do not expire.
        """
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.get(relay.key(f"event:{EVENT}"))
            for place in PLACES:
                pipeline.zscore(relay.key(place), EVENT)
            for name in self._taken:
                pipeline.get(relay.key(name))
            for name in self._taken:
                pipeline.persist(relay.key(name))
            pipeline.copy(self._relays.gate, relay.key("gate"), replace=True)
            pipeline.zadd(relay.key("due"), {EVENT: 1}, xx=True)
            pipeline.zadd(relay.key("calling"), {EVENT: FAR_MS}, xx=True)
            text, *rest = pipeline.execute()
        fields = parse_fields(text or "")
        scores, taken = rest[: len(PLACES)], rest[len(PLACES) :][: len(self._taken)]
        return Seen(
            self._record(fields) if fields else None,
            read_record(EVENT, fields).created if fields else None,
            frozenset(place for place, at in zip(PLACES, scores, strict=True) if at is not None),
            tuple({None: "", "": "over"}.get(text, "grant") for text in taken),
            lives,
        )

    def _flush(self, relay: StoreDriver, *, has_tokens: bool = False) -> None:
        names = [name for name in self._names if not (has_tokens and name in self._taken)]
        self._client.unlink(*map(relay.key, names))

    def _record(self, fields: dict[str, Any]) -> ModelRecord:
        """Convert a record to the model's, within its bounds."""
        record, bounds = read_record(EVENT, fields), self._specification
        denied, history = fields.get("denied"), fields.get("history", [])
        doubted = [_turn(entry["token"]) for entry in history if "token" in entry]
        return ModelRecord(
            status=record.status.value,
            attempt=fields["attempt"],
            attempts=record.attempts,
            token=_turn(fields["grant_token"]) if "grant_token" in fields else None,
            unknowns=fields.get("unknowns", 0),
            consented=fields.get("consented", False),
            orphan=record.possible_orphan,
            chat=_turn(record.chat.id) if record.chat else None,
            duplicates=frozenset(map(_turn, record.duplicate_chat_ids)),
            life=(fields["accepted_ms"] - START_MS) // LIFE_MS,
            denials=denied["own"] if denied and bounds.denials else -1,
            command=_turn(fields.get("command_token", "command:0")),
            doubted=frozenset(doubted if bounds.has_log else ()),
        )

    @property
    def _taken(self) -> list[str]:
        return [f"taken:{_token(turn)}" for turn in range(self._specification.turns)]

    @property
    def _names(self) -> tuple[str, ...]:
        return (f"event:{EVENT}", *PLACES, *self._taken)


def _seen(state: State) -> Seen:
    is_created = state.record.created if state.record else None
    taken = tuple(turn.taken for turn in state.turns)
    return Seen(state.record, is_created, state.places, taken, state.lives)


def _reply_record(run: ScriptRun, expected: Seen) -> ModelRecord | None:
    """Return the grant that a take must return; None for any other script."""
    record, turn = expected.record, run.turn
    if run.name != "take" or record is None or turn is None or expected.taken[turn] != "grant":
        return None
    return record if (record.status, record.token) == ("calling", turn) else None


def _run_of(step: ModelStep, before: State, seen: Seen) -> ScriptRun:
    name = step.name.removeprefix("unread ")
    grant = before.turns[step.turn].grant if step.turn is not None and name == "settle" else None
    is_command = any(step == command for command, _ in commands_of(before))
    command, number = None, 0
    if is_command:
        command, number = step, before.operations + 1
    elif name == "repeat":
        command, number = before.command, before.operations
    life = _life_of_line(step, before) if name in RECOVER else 0
    return ScriptRun(seen, name, step.turn, step.outcome, grant, command, number, life)


def _life_of_line(step: ModelStep, before: State) -> int:
    return before.lives if step.turn is None else before.turns[step.turn].life


def _at_old(state: State) -> State:
    """Return the state as the old primary has it, if there is one."""
    return state.served_by(state.old) if state.old else state


def _command(step: ModelStep) -> tuple[str, dict[str, Any]]:
    """Return the script of an operator's command, and its arguments."""
    failure = failure_fields(ABANDONED)
    match step.name:
        case "redrive":
            return "redrive", {}
        case "cancel":
            return "cancel", {"failure": failure}
        case "recreate":
            return "resolve", {"action": "recreate"}
        case "give up":
            return "resolve", {"action": "give_up", "failure": failure}
        case "set chat id":
            chat_id = _chat_id(OTHER_CHAT if step.turn is None else step.turn)
            return "resolve", {"action": "chat", "chat": chat_fields(Chat(chat_id))}
        case name:
            raise AssertionError(name)


def _token(turn: int) -> str:
    return f"token:{turn}"


def _chat_id(turn: int) -> str:
    return f"chat:{turn}"


def _turn(name: str) -> int:
    return int(name.rpartition(":")[2])
