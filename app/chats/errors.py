"""Everything the business can refuse; which HTTP status each becomes is decided in ``app.web``."""


class RelayError(Exception):
    """The root of the tree; the message is safe to show to the caller."""


class EventRefused(RelayError):
    """The event was not stored, and posting the same event again will be refused again."""


class EventIdReused(EventRefused):
    """The ``event_id`` was accepted before with another payload."""


class EventTooOld(EventRefused):
    """The event is older than the deduplication window, so it cannot be proved new."""


class BacklogFull(RelayError):
    """So many events wait that no new one is accepted; nothing was stored."""


class StoreUnavailable(RelayError):
    """Redis did not confirm the command; it may or may not have been carried out."""


class CommandRefused(StoreUnavailable):
    """Redis is there, and refused this command: another one may well be carried out."""


class RecordFromNewerRelease(CommandRefused):
    """The record carries a version or status that this release does not know."""


class NothingDone(RelayError):
    """An operator's command did not apply, and changed nothing; the message says why."""
