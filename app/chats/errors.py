"""Errors of the business; ``app.web`` maps each to an HTTP status."""


class RelayError(Exception):
    """The root of the tree; the message is safe to show to the caller."""


class EventRefused(RelayError):
    """The event was not stored, and posting the same event again will be refused again."""


class EventIdReused(EventRefused):
    """The ``event_id`` was accepted before with another payload.

    ``pointers`` are the JSON pointers of the fields that differ.
    """

    def __init__(self, pointers: tuple[str, ...]) -> None:
        super().__init__("This event_id was accepted before with another payload")
        self.pointers = pointers


class EventTooOld(EventRefused):
    """The event is older than the deduplication window, so it cannot be proved new."""


class BacklogFull(RelayError):
    """So many events wait that no new one is accepted; nothing was stored."""


class StoreUnavailable(RelayError):
    """Redis did not confirm the command; it may or may not have been carried out."""


class StoreRefused(StoreUnavailable):
    """Redis replied with an error; the message is in its own words."""


class CommandRefused(StoreRefused):
    """Redis is there, and refused this command: another one may well be carried out."""


class RecordFromNewerRelease(CommandRefused):
    """The record carries a version or status that this release does not know."""


class NothingDone(RelayError):
    """An operator's command did not apply, and changed nothing; the message is the reason.

    ``reason`` is the same without the event's id, so that equal ones can be counted.
    """

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or message
