"""Promises about tasks: rules for every state and every step of their specification.

After Redis has lost writes, less is promised: a message may be seen twice if the grant of one that
was under way is lost, or the chat that has it.
"""

from tools.model.states import ModelStep
from tools.model.tasks.scripts import CERTAIN, MAX_SENDS
from tools.model.tasks.states import ModelChat, ModelTask, TasksRecord, TasksState, TasksTurn

NOTHING = TasksRecord()
NO_TASK = ModelTask()


def broken_in(state: TasksState, *, is_sound: bool) -> str | None:
    """Return the first promise that does not hold in the state.

    ``is_sound``: requests take effect in time, and the list shows every message.
    """
    record = state.record or NOTHING
    if not _is_sent_once(state, is_sound=is_sound):
        return "I6: no message is seen again"
    if not _is_opened_once(state, is_sound=is_sound):
        return "no chat is opened again unless a person closed it"
    if state.redis.place != (state.record.place if state.record else ""):
        return "an event that is not complete is in exactly one place"
    if record.status == "failed" and record.with_status("pending"):
        return "a failed event sends nothing more"
    if record.chat is not None and not _is_done(record, state.chats[record.chat]):
        return "a done task was done in the published chat"
    return None if state.losses else _broken_unless_lost(state)


def broken_by(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    """Return the first promise that the step breaks."""
    if after.losses > before.losses:
        return None
    return _broken_by_end(before, step, after) or _broken_by_name(before, step, after)


def _broken_by_name(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    """Return the promise about steps of this name that the step breaks."""
    match step.name, step.turn:
        case "lose worker", _:
            return _broken_by_loss(before, after)
        case "take", _:
            return _broken_by_take(before, step, after)
        case "send", int(turn):
            return _broken_by_send(before, before.turns[turn])
        case "settle" | "unread settle", int(turn):
            return _broken_by_settle(before, turn, after)
    return None


def _broken_unless_lost(state: TasksState) -> str | None:
    record = state.record
    if record is None:
        return None
    if state.redis.is_forgotten:
        return "what was forgotten stays so"
    if any(chat.messages and number != record.chat for number, chat in enumerate(state.chats)):
        return "I6: a message goes to the published chat only"
    if record.message and state.redis.text != _is_text_kept(record, record.message):
        return "a text is kept as long as it may be sent"
    return _broken_by_chat(record, state.chats[record.chat]) if record.chat is not None else None


def _broken_by_chat(record: TasksRecord, chat: ModelChat) -> str | None:
    message, opened = record.message or NO_TASK, record.open or NO_TASK
    has_sent = message.failure in CERTAIN and (chat.messages or chat.flying)
    has_opened = opened.failure in CERTAIN and (chat.opens or chat.opening)
    if has_sent or has_opened:
        return "a task that failed for certain sent nothing"
    # A chat that a person made has user 0.
    if chat.user not in {0, record.user}:
        return "a published chat is its user's"
    return None


def _is_sent_once(state: TasksState, *, is_sound: bool) -> bool:
    """Check the number of messages; two sends may be seen for each decision of an operator.

    That is so only where a condition does not hold.
    """
    messages = [chat.messages for chat in state.chats]
    if state.losses:
        return sum(messages) <= 1 + state.losses and max(messages) <= 1 + state.is_grant_lost
    return sum(messages) <= (1 if is_sound else MAX_SENDS * (1 + state.redrives))


def _is_opened_once(state: TasksState, *, is_sound: bool) -> bool:
    most = 1 if is_sound else MAX_SENDS * (1 + state.redrives)
    return state.losses > 0 or all(chat.opens <= most + chat.closes for chat in state.chats)


def _is_done(record: TasksRecord, chat: ModelChat) -> bool:
    """Return whether Channel.io has what the record says is done."""
    message, opened = record.message or NO_TASK, record.open or NO_TASK
    is_sent = message.status != "done" or chat.messages > 0
    return is_sent and (opened.status != "done" or chat.state != "initial")


def _is_text_kept(record: TasksRecord, message: ModelTask) -> bool:
    """Return whether the message may still be sent, or be redriven."""
    if message.status == "skipped":
        return record.status == "failed" and not record.unknowns
    return message.status != "done"


def _broken_by_end(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    """Return the promise about what has ended that the step breaks."""
    old, new = before.record or NOTHING, after.record or NOTHING
    if (old.status, new.status) == ("opened", "failed"):
        return "an opened event never fails"
    # A worker's copy may replace a record without a chat, which Redis fell back to.
    if before.losses and old.chat is None:
        return None
    final = {"done"} if step.name == "redrive" else {"done", "skipped"}
    for task, left in ((old.message, new.message), (old.open, new.open)):
        if task and left and task.status in final and task.status != left.status:
            return f"a task that is {task.status} stays so"
    return None


def _broken_by_loss(before: TasksState, after: TasksState) -> str | None:
    """Return the promise that ending the call of a lost worker breaks."""
    old, new = before.record or NOTHING, after.record or NOTHING
    if _has_task_failed(old, new):
        return "a send without an answer fails nothing before a look"
    return "a look leaves no doubt" if old.task and new.status == "unknown" else None


def _broken_by_take(before: TasksState, step: ModelStep, after: TasksState) -> str | None:
    old, new = before.record or NOTHING, after.record or NOTHING
    if new.task == "open" and new.message and new.message.status != "done":
        return "an open is never behind a failed message"
    if new.task == "message" and not before.redis.text:
        return "a message is granted with its text"
    if new.orphan and not old.orphan and step.outcome != "create":
        return "only a repeated create may leave an orphan"
    if step.outcome == "create" and new.is_mapped and new.user == before.outdated:
        return "a kept user that Channel.io does not have is called once"
    return None


def _broken_by_send(before: TasksState, turn: TasksTurn) -> str | None:
    is_open = turn.task == "open" and turn.chat is not None
    if is_open and turn.phase != "looked" and before.chats[turn.chat or 0].state != "initial":
        return "an open is sent only after a look found the chat unopened"
    return None


def _broken_by_settle(before: TasksState, t: int, after: TasksState) -> str | None:
    turn = before.turns[t]
    old, new = before.record or NOTHING, after.record or NOTHING
    if turn.chat is not None:
        return None if after.redis.is_forgotten else _broken_by_task(before, turn, old, new)
    if turn.task == "resolve" and new.status == "unknown" != old.status:
        return "a look leaves no doubt"
    if not turn.task and turn.outcome == "no user" and old.token == t:
        is_again = old.is_mapped and not old.is_resolved_again
        return (
            None
            if is_again == (new.status == "accepted")
            else "a kept user is resolved again, once"
        )
    return None


def _broken_by_task(
    before: TasksState, turn: TasksTurn, old: TasksRecord, new: TasksRecord
) -> str | None:
    """Return the promise that settling a task behind the create breaks."""
    has_failed = _has_task_failed(old, new)
    chat = before.chats[turn.chat or 0]
    if new.chat is None:
        return "a published chat that Redis lost is put back"
    if turn.outcome == "unknown" and has_failed:
        return "a send without an answer fails nothing before a look"
    if turn.outcome == "refused" and turn.task == "open" and has_failed and chat.state != "initial":
        return "an open that is refused because the chat is open does not fail"
    was, task = old.task_of(turn.task) or NO_TASK, new.task_of(turn.task) or NO_TASK
    is_counted = turn.outcome == "done" and old.chat == turn.chat and was.status != "skipped"
    if is_counted and task.status != "done":
        return "a task that was seen done is done"
    return None


def _has_task_failed(old: TasksRecord, new: TasksRecord) -> bool:
    return any(
        task and task.status == "pending" and left and left.status == "failed"
        for task, left in ((old.message, new.message), (old.open, new.open))
    )
