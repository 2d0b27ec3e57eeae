"""One page of a list of events."""

from dataclasses import dataclass

from app.chats.record import Record
from app.operate.selection import Selection
from app.store.operations import PAGE, Operations, Position

ROWS = 50
MAX_LOOKED_AT = 5_000  # by one request: a filter that nothing matches reads all there is


@dataclass(frozen=True, slots=True)
class Listing:
    """Events of a list, each without its record where a newer release wrote it.

    ``next`` is the position behind which more may follow. ``looked_at``: how many were read.
    """

    rows: list[tuple[str, Record | None]]
    next: Position | None
    looked_at: int


def read_listing(operations: Operations, selection: Selection) -> Listing:
    """Read the next page of a list. Raises ``StoreUnavailable``."""
    rows: list[tuple[str, Record | None]] = []
    looked_at, last = 0, None
    for page in selection.pages(operations, size=PAGE if selection.is_filtered else ROWS + 1):
        for event_id, record in page.events:
            if len(rows) == ROWS:
                return Listing(rows, last, looked_at)
            rows.append((event_id, record))
            last = Position(page.scores[event_id], event_id)
        looked_at += page.looked_at
        if looked_at >= MAX_LOOKED_AT:
            return Listing(rows, page.last, looked_at)
    return Listing(rows, None, looked_at)
