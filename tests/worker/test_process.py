"""A worker process: what its threads leave at the end, and what it settles by the way."""

import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from app.store.client import Client
from app.store.connect import connect_blocking
from app.worker.process import WorkerProcess
from tests.stack.channel_io import ChannelIo
from tests.stack.processes import wait_until
from tests.worker.conftest import close
from tests.worker.workbench import Workbench, lose_reply


@pytest.fixture
def bench(client: Client, redis_url: str, tmp_path: Path) -> Iterator[Workbench]:
    """A loop for the process to run."""
    with ChannelIo() as stand_in, connect_blocking(redis_url) as blocking_client:
        bench = Workbench(client, blocking_client, stand_in, tmp_path / "spool")
        yield bench
        bench.stopping.set()
    close(bench.spool)


@pytest.fixture
def process(bench: Workbench) -> Iterator[Thread]:
    """A process that runs, in a thread that signals can be sent to."""
    process = WorkerProcess(
        bench.loop, bench.spool, concurrency=1, deadline_seconds=0.1, stopping=bench.stopping
    )
    thread = Thread(target=process.run)
    thread.start()
    yield thread
    stop(thread)


def stop(process: Thread) -> None:
    """Send SIGTERM, and wait for the end."""
    if process.is_alive() and process.ident is not None:
        signal.pthread_kill(process.ident, signal.SIGTERM)
    process.join(30)
    assert not process.is_alive()


def test_told_to_stop_before_it_works_it_takes_nothing(bench: Workbench) -> None:
    """With Redis away it would else try to give back what it took, as long as a call may last."""
    process = WorkerProcess(
        bench.loop, bench.spool, concurrency=50, deadline_seconds=20, stopping=bench.stopping
    )

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.raise_signal(signal.SIGTERM)
        process.run()

    thread = Thread(target=run)
    thread.start()
    thread.join(30)

    assert not thread.is_alive()
    assert [] == bench.calls.said


def test_an_answer_whose_settle_hangs_is_spooled_at_the_end(
    bench: Workbench, process: Thread
) -> None:
    """The process does not see it through, and does not forget it either."""
    over = Event()
    bench.calls.after["settle_and_take"] = [lambda _: over.wait(30)]
    bench.store.accept("e1", user_id="hanging")
    bench.wait_for("e1", "opened")

    stop(process)

    (file,) = bench.directory.iterdir()
    assert bench.channel_io.creates_of("hanging")[0].chat_id in file.read_text()
    over.set()


def test_what_cannot_be_settled_is_tried_again_and_again(bench: Workbench, process: Thread) -> None:
    """A drain that fails is followed by another."""
    bench.calls.after |= {"settle_and_take": [lose_reply], "settle": [lose_reply]}
    bench.store.accept("e1", user_id="drained")

    bench.wait_until_said("settle", times=2)

    wait_until(lambda: not [*bench.directory.iterdir()], 20, "the spool to be empty")
