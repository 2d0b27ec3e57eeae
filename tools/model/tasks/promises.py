"""Promises about tasks: rules for every state and every step of their specification.

After Redis has lost writes less is promised: a message may be seen twice where the grant of one
that was under way is lost, or the chat that has it is.
"""

from tools.model.states import ModelStep
from tools.model.tasks.scripts import CERTAIN, MAX_SENDS
from tools.model.tasks.states import ModelChat, ModelTask, TasksRecord, TasksState

NOTHING = TasksRecord()
NO_TASK = ModelTask()


def broken_in(state: TasksState, *, is_sound: bool) -> str | None:
    """Return the first promise that does not hold in the state.

    ``is_sound``: requests take effect in time, and the list shows every message.
    """
    if not _is_sent_once(state, is_sound=is_sound):
        return "I6: no message is seen again"
    if not _is_opened_once(state, is_sound=is_sound):
        return "no chat is opened again unless a person closed it"
    if state.redis.place != (state.record.place if state.record else ""):
        return "an event that is not complete is in exactly one place"
    record = state.record or NOTHING
    if record.status == "failed" and record.with_status("pending"):
        return "a failed event sends nothing more"
    if record.chat is not None and not _is_true(state, record, state.chats[record.chat]):
        return "a done task was done in the published chat"
    return None if state.losses else _broken_unless_lost(state, record)


def _broken_unless_lost(state: TasksState, record: TasksRecord) -> str | None:
    if state.redis.is_forgotten and state.record:
        return "what was forgotten stays so"
    if any(chat.messages and number != record.chat for number, chat in enumerate(state.chats)):
        if state.record:
            return "I6: a message goes to the published chat only"
    if record.chat is not None and not _is_certain(record, state.chats[record.chat]):
        return "a task that failed for certain sent nothing"
    if record.message and state.redis.text != _is_text_kept(record, record.message):
        return "a text is kept as long as it may be sent"
    chat = record.chat
    if chat is not None and record.user != _user_of(state, chat):
        return "a published chat is its user's"
    return None


def broken_by(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    """Return the first promise that the step breaks."""
    if after.losses > before.losses:
        return None
    old, new = before.record or NOTHING, after.record or NOTHING
    return (
        _broken_by_ending(before, step, after)
        or _broken_by_act(before, step)
        or _broken_by_settle(before, step, after)
        or _broken_by_grant(before, step, after)
    )


def _broken_by_ending(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    old, new = before.record or NOTHING, after.record or NOTHING
    if (old.status, new.status) == ("opened", "failed"):
        return "an opened event never fails"
    # A copy of the record may replace one without a chat.
    if before.losses and old.chat is None:
        return None
    final = {"done"} if step.name == "redrive" else {"done", "skipped"}
    for task, left in ((old.message, new.message), (old.open, new.open)):
        if task and left and task.status in final and task.status != left.status:
            return f"a task that is {task.status} stays so"
    return None


def _broken_by_act(before: TasksState, step: ModelStep) -> str | None:
    if step.name != "send" or step.turn is None:
        return None
    turn = before.turns[step.turn]
    if turn.task != "open" or turn.chat is None:
        return None
    if before.chats[turn.chat].state != "initial" and turn.phase != "looked":
        return "an open is sent only where its own look found the chat unopened"
    return None


def _broken_by_grant(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    """Return the promise that a grant breaks."""
    old, new = before.record or NOTHING, after.record or NOTHING
    if step.name != "take":
        return None
    if new.task == "open" and new.message and new.message.status != "done":
        return "an open is never behind a failed message"
    if new.orphan and not old.orphan and step.outcome != "create":
        return "only a repeated create may leave an orphan"
    if step.outcome == "create" and new.is_mapped and new.user == before.outdated:
        return "a kept user that Channel.io does not have is called once"
    return None


def _broken_by_settle(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    """Return the promise that a settle or a lost worker breaks."""
    old, new = before.record or NOTHING, after.record or NOTHING
    if step.name == "lose worker" and _has_task_failed(old, new):
        return "a send without an answer fails nothing before a look"
    if step.name == "lose worker" and old.task and new.status == "unknown":
        return "a look leaves no doubt"
    if step.turn is None or step.name not in {"settle", "unread settle"}:
        return None
    turn = before.turns[step.turn]
    if turn.chat is not None and new.chat is None and not after.redis.is_forgotten:
        return "a published chat that Redis lost is put back"
    if turn.task == "resolve" and new.status == "unknown" != old.status:
        return "a look leaves no doubt"
    if step.outcome == "unknown" and _has_task_failed(old, new):
        return "a send without an answer fails nothing before a look"
    is_opened = turn.chat is not None and before.chats[turn.chat].state != "initial"
    if (turn.task, step.outcome) == ("open", "refused") and is_opened and _has_task_failed(old, new):
        return "an open that is refused because the chat is open does not fail"
    if step.outcome == "done" and not _is_kept(before, turn.task, turn.chat, new):
        return "a task that was seen done is done"
    if (turn.task, step.outcome) == ("", "no user"):
        return _broken_by_no_user(old, new, is_own=old.token == step.turn)
    return None


def _broken_by_no_user(old: TasksRecord, new: TasksRecord, *, is_own: bool) -> str | None:
    if not is_own:
        return None
    is_again = old.is_mapped and not old.is_resolved_again
    if is_again != (new.status == "accepted"):
        return "a kept user is resolved again, once"
    return None


def _is_kept(before: TasksState, name: str, chat: int | None, new: TasksRecord) -> bool:
    """Return whether a done that counts is in the record."""
    old = before.record
    if before.redis.is_forgotten or old is None or old.chat != chat:
        return True
    was, task = old.task_of(name) or NO_TASK, new.task_of(name) or NO_TASK
    return was.status == "skipped" or task.status == "done"


def _has_task_failed(old: TasksRecord, new: TasksRecord) -> bool:
    return any(
        task and task.status == "pending" and left and left.status == "failed"
        for task, left in ((old.message, new.message), (old.open, new.open))
    )


def _is_sent_once(state: TasksState, *, is_sound: bool) -> bool:
    messages = [chat.messages for chat in state.chats]
    if state.losses:
        return sum(messages) <= 1 + state.losses and max(messages) <= 1 + state.is_grant_lost
    most = 1 if is_sound else MAX_SENDS * (1 + state.redrives)
    return sum(messages) <= most


def _is_opened_once(state: TasksState, *, is_sound: bool) -> bool:
    if state.losses:
        return True
    most = 1 if is_sound else MAX_SENDS * (1 + state.redrives)
    return all(chat.opens <= most + chat.closes for chat in state.chats)


def _is_true(state: TasksState, record: TasksRecord, chat: ModelChat) -> bool:
    message, opened = record.message or NO_TASK, record.open or NO_TASK
    is_sent = message.status != "done" or chat.messages > 0
    return is_sent and (opened.status != "done" or chat.state != "initial")


def _is_certain(record: TasksRecord, chat: ModelChat) -> bool:
    message, opened = record.message or NO_TASK, record.open or NO_TASK
    is_sent = message.failure in CERTAIN and (chat.messages or chat.flying)
    return not is_sent and not (opened.failure in CERTAIN and (chat.opens or chat.opening))


def _is_text_kept(record: TasksRecord, message: ModelTask) -> bool:
    """Return whether the message may still be sent, or be redriven."""
    if message.status == "skipped":
        return record.status == "failed" and not record.unknowns
    return message.status != "done"


def _user_of(state: TasksState, chat: int) -> int:
    """Return the user for which the chat was made; a person's own chat is anybody's."""
    record = state.record or NOTHING
    return state.chats[chat].user or record.user
