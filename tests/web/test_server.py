"""What gunicorn's threads are, here."""

from threading import Event

import pytest

from app.web.server import Threads


def test_a_thread_outlives_what_it_cannot_do(capfd: pytest.CaptureFixture[str]) -> None:
    """One that ended would be missed by every later request, and nobody would see why."""
    threads, done = Threads(1), Event()

    threads.submit(lambda: 1 / 0)  # type: ignore[arg-type]
    threads.submit(done.set)

    assert done.wait(5)
    assert "request_thread_failed" in capfd.readouterr().out
    threads.shutdown(wait=False)
