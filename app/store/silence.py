"""What the threads of a process know together of a Redis that does not answer."""

import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from redis.exceptions import RedisError

T = TypeVar("T")

# Whoever waited for so long in vain has found Redis silent, and not gone or of another mind.
SILENT_SECONDS = 0.5


class RedisSilent(RedisError):
    """Redis was not asked."""


class Silence:
    """Lets one thread at a time ask a Redis that is silent.

    The others would wait in vain as well, until none is left for what needs no Redis.
    """

    def __init__(self) -> None:
        self._is_silent = False
        self._asking = Lock()

    def ask(self, send: Callable[[], T]) -> T:
        """Return what ``send`` returns.

        Raises ``RedisSilent`` at once where another thread is asking; else what ``send`` raises.
        """
        is_alone = self._is_silent
        if is_alone and not self._asking.acquire(blocking=False):
            raise RedisSilent("Redis does not answer, and is being asked already")
        began, is_silent = time.monotonic(), False
        try:
            return send()
        except RedisError:
            is_silent = time.monotonic() - began > SILENT_SECONDS
            raise
        finally:
            self._is_silent = is_silent
            if is_alone:
                self._asking.release()
