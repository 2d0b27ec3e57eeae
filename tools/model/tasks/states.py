"""States of the tasks' model: one event in Redis, the grants that are out, and Channel.io."""

from typing import Any, NamedTuple

TASKS = ("message", "open")
OTHER_CHAT = 0  # a chat that a person made, and that an operator publishes


class ModelTask(NamedTuple):
    """A message or an open in the record.

    ``sends`` are those without an answer since the last redrive; ``unanswered``: one ever had none.
    """

    status: str = "pending"
    sends: int = 0
    unanswered: bool = False
    look_only: bool = False
    refusal: str = ""
    failure: str = ""


class TasksRecord(NamedTuple):
    """The event in Redis; tokens are the numbers of turns, chats and users have their own.

    ``task`` is what the grant is for, nothing for a create. ``attempt`` is the fence, and 0 unless
    writes are lost. ``user`` is 0 until it is resolved. ``is_look_ahead``: the instant from which a
    look shows what the last grant did is still to come. ``is_member``: the event has a member's id.
    """

    status: str = "accepted"
    is_member: bool = False
    token: int | None = None
    task: str = ""
    attempt: int = 0
    user: int = 0
    is_mapped: bool = False
    is_resolved_again: bool = False
    unknowns: int = 0
    orphan: bool = False
    chat: int | None = None
    duplicates: frozenset[int] = frozenset()
    message: ModelTask | None = None
    open: ModelTask | None = None
    is_look_ahead: bool = False

    def task_of(self, name: str) -> ModelTask | None:
        """Return a task behind the create, if the event has it."""
        return self.message if name == "message" else self.open

    def with_status(self, status: str) -> str:
        """Return the name of the first task with this status, or nothing."""
        for name, task in (("message", self.message), ("open", self.open)):
            if task and task.status == status:
                return name
        return ""

    def changed(self, name: str, **changes: Any) -> "TasksRecord":
        """Return the record with a task changed."""
        task = self.task_of(name)
        assert task is not None
        changed = task._replace(**changes)
        return self._replace(message=changed) if name == "message" else self._replace(open=changed)

    @property
    def is_complete(self) -> bool:
        """Return whether nothing more will be done."""
        is_opened = self.status == "opened" and not self.with_status("pending")
        return self.status == "failed" or is_opened

    @property
    def place(self) -> str:
        """Return the sorted set in which the event belongs, if it belongs in one."""
        if self.status == "unknown":
            return "held"
        if not self.is_complete:
            return "due" if self.token is None and self.status != "calling" else "calling"
        return "failed" if self.status == "failed" or self.with_status("failed") else ""


class ModelChat(NamedTuple):
    """A chat at Channel.io, the truth about it.

    ``flying`` messages and ``opening`` opens are requests whose sender waits no longer, and that
    may yet take effect. ``is_listed``: the list shows a message of ours. ``closes`` counts the
    times that a person closed it.
    """

    user: int
    messages: int = 0
    is_listed: bool = False
    flying: int = 0
    state: str = "initial"
    opens: int = 0
    opening: int = 0
    closes: int = 0


class TasksTurn(NamedTuple):
    """One grant and its worker, under a token of its own.

    ``phase`` is idle, granted, looked (nothing was found), sent, landed (it took effect, and the
    answer is under way), answered. ``made`` is the chat of a create. ``copy`` is the record as it
    was granted, where Redis may lose it.
    """

    phase: str = "idle"
    task: str = ""
    chat: int | None = None
    user: int = 0
    attempt: int = 0
    look_only: bool = False
    outcome: str = ""
    made: int | None = None
    copy: TasksRecord | None = None


class RedisContents(NamedTuple):
    """The event as Redis has it.

    ``is_at_look``: its place in ``due`` is the instant of ``is_look_ahead``. ``mapping`` is the
    kept user of the member, 0 for none.
    """

    record: TasksRecord | None = None
    place: str = ""
    is_at_look: bool = False
    text: bool = False
    mapping: int = 0
    is_forgotten: bool = False


class TasksState(NamedTuple):
    """Redis, the turns and Channel.io; and what the promises count.

    ``outdated`` is the kept user that Channel.io did not have. ``saved`` is what Redis falls back
    to when it loses writes.
    """

    turns: tuple[TasksTurn, ...]
    redis: RedisContents = RedisContents()
    chats: tuple[ModelChat, ...] = ()
    is_merged: bool = False
    operations: int = 0
    redrives: int = 0
    outdated: int = 0
    saved: RedisContents = RedisContents()
    is_saved: bool = False
    losses: int = 0
    is_grant_lost: bool = False

    def turned(self, number: int, **changes: Any) -> "TasksState":
        """Return the state with a turn changed."""
        return self.with_turn(number, self.turns[number]._replace(**changes))

    def with_turn(self, number: int, turn: TasksTurn) -> "TasksState":
        """Return the state with another turn."""
        return self._replace(turns=(*self.turns[:number], turn, *self.turns[number + 1 :]))

    def with_redis(self, **changes: Any) -> "TasksState":
        """Return the state with Redis changed."""
        return self._replace(redis=self.redis._replace(**changes))

    def with_chat(self, number: int, **changes: Any) -> "TasksState":
        """Return the state with a chat changed."""
        chat = self.chats[number]._replace(**changes)
        return self._replace(chats=(*self.chats[:number], chat, *self.chats[number + 1 :]))

    @property
    def record(self) -> TasksRecord | None:
        """Return the record."""
        return self.redis.record
