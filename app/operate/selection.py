"""Selection of many events of one status, read page by page."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from app.chats.record import Record, Status
from app.store.keys import Person
from app.store.operations import PAGE, Operations, Page, Position
from app.store.relay_stats import RelayStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Events of one status, perhaps not all of them."""

    status: Status
    person: Person | None = None
    code: str | None = None
    since: datetime | None = None
    limit: int | None = None
    after: Position | None = None

    @property
    def is_filtered(self) -> bool:
        """True where not all events of the status are meant."""
        return bool(self.person or self.code or self.since)

    def pages(self, operations: Operations, *, size: int = PAGE) -> Iterator[Page]:
        """Read the events behind ``after``, and stop once there are ``limit``."""
        left = self.limit
        for page in operations.pages(self.status, person=self.person, after=self.after, size=size):
            events = [found for found in page.events if self._has(found[1])][:left]
            yield replace(page, events=events)
            if left is not None:
                left -= len(events)
                if not left:
                    return

    def count(self, operations: Operations) -> int:
        """Count the selected events: without a filter by one command, else by reading them."""
        if self.is_filtered:
            return sum(len(page.events) for page in self.pages(operations))
        count = self.count_status(operations)
        return count if self.limit is None else min(count, self.limit)

    def count_status(self, operations: Operations) -> int:
        """Count all events of the status."""
        return count_status(operations.relay_stats(), self.status)

    def _has(self, record: Record | None) -> bool:
        if record is None:  # another release's: its code and time cannot be read
            return self.code is None and self.since is None
        failure = record.last_failure
        code = failure.code if failure else None
        return (self.code is None or self.code == code) and (
            self.since is None or record.accepted_at >= self.since
        )


def count_status(stats: RelayStats, status: Status) -> int:
    """Return how many events are of a status that has a list."""
    counts = {
        Status.ACCEPTED: stats.waiting,
        Status.CALLING: stats.calling,
        Status.UNKNOWN: stats.held,
        Status.FAILED: stats.failed,
    }
    return counts[status]
