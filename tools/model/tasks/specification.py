"""Specification: everything that may happen to the tasks of one event, as steps.

A grant's request may take effect before its answer, after its sender stopped waiting, or never.
Time is one step: every deadline that is set so far, and the margin behind it, have passed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools.model.states import ModelStep
from tools.model.tasks import promises
from tools.model.tasks.scripts import TasksScripts
from tools.model.tasks.states import (
    OTHER_CHAT,
    TASKS,
    ModelChat,
    ModelTask,
    RedisContents,
    TasksRecord,
    TasksState,
    TasksTurn,
)

LATE_REQUESTS = "requests that take effect late"
HIDDEN_MESSAGES = "messages that the list does not show"

Steps = Iterator[tuple[ModelStep, TasksState]]
Apply = Callable[[TasksScripts, TasksState, TasksRecord], TasksState | None]


@dataclass(frozen=True, kw_only=True)
class TasksSpecification:
    """The steps within these bounds; ``without`` names the guard that is removed.

    ``turns``: grants whose workers still act. ``has_doubts``: a create may end unknown.
    ``persons``: agents open and close the chat. ``breaks`` names the condition that does not hold.
    ``losses``: how often Redis loses writes, and ``grants`` how many it stores then, at most.
    """

    turns: int = 2
    has_message: bool = False
    has_open: bool = False
    has_member: bool = False
    has_doubts: bool = False
    has_persons: bool = False
    forgets: bool = False
    operations: int = 0
    losses: int = 0
    grants: int = 0
    breaks: str = ""
    without: str = ""

    @property
    def start(self) -> TasksState:
        """Return the state in which the event does not exist."""
        return TasksState((TasksTurn(),) * self.turns, chats=(ModelChat(user=0),))

    @property
    def scripts(self) -> TasksScripts:
        """Return the scripts within these bounds."""
        return TasksScripts(self.without, has_fence=self.losses > 0)

    @property
    def has_copies(self) -> bool:
        """Return whether workers' copies of the record may matter."""
        return self.losses > 0 or self.forgets

    def broken_in(self, state: TasksState) -> str | None:
        """Return the first promise that does not hold in the state."""
        return promises.broken_in(state, is_sound=not self.breaks)

    def broken_by(self, before: TasksState, step: ModelStep, after: TasksState) -> str | None:
        """Return the first promise that the step breaks."""
        return promises.broken_by(before, step, after)

    def steps(self, state: TasksState) -> Steps:
        """Yield every next step and its state, also of steps that change nothing."""
        scripts = self.scripts
        record = state.record
        if record is None and not state.redis.is_forgotten:
            yield ModelStep("accept"), self._accept(scripts, state)
        for number, turn in enumerate(state.turns):
            yield from self._turn(scripts, state, number, turn)
        if record:
            yield from self._schedule(scripts, state, record)
            if state.operations < self.operations:
                yield from self._operator(scripts, state, record)
        yield from self._channel(state)
        if self._is_time_left(state):
            yield ModelStep("time passes"), self._pass_time(state)
        if state.losses < self.losses:
            yield from _losses(state)

    def _accept(self, scripts: TasksScripts, state: TasksState) -> TasksState:
        record = TasksRecord(
            is_member=self.has_member,
            user=0 if self.has_member else 1,
            message=ModelTask() if self.has_message else None,
            open=ModelTask() if self.has_open else None,
        )
        return scripts.store(state.with_redis(text=self.has_message), record)

    def _turn(self, scripts: TasksScripts, state: TasksState, t: int, turn: TasksTurn) -> Steps:
        match turn.phase:
            case "idle":
                yield from self._take(scripts, state, t)
                return
            case "granted":
                record = state.record
                released = scripts.release(state, record, t) if record else state
                yield ModelStep("release", t), released.with_turn(t, TasksTurn())
                yield from self._act(scripts, state, t, turn)
            case "looked":
                yield ModelStep("send", t), state.turned(t, phase="sent")
                yield ModelStep("give up sending", t), _answer(state, t, "nothing")
            case "sent" | "landed":
                yield from _answers(state, t, turn)
            case _:
                settled = _note_user(state, scripts.settle(state, t, turn), t, turn)
                over = settled.with_turn(t, TasksTurn())
                yield ModelStep("settle", t, turn.outcome), over
                yield ModelStep("unread settle", t, turn.outcome), settled
        # A created id is in the log or the spool, so the worker that drains it settles it.
        if turn.outcome != "created":
            yield ModelStep("crash", t), _leave(state, t, turn)

    def _take(self, scripts: TasksScripts, state: TasksState, t: int) -> Steps:
        record = state.record
        if record is None or not scripts.is_due(state) or t != _free_turn(state):
            return
        if record.attempt >= self.grants > 0:
            return
        is_message = record.chat is not None and record.with_status("pending") == "message"
        if is_message and not state.redis.text and scripts.has("no message without its text"):
            yield ModelStep("find no text"), scripts.lose_text(state, record)
            return
        after = scripts.take(state, record, t)
        granted = after.record or record
        task = granted.task_of(granted.task) if granted.task in TASKS else None
        turn = TasksTurn(
            phase="granted",
            task=granted.task,
            chat=granted.chat,
            user=granted.user,
            attempt=granted.attempt,
            look_only=task is not None and task.look_only,
            copy=granted if self.has_copies else None,
        )
        yield ModelStep("take", t, granted.task or "create"), after.with_turn(t, turn)

    def _act(self, scripts: TasksScripts, state: TasksState, t: int, turn: TasksTurn) -> Steps:
        yield ModelStep("give up sending", t), _answer(state, t, "nothing")
        if turn.task == "resolve":
            user = 2 if state.is_merged else 1
            yield ModelStep("look", t, "resolved"), _answer(state, t, "resolved", user=user)
            yield ModelStep("look", t, "no user"), _answer(state, t, "no user")
        elif not turn.task:
            yield from self._create(state, t, turn)
        else:
            yield from self._look(scripts, state, t, turn)

    def _create(self, state: TasksState, t: int, turn: TasksTurn) -> Steps:
        made = len(state.chats)
        with_chat = state._replace(chats=(*state.chats, ModelChat(user=turn.user)))
        is_gone = state.is_merged and turn.user == 1
        if not is_gone:
            yield ModelStep("send", t, "created"), _answer(with_chat, t, "created", made=made)
        yield ModelStep("send", t, "no user"), _answer(state, t, "no user")
        if self.has_doubts:
            yield ModelStep("send", t, "unknown"), _answer(state, t, "unknown")
            if not is_gone:
                yield ModelStep("send", t, "unread"), _answer(with_chat, t, "unknown")

    def _look(self, scripts: TasksScripts, state: TasksState, t: int, turn: TasksTurn) -> Steps:
        assert turn.chat is not None
        chat = state.chats[turn.chat]
        is_there = chat.is_listed if turn.task == "message" else chat.state != "initial"
        yield ModelStep("look", t, "refused"), _answer(state, t, "look refused")
        if is_there:
            yield ModelStep("look", t, "found"), _answer(state, t, "done")
        is_short = turn.task == "message" and not scripts.has("look to the first message")
        if not is_there or is_short:
            may_send = not turn.look_only or not scripts.has("a last look sends nothing")
            missed = state.turned(t, phase="looked") if may_send else _answer(state, t, "not found")
            yield ModelStep("look", t, "not found"), missed
        if not scripts.has("look before the act"):
            yield ModelStep("send", t), state.turned(t, phase="sent")

    def _schedule(self, scripts: TasksScripts, state: TasksState, record: TasksRecord) -> Steps:
        if scripts.is_due(state):
            yield ModelStep("expire"), scripts.expire(state, record)
        if state.redis.place == "calling" and record.token is not None:
            ended = self._ended(state, record.token)
            yield ModelStep("lose worker"), scripts.lose_worker(ended, record)

    def _operator(self, scripts: TasksScripts, state: TasksState, record: TasksRecord) -> Steps:
        for step, apply in self.commands(state):
            after = apply(scripts, state, record)
            if after is None:
                yield step, state
            else:
                redrives = state.redrives + (step.name == "redrive")
                yield step, after._replace(operations=state.operations + 1, redrives=redrives)

    def commands(self, state: TasksState) -> Iterator[tuple[ModelStep, Apply]]:
        """Yield each command and its effect, which is None where it does not apply."""
        yield ModelStep("cancel"), TasksScripts.cancel
        yield ModelStep("redrive"), TasksScripts.redrive
        if self.forgets:
            yield ModelStep("forget"), TasksScripts.forget
        if self.has_doubts:
            yield ModelStep("recreate"), _recreate
            yield ModelStep("give up"), _give_up
            for chat in range(OTHER_CHAT, len(state.chats)):
                yield ModelStep("set chat id", None, str(chat)), _set_chat(chat)

    def _channel(self, state: TasksState) -> Steps:
        """Yield what happens at Channel.io alone."""
        for number, turn in enumerate(state.turns):
            if turn.phase == "sent":
                landed = self._land(state, turn.chat, turn.task)
                yield ModelStep("land", number), landed.turned(number, phase="landed")
        for number, chat in enumerate(state.chats):
            if chat.flying:
                there = state.with_chat(number, flying=chat.flying - 1)
                yield ModelStep("late message lands"), self._land(there, number, "message")
            if chat.opening:
                there = state.with_chat(number, opening=chat.opening - 1)
                yield ModelStep("late open lands"), self._land(there, number, "open")
            if chat.messages and not chat.is_listed:
                yield ModelStep("show messages"), state.with_chat(number, is_listed=True)
            if self.has_persons:
                yield from _persons(state, number, chat)
        if self.has_member:
            yield from _members(state)

    def _land(self, state: TasksState, number: int | None, task: str) -> TasksState:
        assert number is not None
        chat = state.chats[number]
        if task == "open":
            return state.with_chat(number, state="opened", opens=chat.opens + 1)
        is_listed = chat.is_listed or self.breaks != HIDDEN_MESSAGES
        return state.with_chat(number, messages=chat.messages + 1, is_listed=is_listed)

    def _is_time_left(self, state: TasksState) -> bool:
        return state.record is not None and state.record.is_look_ahead

    def _pass_time(self, state: TasksState) -> TasksState:
        """End every deadline and the margin behind it: what is under way has landed or never will.

        Not so where requests take effect late.
        """
        for number in range(self.turns):
            state = self._ended(state, number)
            copy = state.turns[number].copy
            state = state.turned(number, copy=copy and copy._replace(is_look_ahead=False))
        if self.breaks != LATE_REQUESTS:
            chats = tuple(chat._replace(flying=0, opening=0) for chat in state.chats)
            state = state._replace(chats=chats)
        return state._replace(redis=_looked_from(state.redis), saved=_looked_from(state.saved))

    def _ended(self, state: TasksState, t: int) -> TasksState:
        """Return the state after a turn's deadline: it sends nothing more.

        A process that is frozen between its look at the clock and the first byte does.
        """
        turn = state.turns[t]
        is_frozen = self.breaks == LATE_REQUESTS and turn.task in TASKS
        if is_frozen or turn.phase in {"idle", "answered"}:
            return state
        return _answer(state, t, "unknown" if turn.phase in {"sent", "landed"} else "nothing")


def _answer(
    state: TasksState, t: int, outcome: str, *, user: int | None = None, made: int | None = None
) -> TasksState:
    turn = state.turns[t]
    user = turn.user if user is None else user
    return state.turned(t, phase="answered", outcome=outcome, user=user, made=made)


def _answers(state: TasksState, t: int, turn: TasksTurn) -> Steps:
    """Yield the answers to a send, and its loss, after which it may still take effect."""
    yield ModelStep("lose the answer", t), _answer(_fly(state, turn), t, "unknown")
    if turn.phase == "landed":
        yield ModelStep("answer", t, "done"), _answer(state, t, "done")
    else:
        yield ModelStep("answer", t, "refused"), _answer(state, t, "refused")
        yield ModelStep("answer", t, "nothing"), _answer(state, t, "nothing")


def _leave(state: TasksState, t: int, turn: TasksTurn) -> TasksState:
    """End a worker; what it sent may still take effect."""
    return _fly(state, turn).with_turn(t, TasksTurn())


def _fly(state: TasksState, turn: TasksTurn) -> TasksState:
    if turn.phase != "sent" or turn.chat is None:
        return state
    chat = state.chats[turn.chat]
    if turn.task == "open":
        return state.with_chat(turn.chat, opening=chat.opening + 1)
    return state.with_chat(turn.chat, flying=chat.flying + 1)


def _free_turn(state: TasksState) -> int | None:
    """Return the first idle turn whose number is the token of no record."""
    records = (state.redis.record, state.saved.record)
    taken = {record.token for record in records if record}
    free = (t for t, turn in enumerate(state.turns) if turn.phase == "idle" and t not in taken)
    return next(free, None)


def _persons(state: TasksState, number: int, chat: ModelChat) -> Steps:
    if number and chat.state == "initial":
        yield ModelStep("a person opens"), state.with_chat(number, state="opened")
    if number and chat.state == "opened" and not chat.closes:
        closed = state.with_chat(number, state="closed", closes=chat.closes + 1)
        yield ModelStep("a person closes"), closed


def _members(state: TasksState) -> Steps:
    """Yield merges, the user that another event resolved, and the end of the ten minutes."""
    if not state.is_merged:
        yield ModelStep("merge users"), state._replace(is_merged=True)
    user = 2 if state.is_merged else 1
    kept = state.with_redis(mapping=user)._replace(outdated=0)
    yield ModelStep("keep the user"), kept
    yield ModelStep("forget the user"), state.with_redis(mapping=0)


def _note_user(before: TasksState, after: TasksState, t: int, turn: TasksTurn) -> TasksState:
    """Remember the kept user that Channel.io did not have, until the member is resolved anew."""
    record = before.record
    if record and record.token == t and turn.outcome == "no user" and record.is_mapped:
        return after._replace(outdated=record.user)
    return after._replace(outdated=0) if turn.outcome == "resolved" else after


def _recreate(scripts: TasksScripts, state: TasksState, record: TasksRecord) -> TasksState | None:
    return scripts.schedule(state, record) if record.status == "unknown" else None


def _give_up(scripts: TasksScripts, state: TasksState, record: TasksRecord) -> TasksState | None:
    return scripts.fail(state, record) if record.status == "unknown" else None


def _set_chat(chat: int) -> Apply:
    def apply(scripts: TasksScripts, state: TasksState, record: TasksRecord) -> TasksState | None:
        return scripts.open(state, record, chat) if record.status == "unknown" else None

    return apply


def _losses(state: TasksState) -> Steps:
    if not state.is_saved:
        yield ModelStep("save"), state._replace(saved=state.redis, is_saved=True)
    is_under_way = any(
        turn.phase in {"granted", "looked", "sent", "landed"} and turn.task == "message"
        for turn in state.turns
    )
    is_flying = any(chat.flying for chat in state.chats)
    lost = state._replace(redis=state.saved, losses=state.losses + 1, is_saved=True)
    lost = lost._replace(saved=RedisContents())
    yield ModelStep("lose writes"), lost._replace(is_grant_lost=is_under_way or is_flying)


def _looked_from(redis: RedisContents) -> RedisContents:
    if redis.record is None:
        return redis
    return redis._replace(record=redis.record._replace(is_look_ahead=False), is_at_look=False)
