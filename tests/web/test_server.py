"""What gunicorn's threads are, here."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event

import pytest

from app.web.server import Threads


def test_a_thread_outlives_what_it_cannot_do(capfd: pytest.CaptureFixture[str]) -> None:
    """One that ended would be missed by every later request, and nobody would see why."""
    work: SimpleQueue[Callable[[], None]] = SimpleQueue()
    done = Event()

    def do_next() -> None:
        work.get()()

    Threads(1, do_next)
    work.put(lambda: 1 / 0)  # type: ignore[arg-type]
    work.put(done.set)

    assert done.wait(5)
    assert "request_thread_failed" in capfd.readouterr().out
