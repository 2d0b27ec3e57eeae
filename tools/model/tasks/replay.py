"""Replay of the steps of tasks on the real scripts.

As in the replay of creates, each script that the model runs is run on a copy of a relay that the
real scripts brought to that state, and the copy is compared with the model's next state.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from app.chats.errors import NothingDone
from app.chats.grant import Grant, Task, new_token
from app.chats.outcome import (
    Done,
    LookFailed,
    NotFound,
    Outcome,
    Refused,
    Resolved,
)
from app.chats.record import FailureCode
from app.store.grants import GrantStore
from app.store.keys import Person
from app.store.records import parse_fields
from tools.model.explorer import Explorer
from tools.model.outcomes import DENIED, NOT_SENT, THROTTLED, UNKNOWN, created
from tools.model.relays import Relays
from tools.model.replay import EVENT, FAR_MS, OPERATOR, PLACES, Difference
from tools.model.states import ModelStep
from tools.model.store_driver import EVENT_DEADLINE_MS, StoreDriver
from tools.model.tasks.specification import TasksSpecification
from tools.model.tasks.states import (
    TASKS,
    ModelTask,
    RedisContents,
    TasksRecord,
    TasksState,
    TasksTurn,
)
from tools.model.virtual import Time, attach_clock
from tools.stack.redis_client import Client

MEMBER = "m1"
NAMES = (f"event:{EVENT}", *PLACES, f"text:{EVENT}", f"member:{MEMBER}", f"forgotten:{EVENT}")
# Longer than any backoff, so that no place in `due` looks like the instant of the next look.
CALL_DEADLINE_MS = 100_000
# Steps in which Redis does what it always does, or nothing.
SCRIPTS = {
    *("accept", "take", "release", "settle", "expire", "lose worker", "find no text"),
    *("cancel", "redrive", "forget", "recreate", "give up", "set chat id"),
    *("time passes", "keep the user", "forget the user"),
}

_NO_USER = Refused(FailureCode.USER_NOT_FOUND, "There is no such user.", 404)
_REFUSED = Refused(FailureCode.REJECTED, "It is refused.", 400)
_LOOK_REFUSED = Refused(FailureCode.REJECTED, "It is refused.", 400, has_acted=False)
_NO_CHAT = Refused(FailureCode.CHAT_NOT_FOUND, "There is no such chat yet.", 404)
_LOOK_FAILED = LookFailed("A read had no answer.")
_OUTCOMES: dict[str, Outcome] = {
    "no user": _NO_USER,
    "refused": _REFUSED,
    "look refused": _LOOK_REFUSED,
    "not found": NotFound("The message is not in the chat."),
    "unknown": UNKNOWN,
}


class TasksRun(NamedTuple):
    """One run of a script, for all steps that are the same to Redis."""

    seen: RedisContents
    name: str
    turn: int | None
    about: str
    settled: TasksTurn


class TasksReplay:
    """The relays of one replay, over one client; ``scripts_run`` counts the comparisons."""

    def __init__(self, client: Client, specification: TasksSpecification) -> None:
        self.scripts_run = 0
        self._client = client = attach_clock(client, Time())
        self._specification = specification
        self._explorer = Explorer(specification)
        self._relays = Relays(client, specification.start.redis, NAMES)
        self._grants: dict[tuple[int, TasksTurn], Grant] = {}

    def first_difference(self) -> Difference | None:
        """Replay the whole graph, up to the first difference."""
        self._relays.first.open_gate()
        for run, expected, before, step in self._runs():
            granted = run.settled if run.name == "take" else None
            for outcome in self._outcomes(run):
                relay = self._relays.at(run.seen)
                returned = self._run(relay, run, outcome)
                found = self._found(relay)
                if found != expected.redis or returned != granted:
                    trace = self._explorer.trace(before, step)
                    return Difference(trace, expected.redis, found, returned)
                self._relays.keep(found, relay)
        return None

    def _runs(self) -> Iterator[tuple[TasksRun, TasksState, TasksState, ModelStep]]:
        done = set()
        for before, steps in self._explorer.visits():
            for step, after in steps:
                run = _run_of(step, before, after)
                if run.name in SCRIPTS and run not in done:
                    done.add(run)
                    yield run, after, before, step

    def _outcomes(self, run: TasksRun) -> list[Outcome | None]:
        """Return the outcomes of a settle that are the same to the model; one None without one."""
        if run.name != "settle":
            return [None]
        turn = run.settled
        match turn.outcome:
            case "created":
                return [created(_chat_id(turn.made))]
            case "resolved":
                return [Resolved(_user_id(turn.user))]
            case "done":
                return [Done(has_acted=True, message_id="x"), Done(has_acted=False)]
            case "nothing":
                looks = [_LOOK_FAILED] if turn.task else []
                young = [_NO_CHAT] if turn.task in TASKS else []
                return [NOT_SENT, DENIED, THROTTLED, *looks, *young]
            case outcome:
                return [_OUTCOMES[outcome]]

    def _run(self, relay: StoreDriver, run: TasksRun, outcome: Outcome | None) -> Any:
        self.scripts_run += 1
        match run.name:
            case "take" | "release" | "settle" if run.turn is not None:
                return self._run_in_turn(relay, run, run.turn, outcome)
            case "accept":
                relay.accept(EVENT, **self._event())
            case "expire":
                self._clean_up(self._worker(relay, event_deadline_ms=-1))
            case "lose worker":
                relay.lose_worker(EVENT)
                self._clean_up(self._worker(relay))
            case "find no text":
                self._clean_up(self._worker(relay))
            case "time passes":
                relay.set_fields(EVENT, look_from_ms=1)
                relay.move("due", EVENT, 1)
            case "keep the user":
                self._client.set(relay.key(f"member:{MEMBER}"), run.about)
            case "forget the user":
                self._client.unlink(relay.key(f"member:{MEMBER}"))
            case _:
                self._operate(relay, run)
        return None

    def _run_in_turn(
        self, relay: StoreDriver, run: TasksRun, t: int, outcome: Outcome | None
    ) -> Any:
        worker, token = self._worker(relay), _token(t)
        taken_key = relay.key(f"taken:{token}")
        if run.name == "take":
            # The numbers of turns are used again, tokens are not.
            self._client.unlink(taken_key)
            taken = worker.take(token).decision
            if not isinstance(taken, Grant):
                return taken
            self._grants[t, run.settled] = taken
            return self._turn(taken)
        fields = relay.fields(EVENT)
        if run.name == "release":
            self._client.set(taken_key, f"{fields.get('attempt', 0)} {EVENT}")
            worker.release(token)
        elif outcome is not None:
            worker.settle(self._grant(t, run.settled, fields), outcome)
        return None

    def _grant(self, t: int, turn: TasksTurn, fields: dict[str, Any]) -> Grant:
        """Return the turn's grant, its number and its copy as the model has them."""
        grant = self._grants[t, _granted(turn)]
        if turn.copy and turn.task in TASKS and not turn.copy.is_look_ahead:
            grant = replace(grant, stored_fields=grant.stored_fields | {"look_from_ms": 1})
        if self._specification.losses:
            return grant
        # Without losses a grant has the record's number as long as the record has its token.
        attempt = fields.get("attempt", 0)
        return replace(grant, attempt=attempt - (fields.get("grant_token") != grant.token))

    def _operate(self, relay: StoreDriver, run: TasksRun) -> None:
        operations = relay.operations()
        try:
            match run.name:
                case "cancel":
                    operations.cancel(EVENT, by=OPERATOR)
                case "redrive":
                    operations.redrive(EVENT, by=OPERATOR)
                case "recreate":
                    operations.recreate(EVENT, by=OPERATOR)
                case "give up":
                    operations.give_up(EVENT, by=OPERATOR)
                case "set chat id":
                    operations.resolve_with_chat(EVENT, run.about, by=OPERATOR)
                case _:
                    operations.forget(EVENT, person=self._person(), token=new_token())
        except NothingDone:
            pass

    def _event(self) -> dict[str, Any]:
        bounds = self._specification
        event: dict[str, Any] = {"open": bounds.has_open}
        if bounds.has_member:
            event |= {"user_id": None, "member_id": MEMBER}
        if bounds.has_message:
            event["message"] = {"text": "hello"}
        return event

    def _person(self) -> Person:
        if self._specification.has_member:
            return Person("member_id", MEMBER)
        return Person("user_id", _user_id(1))

    def _worker(self, relay: StoreDriver, event_deadline_ms: int = EVENT_DEADLINE_MS) -> GrantStore:
        return relay.worker(call_deadline_ms=CALL_DEADLINE_MS, event_deadline_ms=event_deadline_ms)

    def _clean_up(self, worker: GrantStore) -> None:
        worker.take(new_token(), may_grant=False)

    def _found(self, relay: StoreDriver) -> RedisContents:
        """Read the relay's state, and prepare it for the next script.

        The gate is opened, backoff ends, the lease does not.
        """
        with self._client.pipeline(transaction=False) as pipeline:
            for name in (f"event:{EVENT}", f"member:{MEMBER}"):
                pipeline.get(relay.key(name))
            for name in (f"text:{EVENT}", f"forgotten:{EVENT}"):
                pipeline.exists(relay.key(name))
            for place in PLACES:
                pipeline.zscore(relay.key(place), EVENT)
            pipeline.copy(self._relays.gate, relay.key("gate"), replace=True)
            pipeline.zadd(relay.key("calling"), {EVENT: FAR_MS}, xx=True)
            text, kept, has_text, is_forgotten, *scores = pipeline.execute()
        fields = parse_fields(text or "")
        found = dict(zip(PLACES, scores, strict=False))
        record = self._record(fields) if fields else None
        is_ahead = record is not None and record.is_look_ahead
        is_at_look = is_ahead and found["due"] == fields["look_from_ms"]
        if not is_at_look:
            relay.move("due", EVENT, 1)
        return RedisContents(
            record=record,
            place="+".join(place for place, at in found.items() if at is not None),
            is_at_look=is_at_look,
            text=bool(has_text),
            mapping=_number(kept or "0"),
            is_forgotten=bool(is_forgotten),
        )

    def _turn(self, grant: Grant) -> TasksTurn:
        """Convert a grant to the model's turn."""
        task = "" if grant.task is Task.CREATE else grant.task.value
        assert (grant.text is not None) == (task == "message")
        bounds = self._specification
        record = self._record(grant.stored_fields)
        return TasksTurn(
            phase="granted",
            task=task,
            chat=record.chat,
            user=_number(grant.user_id or "0"),
            attempt=grant.attempt if bounds.losses else 0,
            look_only=grant.is_look_only,
            copy=record if bounds.has_copies else None,
        )

    def _record(self, fields: dict[str, Any]) -> TasksRecord:
        """Convert a record to the model's, within its bounds."""
        token, chat = fields.get("grant_token"), fields.get("chat_id")
        tasks = fields.get("tasks", {})
        return TasksRecord(
            status=fields["status"],
            is_member="member_id" in fields,
            token=None if token is None else _number(token),
            task=fields.get("task", ""),
            attempt=fields["attempt"] if self._specification.losses else 0,
            user=_number(fields.get("user_id", "0")),
            is_mapped=fields.get("is_mapped", False),
            is_resolved_again=fields.get("is_resolved_again", False),
            unknowns=fields.get("unknowns", 0),
            orphan=fields.get("possible_orphan", False),
            chat=None if chat is None else _number(chat),
            duplicates=frozenset(map(_number, fields.get("duplicate_chat_ids", ()))),
            message=_task(tasks.get("message")),
            open=_task(tasks.get("open")),
            # No clock moves: an instant that has passed is set to 1.
            is_look_ahead=fields.get("look_from_ms", 1) > 1,
        )


def _task(fields: dict[str, Any] | None) -> ModelTask | None:
    if fields is None:
        return None
    return ModelTask(
        status=fields["status"],
        sends=fields.get("sends", 0),
        unanswered="unanswered" in fields,
        look_only=fields.get("look_only", False),
        refusal=fields.get("refusal", {}).get("code", ""),
        failure=fields.get("failure", {}).get("code", ""),
    )


def _run_of(step: ModelStep, before: TasksState, after: TasksState) -> TasksRun:
    """Return the run of a step; of a take its turn is the granted one."""
    name = step.name.removeprefix("unread ")
    turn, about = TasksTurn(), ""
    if step.turn is not None and name in {"take", "settle"}:
        turn = (after if name == "take" else before).turns[step.turn]
    if name == "keep the user":
        about = _user_id(after.redis.mapping)
    elif name == "set chat id":
        about = _chat_id(int(step.outcome))
    return TasksRun(before.redis, name, step.turn, about, turn)


def _granted(turn: TasksTurn) -> TasksTurn:
    """Return the turn as it was granted."""
    copy = turn.copy
    if copy and turn.task in TASKS:
        copy = copy._replace(is_look_ahead=True)
    user = 0 if turn.task == "resolve" else turn.user
    return turn._replace(phase="granted", user=user, outcome="", made=None, copy=copy)


def _token(turn: int) -> str:
    return f"token:{turn}"


def _chat_id(chat: int | None) -> str:
    return f"chat:{chat}"


def _user_id(user: int) -> str:
    return f"u{user}"


def _number(name: str) -> int:
    return int("".join(filter(str.isdigit, name)))
