"""The durable steps of an event's way, named where they are taken.

Each is announced as an audit event (https://docs.python.org/3/library/sys.html#sys.audit), which
costs nothing while nobody listens. Whoever proves that no crash loses or doubles anything listens,
and ends the process there.
"""

import sys
from enum import StrEnum

BEFORE = "relay.before"
AFTER = "relay.after"


class Step(StrEnum):
    """What must not be lost, nor happen twice."""

    ACCEPTED = "accepted"  # the event is claimed and scheduled
    GRANTED = "granted"  # `calling(attempt)` is stored, and the worker knows
    SENT = "sent"  # the request is handed to the socket
    ANSWERED = "answered"  # the worker has the answer
    LOGGED = "logged"  # the ids are in the log
    SPOOLED = "spooled"  # the answer is in a file, since Redis did not take it
    SETTLED = "settled"  # the record tells


def before(step: Step) -> None:
    """Say that ``step`` is about to be taken."""
    sys.audit(BEFORE, step)


def after(step: Step) -> None:
    """Say that ``step`` has been taken."""
    sys.audit(AFTER, step)
