"""``Prefer: wait``: from event to ids in one round trip. https://www.rfc-editor.org/rfc/rfc7240"""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Protocol
from urllib.request import parse_http_list

from flask import Request

from app.chats.errors import StoreUnavailable
from app.chats.record import Record

MAX_WAIT_SECONDS = 30

_NAME_IS_WAIT = re.compile(r"wait\s*(?:[=;]|$)", re.IGNORECASE)
# The value may be quoted, and parameters may follow, which say nothing to us.
_WAIT = re.compile(
    r'wait\s*=\s*(?P<quote>"?)(?P<digits>[0-9]+)(?P=quote)\s*(?:;.*)?', re.IGNORECASE
)


class Notice(Protocol):
    """What tells one waiter to look."""

    def wait(self, seconds: float) -> None:
        """Return when it is time to look again, after ``seconds`` at the latest."""


class Notices(Protocol):
    """Who tells that events are settled or held."""

    def watch(self, event_id: str) -> AbstractContextManager[Notice]:
        """Register for an event, before it is accepted."""


@dataclass(frozen=True, slots=True)
class Waited:
    """What a wait came to; ``is_applied``: the preference was met, as far as it can be."""

    record: Record
    is_new: bool
    is_applied: bool


class WaitingRoom:
    """Where requests wait for their event to be settled or held: ``seats`` at a time.

    Beyond that nobody waits, so that threads are left for those who only want to be heard.
    """

    def __init__(self, notices: Notices, find: Callable[[str], Record | None], seats: int) -> None:
        self._notices = notices
        self._find = find
        self._seats = BoundedSemaphore(seats)

    def accept_and_wait(
        self, event_id: str, accept: Callable[[], tuple[Record, bool]], seconds: int
    ) -> Waited:
        """Do ``accept``, and wait for its event.

        Register, accept, wait, look again: so no notice is missed.
        """
        with self._notices.watch(event_id) as notice:
            record, is_new = accept()
            if not record.status.is_open:
                return Waited(record, is_new, is_applied=True)
            if not self._seats.acquire(blocking=False):
                return Waited(record, is_new, is_applied=False)
            try:
                return Waited(self._wait(notice, record, seconds), is_new, is_applied=True)
            finally:
                self._seats.release()

    def _wait(self, notice: Notice, record: Record, seconds: int) -> Record:
        until = time.monotonic() + seconds
        while record.status.is_open and (left := until - time.monotonic()) > 0:
            notice.wait(left)
            try:
                record = self._find(record.event_id) or record
            except StoreUnavailable:
                # It is accepted all the same; its caller can look it up later.
                return record
        return record


def preferred_wait(request: Request) -> int:
    """How many seconds the caller prefers to wait; 0 where it says nothing that can be read.

    Of several ``wait`` preferences the first counts, as section 2 of the RFC has it.
    """
    if "HTTP_PREFER" not in request.environ:
        return 0
    for preference in parse_http_list(",".join(request.headers.getlist("Prefer"))):
        if _NAME_IS_WAIT.match(preference):
            wait = _WAIT.fullmatch(preference)
            return min(_seconds(wait["digits"]), MAX_WAIT_SECONDS) if wait else 0
    return 0


def _seconds(digits: str) -> int:
    """The number, cut to its first digits: thousands of them are as many seconds as a few."""
    return int(digits.lstrip("0")[:3] or "0")
