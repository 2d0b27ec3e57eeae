"""Tests of the model of tasks: no interleaving breaks a promise, unless a guard is removed."""

from dataclasses import replace

import pytest

from tools.model.explorer import BrokenPromise, Explorer
from tools.model.tasks.specification import (
    HIDDEN_MESSAGES,
    LATE_REQUESTS,
    TasksSpecification,
)

MESSAGE = TasksSpecification(has_message=True)
OPEN = TasksSpecification(has_open=True, has_persons=True)
BOTH = TasksSpecification(has_message=True, has_open=True)
MEMBER = TasksSpecification(has_member=True)
DOUBTFUL = TasksSpecification(has_message=True, has_doubts=True, operations=1)
DOUBTFUL_MEMBER = TasksSpecification(has_member=True, has_doubts=True, operations=1)
OPERATED = TasksSpecification(has_message=True, operations=2)
OPERATED_BOTH = TasksSpecification(has_message=True, has_open=True, operations=1)
FORGETTING = TasksSpecification(turns=1, has_message=True, operations=1, forgets=True)
LOSING = TasksSpecification(turns=1, has_message=True, losses=1, grants=3)
LOSING_TWO = TasksSpecification(has_message=True, losses=1, grants=3)
LATE = TasksSpecification(has_message=True, breaks=LATE_REQUESTS)
HIDDEN = TasksSpecification(has_message=True, breaks=HIDDEN_MESSAGES)

CREATED = "accept, take 1 create, send 1 created, settle 1 created, "
SENT = CREATED + "take 1 message, look 1 not found, send 1, "

# Each rule of tasks: its bounds, its promise, and the shortest trace that breaks it without.
GUARDS = [
    (
        "a last look sends nothing",
        MESSAGE,
        "I6: no message is seen again",
        CREATED + "take 1 message, crash 1, lose worker, time passes, take 1 message, "
        "lose worker, time passes, take 2 message, look 2 not found, send 2, "
        "crash 2, lose worker, take 2 message, look 2 not found, send 2, land "
        "2, late message lands",
    ),
    (
        "a look after a refusal",
        OPEN,
        "an open that is refused because the chat is open does not fail",
        CREATED + "take 1 open, look 1 not found, send 1, answer 1 refused, a person "
        "opens, settle 1 refused",
    ),
    (
        "a look after the second send",
        MESSAGE,
        "a send without an answer fails nothing before a look",
        CREATED + "take 1 message, lose worker, time passes, take 2 message, lose worker",
    ),
    (
        "copies publish their chat",
        LOSING,
        "a published chat that Redis lost is put back",
        CREATED + "take 1 message, give up sending 1, lose writes, accept, settle 1 nothing",
    ),
    (
        "done in the published chat",
        LOSING_TWO,
        "a done task was done in the published chat",
        SENT + "land 1, answer 1 done, lose writes, accept, take 2 create, send 2 "
        "created, settle 2 created, settle 1 done",
    ),
    (
        "done is not redriven",
        OPERATED_BOTH,
        "a task that is done stays so",
        SENT + "land 1, answer 1 done, settle 1 done, expire, redrive",
    ),
    (
        "done under any token",
        MESSAGE,
        "a task that was seen done is done",
        SENT + "land 1, answer 1 done, lose worker, settle 1 done",
    ),
    (
        "due while incomplete",
        MESSAGE,
        "an event that is not complete is in exactly one place",
        CREATED[:-2],
    ),
    (
        "duplicates change no grant",
        DOUBTFUL,
        "a task that failed for certain sent nothing",
        (
            "accept, take 1 create, send 1 created, lose worker, set chat id 0, "
            "take 2 message, settle 1 created, look 2 not found, send 2, lose the "
            "answer 2, expire"
        ),
    ),
    ("failed event skips tasks", MESSAGE, "a failed event sends nothing more", "accept, expire"),
    (
        "failed message skips open",
        BOTH,
        "an open is never behind a failed message",
        CREATED + "expire, take 1 open",
    ),
    (
        "forgotten stays forgotten",
        FORGETTING,
        "what was forgotten stays so",
        "accept, take 1 create, lose worker, forget, settle 1 nothing",
    ),
    (
        "look before the act",
        MESSAGE,
        "I6: no message is seen again",
        CREATED + "take 1 message, send 1, land 1, lose worker, time passes, take 2 "
        "message, send 2, land 2",
    ),
    (
        "look from the deadline on",
        MESSAGE,
        "I6: no message is seen again",
        SENT + "lose the answer 1, settle 1 unknown, take 1 message, look 1 not found, "
        "send 1, land 1, late message lands",
    ),
    (
        "look to the first message",
        MESSAGE,
        "I6: no message is seen again",
        SENT + "land 1, lose worker, time passes, take 2 message, look 2 not found, send 2, land 2",
    ),
    (
        "looks leave no doubt",
        MEMBER,
        "a look leaves no doubt",
        "accept, take 1 resolve, lose worker",
    ),
    (
        "lost workers may have sent",
        MESSAGE,
        "a task that failed for certain sent nothing",
        SENT + "lose the answer 1, lose worker, expire",
    ),
    (
        "mapping dropped",
        MEMBER,
        "a kept user that Channel.io does not have is called once",
        "accept, keep the user, take 1 create, send 1 no user, settle 1 no user, take 1 create",
    ),
    (
        "no message without its text",
        LOSING,
        "a message is granted with its text",
        "accept, take 1 create, send 1 created, lose writes, settle 1 created, take 1 message",
    ),
    (
        "no_answer for doubt",
        MESSAGE,
        "a task that failed for certain sent nothing",
        SENT + "land 1, lose worker, time passes, expire",
    ),
    ("opened never fails", MESSAGE, "an opened event never fails", CREATED + "expire"),
    (
        "own token",
        MESSAGE,
        "a task that failed for certain sent nothing",
        CREATED + "take 1 message, give up sending 1, unread settle 1 nothing, take 2 "
        "message, settle 1 nothing, look 2 not found, send 2, lose the answer "
        "2, expire",
    ),
    (
        "possible orphan only by a create",
        MESSAGE,
        "only a repeated create may leave an orphan",
        "accept, take 1 create, send 1 created, lose worker, settle 1 created, take 1 message",
    ),
    (
        "published stays",
        DOUBTFUL,
        "I6: a message goes to the published chat only",
        (
            "accept, take 1 create, send 1 created, lose worker, set chat id 0, "
            "take 2 message, settle 1 created, look 2 not found, send 2, land 2"
        ),
    ),
    (
        "redrives wait for the look",
        OPERATED,
        "I6: no message is seen again",
        SENT + "lose the answer 1, settle 1 unknown, cancel, redrive, take 1 message, "
        "look 1 not found, send 1, land 1, late message lands",
    ),
    (
        "resolved again",
        MEMBER,
        "a kept user is resolved again, once",
        "accept, keep the user, take 1 create, send 1 no user, settle 1 no user",
    ),
    (
        "resolved again once",
        MEMBER,
        "a kept user is resolved again, once",
        (
            "accept, keep the user, take 1 create, send 1 no user, settle 1 no "
            "user, keep the user, take 1 create, send 1 no user, settle 1 no user"
        ),
    ),
    (
        "text kept for redrive",
        MESSAGE,
        "a text is kept as long as it may be sent",
        "accept, expire",
    ),
    (
        "text removed when done",
        MESSAGE,
        "a text is kept as long as it may be sent",
        SENT + "land 1, answer 1 done, settle 1 done",
    ),
    (
        "two sends only",
        LATE,
        "I6: no message is seen again",
        SENT + "lose the answer 1, settle 1 unknown, time passes, take 1 message, look "
        "1 not found, send 1, lose worker, time passes, take 2 message, look 2 "
        "not found, send 2, land 1, land 2, late message lands",
    ),
    (
        "user of the call",
        DOUBTFUL_MEMBER,
        "a published chat is its user's",
        (
            "accept, keep the user, take 1 create, send 1 created, lose worker, "
            "recreate, take 2 create, send 2 no user, settle 2 no user, settle 1 "
            "created"
        ),
    ),
]
SOUND = {
    "a message": MESSAGE,
    "an open, and persons": OPEN,
    "both": BOTH,
    "a member": MEMBER,
    "a doubtful create": DOUBTFUL,
    "a doubtful create for a member": DOUBTFUL_MEMBER,
    "two decisions": OPERATED,
    "a removal": FORGETTING,
    "lost writes": LOSING,
    "requests that arrive late": LATE,
    "messages that are not listed": HIDDEN,
}


@pytest.mark.parametrize("bounds", SOUND.values(), ids=SOUND)
def test_no_interleaving_breaks_a_promise(bounds: TasksSpecification) -> None:
    """Also where a condition does not hold, as far as is promised then.

    ``make prove`` explores wider bounds.
    """
    assert Explorer(bounds).first_broken() is None


@pytest.mark.parametrize(
    ("guard", "bounds", "promise", "trace"), GUARDS, ids=[guard for guard, *_ in GUARDS]
)
def test_without_a_rule_a_promise_breaks(
    guard: str, bounds: TasksSpecification, promise: str, trace: str
) -> None:
    """The explorer finds the broken promise, and the shortest way to it."""
    assert Explorer(replace(bounds, without=guard)).first_broken() == BrokenPromise(promise, trace)


@pytest.mark.parametrize("bounds", [BOTH, MEMBER, LOSING], ids=["both", "member", "losing"])
def test_every_event_can_be_completed(bounds: TasksSpecification) -> None:
    """From each state there is a way to an event that is complete or held."""
    explorer = Explorer(bounds)

    stuck = explorer.first_stuck(
        lambda state: (
            state.record is not None
            and (state.record.is_complete or state.record.status == "unknown")
        )
    )

    assert stuck is None
