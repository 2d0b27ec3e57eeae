"""Specification of the store's scripts, as far as tasks go: each changes one event in one step."""

from dataclasses import dataclass
from typing import Any

from tools.model.tasks.states import TASKS, ModelTask, TasksRecord, TasksState, TasksTurn

MAX_SENDS = 2
CERTAIN = frozenset({"rejected", "expired", "abandoned"})


@dataclass(frozen=True, slots=True)
class TasksScripts:
    """The scripts of a relay, ``without`` one guard.

    ``has_fence``: records keep the attempt, which only lost writes need.
    """

    without: str = ""
    has_fence: bool = False

    def has(self, guard: str) -> bool:
        """Return whether the guard is in."""
        return guard != self.without

    def is_due(self, state: TasksState) -> bool:
        """Return whether the event is due now."""
        record, redis = state.record, state.redis
        if record is None or redis.place != "due":
            return False
        return not redis.is_at_look or not self.has("look from the deadline on")

    def take(self, state: TasksState, record: TasksRecord, t: int) -> TasksState:
        """Grant the next task under the token ``t``."""
        record = record._replace(token=t, attempt=record.attempt + self.has_fence)
        if record.chat is not None:
            return self.store(state, self._granted_task(record))
        if not record.user and state.redis.mapping:
            record = record._replace(user=state.redis.mapping, is_mapped=True)
        if not record.user:
            return self.store(state, self._doubted(record)._replace(task="resolve"))
        orphan = record.orphan or record.unknowns > 0
        return self.store(state, record, status="calling", orphan=orphan)

    def _granted_task(self, record: TasksRecord) -> TasksRecord:
        name = record.with_status("pending")
        task = record.task_of(name) or ModelTask()
        is_last = task.sends >= MAX_SENDS and self.has("two sends only")
        record = record.changed(name, look_only=is_last or bool(task.refusal))
        return self._doubted(record)._replace(task=name, is_look_ahead=True)

    def _doubted(self, record: TasksRecord) -> TasksRecord:
        """Set the possible orphan by a grant that is not a create's, without the guard."""
        if self.has("possible orphan only by a create"):
            return record
        return record._replace(orphan=record.orphan or record.unknowns > 0)

    def release(self, state: TasksState, record: TasksRecord, t: int) -> TasksState:
        """Give the grant back if the record still has it."""
        if record.token != t:
            return state
        return self.schedule(state, record, unknowns=_unknowns_without(record))

    def lose_worker(self, state: TasksState, record: TasksRecord) -> TasksState:
        """End the call of a lost worker."""
        if not record.task:
            return self.end_unknown(state, record)
        if record.task == "resolve":
            if self.has("looks leave no doubt"):
                return self.schedule(state, record)
            return self.end_unknown(state, record)
        task = record.task_of(record.task) or ModelTask()
        if task.look_only or not self.has("lost workers may have sent"):
            return self.schedule(state, record)
        return self.leave_unanswered(state, record)

    def lose_text(self, state: TasksState, record: TasksRecord) -> TasksState:
        """Fail a message whose text is gone."""
        return self.fail_task(state, record, "text_lost")

    def expire(self, state: TasksState, record: TasksRecord) -> TasksState:
        """End the wait of an event that waited past its deadline."""
        return self.end_task_or_event(state, record, "expired")

    def end_task_or_event(self, state: TasksState, record: TasksRecord, code: str) -> TasksState:
        """Fail the event or, once it is opened, its next task."""
        if record.chat is not None and self.has("opened never fails"):
            return self.fail_task(state, record, code)
        return self.fail(state, record)

    def settle(self, state: TasksState, t: int, turn: TasksTurn) -> TasksState:
        """Settle a turn's outcome."""
        record = self._restored(state, turn)
        is_over = state.redis.is_forgotten and self.has("forgotten stays forgotten")
        if record is None or is_over:
            return state
        match turn.outcome:
            case "created":
                return self._settle_created(state, record, turn)
            case "done":
                return self._settle_done(state, record, t, turn)
            case "unknown" if not turn.task:
                return self._settle_unknown(state, record, t, turn)
            case _:
                return self._settle_own(state, record, t, turn)

    def _settle_own(
        self, state: TasksState, record: TasksRecord, t: int, turn: TasksTurn
    ) -> TasksState:
        """Settle what counts only under the record's own token."""
        is_pending = turn.task == record.with_status("pending") and record.chat is not None
        if record.token != t and (self.has("own token") or not is_pending):
            return state
        if turn.task in TASKS and record.chat is not None:
            return self._settle_task(state, record, turn)
        return self._settle_user(state, record, turn)

    def _settle_created(
        self, state: TasksState, record: TasksRecord, turn: TasksTurn
    ) -> TasksState:
        if turn.made == record.chat:
            return state
        if record.status != "opened" or not self.has("published stays"):
            user = turn.user if self.has("user of the call") else record.user
            return self.open(state, record, turn.made, user=user)
        duplicates = record.duplicates | {turn.made or 0}
        if self.has("duplicates change no grant"):
            return state.with_redis(record=record._replace(duplicates=duplicates))
        return self.schedule(state, record, duplicates=duplicates)

    def _settle_done(
        self, state: TasksState, record: TasksRecord, t: int, turn: TasksTurn
    ) -> TasksState:
        """Count a done under any token, for the published chat."""
        task = record.task_of(turn.task)
        is_published = turn.chat == record.chat or not self.has("done in the published chat")
        is_its = record.token == t or self.has("done under any token")
        if not task or record.chat is None or not is_published or not is_its:
            return state
        if task.status == "done" or (
            task.status == "skipped" and self.has("skipped stays skipped")
        ):
            return state
        ended = {"status": "done", "failure": "", "refusal": "", "look_only": False}
        return self.schedule(state, record.changed(turn.task, **ended))

    def _settle_unknown(
        self, state: TasksState, record: TasksRecord, t: int, turn: TasksTurn
    ) -> TasksState:
        is_its = record.attempt == turn.attempt if self.has_fence else record.token == t
        if record.status != "calling" or not is_its:
            return state
        return self.end_unknown(state, record._replace(token=t))

    def _settle_user(self, state: TasksState, record: TasksRecord, turn: TasksTurn) -> TasksState:
        """Settle a resolve, or the create of an event without a chat."""
        match turn.outcome:
            case "resolved":
                state = state.with_redis(mapping=turn.user)
                return self.schedule(state, record, user=turn.user, is_mapped=False)
            case "no user" if not turn.task:
                return self._settle_no_user(state, record)
            case "no user" | "refused":
                return self.fail(state, record, unknowns=_unknowns_without(record))
            case _ if turn.task and not self.has("looks leave no doubt"):
                return self.end_unknown(state, record)
            case _:
                return self.schedule(state, record, unknowns=_unknowns_without(record))

    def _settle_no_user(self, state: TasksState, record: TasksRecord) -> TasksState:
        """Resolve once more where the user id was kept from another event."""
        unknowns = _unknowns_without(record)
        if state.redis.mapping == record.user and self.has("mapping dropped"):
            state = state.with_redis(mapping=0)
        is_first = not record.is_resolved_again or not self.has("resolved again once")
        if not record.is_mapped or not is_first or not self.has("resolved again"):
            return self.fail(state, record, unknowns=unknowns)
        record = record._replace(user=0, is_mapped=False, is_resolved_again=True)
        return self.schedule(state, record, unknowns=unknowns)

    def _settle_task(self, state: TasksState, record: TasksRecord, turn: TasksTurn) -> TasksState:
        task = record.task_of(turn.task) or ModelTask()
        match turn.outcome:
            case "unknown":
                return self.leave_unanswered(state, record)
            case "not found":
                return self.fail_task(state, record, "no_answer")
            case "refused" if self._is_looked_at_again(task, turn):
                return self.schedule(state, record.changed(turn.task, refusal="rejected"))
            case "refused" | "look refused":
                return self.fail_task(state, record, "rejected")
            case _:
                return self.schedule(state, record)

    def _is_looked_at_again(self, task: ModelTask, turn: TasksTurn) -> bool:
        is_doubtful = turn.task == "open" or task.unanswered
        return is_doubtful and self.has("a look after a refusal")

    def leave_unanswered(self, state: TasksState, record: TasksRecord) -> TasksState:
        """Count a send that may have taken effect, and wait until a look shows it."""
        name = record.with_status("pending")
        task = record.task_of(name) or ModelTask()
        if not task.look_only:
            record = record.changed(name, sends=min(task.sends + 1, MAX_SENDS), unanswered=True)
        if task.sends + 1 >= MAX_SENDS and not self.has("a look after the second send"):
            return self.fail_task(state, record, "no_answer")
        return self.schedule(state, record, is_at_look=True)

    def fail_task(self, state: TasksState, record: TasksRecord, code: str) -> TasksState:
        """Fail the next task, and skip an open behind a message."""
        name = record.with_status("pending")
        task = record.task_of(name) or ModelTask()
        code = task.refusal or code
        if code in CERTAIN and task.unanswered and self.has("no_answer for doubt"):
            code = "no_answer"
        ended = {"status": "failed", "failure": code, "look_only": False, "refusal": ""}
        record = record.changed(name, **ended)
        if self.has("failed message skips open"):
            record = _skip_tasks(record)
        return self.schedule(state, record)

    def fail(self, state: TasksState, record: TasksRecord, **changes: Any) -> TasksState:
        """Fail the event, and skip its tasks."""
        if self.has("failed event skips tasks"):
            record = _skip_tasks(record)
        return self.store(state, record, status="failed", **changes)

    def open(
        self, state: TasksState, record: TasksRecord, chat: int | None, **changes: Any
    ) -> TasksState:
        """Publish the chat, and go on with the tasks behind the create."""
        return self.schedule(state, record, chat=chat, **changes)

    def end_unknown(self, state: TasksState, record: TasksRecord) -> TasksState:
        """Hold the event after a create with an unknown result."""
        return self.store(state, record, status="unknown", unknowns=record.unknowns + 1)

    def redrive(self, state: TasksState, record: TasksRecord) -> TasksState | None:
        """Try what has failed again; None where nothing may be."""
        is_event = record.status == "failed"
        failed = record.task_of(record.with_status("failed")) if not is_event else None
        is_doubtful = failed is not None and failed.unanswered
        if (is_event and record.unknowns) or not (is_event or record.with_status("failed")):
            return None
        if is_event and record.is_member:
            record = record._replace(user=0, is_mapped=False, is_resolved_again=False)
        for name in TASKS:
            task = record.task_of(name)
            is_left = task and task.status == "done" and self.has("done is not redriven")
            if task and not is_left:
                record = record.changed(name, status="pending", failure="", sends=0)
        is_at_look = is_doubtful and self.has("redrives wait for the look")
        return self.schedule(state, record, is_at_look=is_at_look)

    def cancel(self, state: TasksState, record: TasksRecord) -> TasksState | None:
        """End an event while no grant is out; None while one is."""
        if record.place != "due":
            return None
        return self.end_task_or_event(state, record, "abandoned")

    def forget(self, state: TasksState, record: TasksRecord) -> TasksState | None:
        """Remove the event; None while a grant is out."""
        if record.place == "calling":
            return None
        mapping = 0 if record.is_member else state.redis.mapping
        return state._replace(redis=type(state.redis)(mapping=mapping, is_forgotten=True))

    def schedule(
        self, state: TasksState, record: TasksRecord, *, is_at_look: bool = False, **changes: Any
    ) -> TasksState:
        """Return the event to ``due``, or complete it."""
        record = record._replace(token=None, task="", **changes)
        status = "accepted" if record.chat is None else "opened"
        return self.store(state, record, is_at_look=is_at_look, status=status)

    def store(
        self, state: TasksState, record: TasksRecord, *, is_at_look: bool = False, **changes: Any
    ) -> TasksState:
        """Store the record, its place and its text."""
        record = record._replace(**changes)
        if record.is_complete:
            record = record._replace(token=None, task="")
        place = record.place
        if place == "due" and record.chat is not None and not self.has("due while incomplete"):
            place = ""
        text = state.redis.text and self._is_text_needed(record)
        is_at_look = is_at_look and place == "due" and record.is_look_ahead
        return state.with_redis(record=record, place=place, is_at_look=is_at_look, text=text)

    def _is_text_needed(self, record: TasksRecord) -> bool:
        status = record.message.status if record.message else "done"
        if status == "done":
            return not self.has("text removed when done")
        if status == "pending":
            return True
        is_redriven = status == "failed" or (record.status == "failed" and not record.unknowns)
        return is_redriven and self.has("text kept for redrive")

    def _restored(self, state: TasksState, turn: TasksTurn) -> TasksRecord | None:
        """Return the record, or the worker's copy where Redis lost writes."""
        record, copy = state.record, turn.copy
        if record is None or copy is None:
            return record or copy
        if turn.task:
            is_lost = copy.chat is not None and record.chat is None
            return copy if is_lost and self.has("copies publish their chat") else record
        is_behind = record.attempt < turn.attempt and record.status != "opened"
        return copy if is_behind and turn.outcome in {"created", "unknown"} else record


def _skip_tasks(record: TasksRecord) -> TasksRecord:
    while name := record.with_status("pending"):
        record = record.changed(name, status="skipped")
    return record


def _unknowns_without(record: TasksRecord) -> int:
    """Return the unknown attempts that are left after this one was proved void."""
    return record.unknowns - (record.status == "unknown")
