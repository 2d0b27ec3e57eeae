"""I4: an answer that Redis could not take is in a file until it is settled."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest

from app.chats.errors import StoreUnavailable
from app.chats.outcome import Outcome
from app.worker.spool import Answer, Spool
from tests.stack.processes import wait_until
from tests.store.outcomes import OUTCOMES
from tests.worker.answers import answer_of
from tests.worker.conftest import OpenSpool


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory that is not there yet."""
    return tmp_path / "var" / "spool"


@pytest.fixture
def spool(open_spool: OpenSpool, directory: Path) -> Spool:
    """The spool of this process."""
    return open_spool(directory)


def fail_to_settle(_: Answer) -> None:
    """What settling comes to while Redis is away."""
    raise StoreUnavailable("away")


def refuse(event_id: str, settled: list[Answer]) -> Callable[[Answer], None]:
    """Settle every answer but that event's."""

    def settle(answer: Answer) -> None:
        if answer.grant.event_id == event_id:
            raise StoreUnavailable("refused")
        settled.append(answer)

    return settle


def drained(spool: Spool) -> list[Answer]:
    """What the spool settles, all of it confirmed."""
    settled: list[Answer] = []
    spool.drain(settled.append)
    return settled


def test_a_settled_answer_leaves_no_trace(spool: Spool, directory: Path) -> None:
    """As long as Redis is there, nothing is written and no directory made."""
    with spool.holding(answer_of("e1")):
        pass

    spool.keep_held()
    assert [] == drained(spool)
    assert not directory.exists()


def test_an_answer_that_could_not_be_settled_is_kept(spool: Spool, directory: Path) -> None:
    """The failure is passed on; the answer is in a file, and is settled later."""
    with pytest.raises(StoreUnavailable), spool.holding(answer_of("e1")):
        fail_to_settle(answer_of("e1"))

    (file,) = directory.iterdir()
    assert "chat-of-e1" in file.read_text()
    assert [answer_of("e1")] == drained(spool)


def test_the_file_goes_when_all_of_it_is_settled(spool: Spool, directory: Path) -> None:
    """Not before: what is settled twice is settled once, what is forgotten is lost."""
    settled: list[Answer] = []
    spool.keep(answer_of("e1"))
    spool.keep(answer_of("e2"))

    with pytest.raises(StoreUnavailable):
        spool.drain(refuse("e2", settled))
    assert 1 == len([*directory.iterdir()])
    spool.drain(settled.append)

    assert [answer_of("e1"), answer_of("e2")] == settled
    assert [] == [*directory.iterdir()]


def test_a_new_file_is_begun_after_one_has_gone(spool: Spool, directory: Path) -> None:
    """A later answer is not written into a file that no longer has a name."""
    spool.keep(answer_of("e1"))
    drained(spool)

    spool.keep(answer_of("e2"))

    (file,) = directory.iterdir()
    assert "chat-of-e2" in file.read_text()


def test_an_answer_that_is_refused_again_and_again_holds_up_no_other(spool: Spool) -> None:
    """It goes to the end of the line, and what comes later is settled before it."""
    settled: list[Answer] = []
    spool.keep(answer_of("e2"))
    spool.keep(answer_of("e1"))

    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            spool.drain(refuse("e1", settled))
    assert [answer_of("e2")] == settled

    spool.keep(answer_of("e3"))
    with pytest.raises(StoreUnavailable):
        spool.drain(refuse("e1", settled))
    assert [answer_of("e2"), answer_of("e3")] == settled


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_every_outcome_survives_the_file(
    spool: Spool, open_spool: OpenSpool, directory: Path, outcome: Outcome
) -> None:
    """What another process reads is what this one held, whatever the call came to."""
    spool.keep(answer_of("e1", outcome))
    (file,) = directory.iterdir()
    left = directory / "of-a-dead-process.jsonl"
    left.write_bytes(file.read_bytes())

    settled = drained(open_spool(directory))

    assert [answer_of("e1", outcome)] == settled


def test_the_answer_and_its_file_are_on_the_disk(
    spool: Spool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the file and its name are synced when ``keep`` returns; a power cut loses neither."""
    synced: list[tuple[int, int]] = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size))

    monkeypatch.setattr(os, "fsync", fsync)

    spool.keep(answer_of("e1"))

    (file,) = directory.iterdir()
    assert (file.stat().st_ino, file.stat().st_size) in synced
    assert directory.stat().st_ino in [inode for inode, _ in synced]


def test_what_is_being_settled_at_the_end_is_written_down(spool: Spool, directory: Path) -> None:
    """A stopping process does not wait for a Redis that hangs."""
    begun, over = Event(), Event()

    def settle_for_long() -> None:
        with spool.holding(answer_of("e1")):
            begun.set()
            over.wait(30)

    thread = Thread(target=settle_for_long)
    thread.start()
    begun.wait(30)

    spool.keep_held()

    (file,) = directory.iterdir()
    assert "chat-of-e1" in file.read_text()
    over.set()
    thread.join()


def test_many_threads_keep_while_another_drains(spool: Spool, directory: Path) -> None:
    """No answer is lost between them, and no file is left."""
    settled: list[Answer] = []
    answers = [answer_of(f"e{number}") for number in range(200)]
    over = Event()

    def drain_until_over() -> None:
        while not over.is_set():
            spool.drain(settled.append)

    drainer = Thread(target=drain_until_over)
    drainer.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(spool.keep, answers))
    wait_until(lambda: len(settled) >= len(answers), 30, "all answers to be settled")
    over.set()
    drainer.join()

    by_event = sorted(settled, key=lambda answer: answer.grant.event_id)
    assert sorted(answers, key=lambda answer: answer.grant.event_id) == by_event
    assert [] == [*directory.iterdir()]
