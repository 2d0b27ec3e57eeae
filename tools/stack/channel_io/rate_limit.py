"""Leaky bucket, as Channel.io's rate limit is."""

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """The bucket after a request. ``wait_seconds`` is 0 unless ``is_over``."""

    is_over: bool
    limit: int
    remaining: int
    wait_seconds: float


class LeakyBucket:
    """Bucket for ``burst`` requests that drains ``limit_per_second``; None: at once."""

    def __init__(self, limit_per_second: float | None, burst: int) -> None:
        """Start empty."""
        self._drain_per_second = limit_per_second or float("inf")
        self._burst = burst
        self._lock = threading.Lock()
        self._content = 0.0
        self._seen_at = time.monotonic()

    def pour(self) -> Level:
        """Add a request, unless the bucket would overflow."""
        with self._lock:
            self._drain()
            is_over = self._content + 1 > self._burst
            if not is_over:
                self._content += 1
            return self._level(is_over=is_over)

    def _drain(self) -> None:
        now = time.monotonic()
        drained = (now - self._seen_at) * self._drain_per_second if now > self._seen_at else 0.0
        self._content = max(0.0, self._content - drained)
        self._seen_at = now

    def _level(self, *, is_over: bool) -> Level:
        missing = self._content + 1 - self._burst if is_over else 0.0
        remaining = int(self._burst - self._content)
        return Level(is_over, self._burst, remaining, missing / self._drain_per_second)
