"""The decisions that an operator can take about an event, and what each of them means."""

from enum import StrEnum

from app.chats.grant import Task
from app.chats.record import FailureCode, Record, Status, TaskStatus
from app.store.history import EventHistory
from app.store.operations import Operations

MAYBE_TWICE = "An earlier send may have arrived, so a message may be seen twice."


class Action(StrEnum):
    """A decision about one event."""

    PUBLISH = "publish"
    RECREATE = "recreate"
    GIVE_UP = "give-up"
    REDRIVE = "redrive"
    CANCEL = "cancel"


# Those that can be taken about many events of one list. A chat belongs to one event alone.
BULK_ACTIONS: dict[Status, tuple[Action, ...]] = {
    Status.UNKNOWN: (Action.RECREATE, Action.GIVE_UP),
    Status.FAILED: (Action.REDRIVE,),
    Status.ACCEPTED: (Action.CANCEL,),
}


def decide(
    operations: Operations,
    action: Action,
    event_id: str,
    *,
    by: str,
    chat_id: str = "",
    code: str | None = None,
) -> Record:
    """Take a decision about one event, and return its record.

    ``chat_id`` is for ``PUBLISH``; ``code``, of the failure that was asked about, for ``REDRIVE``.
    Raises ``NothingDone`` where the event changed meanwhile, and ``StoreUnavailable``.
    """
    match action:
        case Action.PUBLISH:
            return operations.resolve_with_chat(event_id, chat_id, by=by)
        case Action.RECREATE:
            return operations.recreate(event_id, by=by)
        case Action.GIVE_UP:
            return operations.give_up(event_id, by=by)
        case Action.REDRIVE:
            return operations.redrive(event_id, by=by, code=code)
        case Action.CANCEL:
            return operations.cancel(event_id, by=by)


def list_actions(history: EventHistory) -> tuple[Action, ...]:
    """Return the decisions that the event's state permits now."""
    record = history.record
    if record.status is Status.UNKNOWN:
        return (Action.PUBLISH, Action.RECREATE, Action.GIVE_UP)
    if record.is_under_way:
        return () if history.granted_task else (Action.CANCEL,)
    if record.last_failure and why_not(Action.REDRIVE, record) is None:
        return (Action.REDRIVE,)
    return ()


def why_not(action: Action, record: Record) -> str | None:
    """Return why a decision cannot be taken about an event of its list, or None."""
    if action is not Action.REDRIVE:
        return None
    if record.created is None:
        return "an attempt for it may have made a chat"
    _, failure = record.failed_task or (None, None)
    is_lost = failure is not None and failure.code == FailureCode.TEXT_LOST
    return "the text of its message is lost" if is_lost else None


def describe(action: Action, record: Record, *, chat_id: str = "") -> list[str]:
    """Describe in sentences what a decision does to an event, and to its tasks."""
    match action:
        case Action.PUBLISH:
            sentence = f"Publishes {chat_id} as its chat, for good."
        case Action.RECREATE:
            sentence = "Calls once more. A chat that the first call made stays behind, empty."
        case Action.GIVE_UP:
            sentence = "Lets it fail, for good. Whether there is a chat stays unknown."
        case Action.REDRIVE:
            return _describe_redrive(record)
        case Action.CANCEL if record.status is Status.OPENED:
            task = record.pending_task
            return [f"Lets its {task} fail, and skips what comes after. Its chat stays."]
        case Action.CANCEL:
            sentence = "Lets it fail before it is called."
    return [sentence, *describe_tasks(action, record)]


def describe_tasks(action: Action, record: Record) -> list[str]:
    """Describe in a sentence what becomes of an event's tasks; none where it has none."""
    becomes = {Action.PUBLISH: "go on in that chat", Action.RECREATE: "go on after the create"}
    names = " and ".join(record.tasks or ())
    return [f"Its tasks ({names}) {becomes.get(action, 'are skipped')}."] if names else []


def _describe_redrive(record: Record) -> list[str]:
    task, failure = record.failed_task or (None, None)
    if task is None or failure is None:
        sentence = "No call made a chat, so it is called again. Its deadline begins anew."
        return [sentence, *describe_tasks(Action.RECREATE, record)]
    skipped = [
        name for name, state in (record.tasks or {}).items() if state.status == TaskStatus.SKIPPED
    ]
    after = f", and its {' and '.join(skipped)} after that" if skipped else ""
    sentences = [f"Tries its {task} again{after}. Its deadline begins anew."]
    if task == Task.MESSAGE and failure.code == FailureCode.NO_ANSWER:
        sentences.append(MAYBE_TWICE)
    return sentences
