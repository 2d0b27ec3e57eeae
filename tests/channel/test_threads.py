"""Threads for calls: one for each that is under way, and no more than that."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from app.channel.threads import CallThreads
from tests.stack.processes import wait_until

PATIENCE_SECONDS = 10


class Work:
    """Waits, in whatever thread it is done, until it may end."""

    def __init__(self) -> None:
        self._began = threading.Event()
        self._may_end = threading.Event()

    def __call__(self) -> None:
        """Do it."""
        self.thread = threading.current_thread()
        self._began.set()
        assert self._may_end.wait(PATIENCE_SECONDS)

    def wait_until_begun(self) -> None:
        """Return once a thread does it."""
        assert self._began.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Let it end."""
        self._may_end.set()


@pytest.fixture
def threads() -> CallThreads:
    """No thread yet."""
    return CallThreads()


@pytest.fixture
def begin(threads: CallThreads) -> Iterator[Callable[[], Work]]:
    """Begins with work, which ends after the test at the latest."""
    with ExitStack() as all_work:

        def begin() -> Work:
            work = Work()
            all_work.callback(work.end)
            threads.run(work)
            work.wait_until_begun()
            return work

        yield begin


def test_who_hangs_keeps_nobody_waiting(begin: Callable[[], Work]) -> None:
    """Each call that is under way has a thread of its own."""
    hanging, other = begin(), begin()

    assert hanging.thread is not other.thread


def test_who_has_done_its_work_does_more(threads: CallThreads, begin: Callable[[], Work]) -> None:
    """Also one that was late: threads are as many as there once were calls at a time."""
    first, second = begin(), begin()
    used = {first.thread, second.thread}

    for _ in range(20):
        first.end()
        wait_until_waiting(threads, 1)
        first = begin()
        assert first.thread in used


def wait_until_waiting(threads: CallThreads, number: int) -> None:
    """Return once so many threads wait for work."""
    wait_until(lambda: len(threads._waiting) == number, PATIENCE_SECONDS, "waiting threads")
