"""Outages in the log: at once, each minute, and at the end."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

log = structlog.get_logger("relay.worker")

REPEAT_SECONDS = 60.0
# A Redis that takes one command and refuses the next is not back.
QUIET_SECONDS = 2.0


class Outage:
    """Failures of one kind, until a success two seconds after the last.

    ``event`` and ``end_event`` name its log lines, which have ``since`` and the number of
    ``tries``; ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self, event: str, end_event: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._event = event
        self._end_event = end_event
        self._clock = clock
        self._tries = 0
        self._since = ""
        self._failed_at = self._logged_at = 0.0

    def report_failure(self, error: Exception) -> None:
        """Count a failed try; log the first, and one a minute."""
        self._failed_at = self._clock()
        self._tries += 1
        if self._tries == 1:
            self._since = datetime.now(UTC).isoformat(timespec="seconds")
        elif self._failed_at < self._logged_at + REPEAT_SECONDS:
            return
        self._logged_at = self._failed_at
        log.warning(self._event, reason=str(error), since=self._since, tries=self._tries)

    def report_success(self) -> None:
        """Log the end of the outage, if there was one and it is over."""
        if self._tries and self._clock() >= self._failed_at + QUIET_SECONDS:
            log.warning(self._end_event, since=self._since, tries=self._tries)
            self._tries = 0
