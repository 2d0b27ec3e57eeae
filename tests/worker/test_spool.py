"""Tests of the spool: results are in a file until they are settled (I4), whatever the disk does."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import gevent.event
import pytest
from structlog.testing import capture_logs

from app.chats.errors import CommandRefused, StoreUnavailable
from app.chats.grant import Task
from app.chats.outcome import Outcome, OutcomeKind
from app.worker.metrics import OUTCOMES as OUTCOMES_OF_TASKS
from app.worker.spool import WRITE_SECONDS, CallResult, Spool
from tests.worker.conftest import OpenSpool, close
from tests.worker.disks import PATIENCE_SECONDS, HangingDisk, full_after
from tests.worker.results import (
    ALL_OUTCOMES,
    TEXT,
    logged_result_of,
    result_of,
    task_result_of,
)
from tools.model.outcomes import OUTCOMES


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory that is not there yet."""
    return tmp_path / "var" / "spool"


@pytest.fixture
def spool(open_spool: OpenSpool, directory: Path) -> Spool:
    """The spool of this process."""
    return open_spool(directory)


def fail_to_settle(_: CallResult) -> None:
    """Settle function that fails as if Redis were away."""
    raise StoreUnavailable("away")


def fail_for(
    event_id: str, error: Exception, settled: list[CallResult]
) -> Callable[[CallResult], None]:
    """Settle every result but that event's."""

    def settle(result: CallResult) -> None:
        if result.grant.event_id == event_id:
            raise error
        settled.append(result)

    return settle


def drained(spool: Spool) -> list[CallResult]:
    """Results that the spool settled, all confirmed."""
    settled: list[CallResult] = []
    spool.drain(settled.append)
    return settled


def files_in(directory: Path) -> list[Path]:
    """The files that are there."""
    return [*directory.iterdir()]


def test_a_settled_result_leaves_no_trace(spool: Spool, directory: Path) -> None:
    """As long as Redis is there, nothing is written and no directory made."""
    with spool.guard(result_of("e1")):
        pass

    spool.keep_all()
    assert [] == drained(spool)
    assert not directory.exists()


def test_an_answer_that_could_not_be_settled_is_kept(spool: Spool, directory: Path) -> None:
    """The failure is passed on; the result is in a file, and is settled later."""
    drained(spool)
    with pytest.raises(StoreUnavailable), spool.guard(result_of("e1")):
        fail_to_settle(result_of("e1"))

    (file,) = directory.iterdir()
    assert "chat-of-e1" in file.read_text()
    assert spool.is_behind
    assert [result_of("e1")] == drained(spool)


def test_the_spool_is_behind_while_a_failed_result_is_written(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else something would be taken while a disk takes its second."""
    drained(spool)
    disk = HangingDisk(monkeypatch)

    def settle() -> None:
        with pytest.raises(StoreUnavailable), spool.guard(result_of("e1")):
            fail_to_settle(result_of("e1"))

    settling = gevent.spawn(settle)
    wait_for_sync(disk)

    assert spool.is_behind
    disk.go_on()
    settling.get()


def wait_for_sync(disk: HangingDisk) -> None:
    """Let other greenlets run until a sync has begun."""
    with gevent.Timeout(PATIENCE_SECONDS):
        while not disk.syncs:
            gevent.sleep(0.001)


def test_the_file_goes_when_all_of_it_is_settled(spool: Spool, directory: Path) -> None:
    """Not before: what is settled twice is settled once, what is forgotten is lost."""
    settled: list[CallResult] = []
    spool.keep(result_of("e2"))
    spool.keep(result_of("e1"))

    with pytest.raises(StoreUnavailable):
        spool.drain(fail_for("e2", StoreUnavailable("away"), settled))
    assert 1 == len(files_in(directory))
    spool.drain(settled.append)

    assert [result_of("e1"), result_of("e2")] == settled
    assert [] == files_in(directory)


def test_a_new_file_is_begun_after_one_has_gone(spool: Spool, directory: Path) -> None:
    """A later result is not written into a file that no longer has a name."""
    spool.keep(result_of("e1"))
    drained(spool)

    spool.keep(result_of("e2"))

    (file,) = directory.iterdir()
    assert "chat-of-e2" in file.read_text()


@pytest.mark.parametrize("error", [CommandRefused("no"), RuntimeError("a fault of our own")])
def test_a_result_that_is_refused_again_and_again_holds_up_no_other(
    spool: Spool, error: Exception
) -> None:
    """All others are settled at each drain, before anything is taken."""
    settled: list[CallResult] = []
    for event_id in ("e3", "e1", "e2"):
        spool.keep(result_of(event_id))

    for _ in range(2):
        with pytest.raises(type(error)):
            spool.drain(fail_for("e1", error, settled))
    assert [result_of("e2"), result_of("e3")] == settled

    spool.keep(result_of("e4"))
    with pytest.raises(type(error)):
        spool.drain(fail_for("e1", error, settled))
    assert [result_of("e2"), result_of("e3"), result_of("e4")] == settled


def test_the_spool_is_behind_until_redis_has_or_refuses_all_of_it(
    spool: Spool, open_spool: OpenSpool, directory: Path
) -> None:
    """Another greenlet's drain, or what it adopts, changes nothing in that."""
    other = open_spool(directory)
    for event_id in ("e1", "e2"):
        other.keep(result_of(event_id))
    close(other)
    seen = [spool.is_behind]

    def settle(result: CallResult) -> None:
        seen.append(spool.is_behind)
        if len(seen) == 2:
            raise StoreUnavailable("away")
        if result.grant.event_id == "e1":
            raise CommandRefused("no")

    with pytest.raises(StoreUnavailable):
        spool.drain(settle)
    seen.append(spool.is_behind)
    with pytest.raises(CommandRefused):
        spool.drain(settle)

    assert [True] * len(seen) == seen
    assert not spool.is_behind


def test_an_unsaved_refused_result_keeps_the_spool_behind(spool: Spool, directory: Path) -> None:
    """It is tried in all three places, and nothing is taken meanwhile."""
    directory.parent.mkdir()
    directory.touch()
    spool.keep(result_of("e1"))

    with pytest.raises(CommandRefused):
        spool.drain(fail_for("e1", CommandRefused("no"), []))
    was_behind = spool.is_behind
    directory.unlink()
    with pytest.raises(CommandRefused):
        spool.drain(fail_for("e1", CommandRefused("no"), []))

    assert (True, False) == (was_behind, spool.is_behind)


def test_a_redis_that_is_away_is_tried_once(spool: Spool) -> None:
    """It would be away for the next result too, and each try takes seconds."""
    for event_id in ("e1", "e2", "e3"):
        spool.keep(result_of(event_id))
    tried: list[CallResult] = []

    def settle(result: CallResult) -> None:
        tried.append(result)
        fail_to_settle(result)

    with pytest.raises(StoreUnavailable):
        spool.drain(settle)

    assert 1 == len(tried)


def test_a_result_that_its_call_is_settling_is_not_drained(spool: Spool) -> None:
    """It was kept because the log did not take its line; settled once is enough."""
    result = result_of("e1")

    with spool.guard(result):
        spool.keep(result)
        assert [] == drained(spool)

    assert [] == drained(spool)


def test_a_result_that_its_call_settles_meanwhile_is_not_drained(spool: Spool) -> None:
    """Its turn comes after another one's, which takes a while."""
    may_end = gevent.event.Event()

    def call() -> None:
        with spool.guard(result_of("e1")):
            spool.keep_all()
            may_end.wait()

    calling = gevent.spawn(call)
    gevent.sleep(0)
    spool.keep(result_of("e2"))
    settled: list[CallResult] = []

    def settle(result: CallResult) -> None:
        may_end.set()
        calling.join()
        settled.append(result)

    spool.drain(settle)

    assert [result_of("e2")] == settled


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_every_outcome_survives_the_file(
    spool: Spool, open_spool: OpenSpool, directory: Path, outcome: Outcome
) -> None:
    """Another process reads the same result, for every outcome."""
    spool.keep(result_of("e1", outcome))
    (file,) = directory.iterdir()
    left = directory / "of-a-dead-process.jsonl"
    left.write_bytes(file.read_bytes())

    settled = drained(open_spool(directory))

    assert [result_of("e1", outcome)] == settled


@pytest.mark.parametrize(
    ("task", "kind"), [(task, kind) for task, kinds in OUTCOMES_OF_TASKS.items() for kind in kinds]
)
def test_every_outcome_of_a_task_survives_the_file(
    spool: Spool, open_spool: OpenSpool, directory: Path, task: Task, kind: OutcomeKind
) -> None:
    """The task and its number of requests too; a message's text does not, nor need it."""
    result = task_result_of(task, ALL_OUTCOMES[kind], requests=7)
    spool.keep(result)
    (file,) = directory.iterdir()
    content = file.read_bytes()
    (directory / "of-a-dead-process.jsonl").write_bytes(content)

    (settled,) = drained(open_spool(directory))

    assert result == settled
    assert (task, 7, None) == (settled.grant.task, settled.requests, settled.grant.text)
    assert not [text for text in (TEXT, TEXT[:10], "SecretStr", "**") if text.encode() in content]


@pytest.mark.parametrize("is_logged", [True, False])
def test_the_file_has_whether_a_line_was_logged(
    spool: Spool, open_spool: OpenSpool, directory: Path, *, is_logged: bool
) -> None:
    """Another process logs what no log has, and nothing twice."""
    result = result_of("e1")
    result.is_logged = is_logged
    spool.keep(result)
    (file,) = directory.iterdir()
    (directory / "of-a-dead-process.jsonl").write_bytes(file.read_bytes())

    (adopted,) = drained(open_spool(directory))

    assert is_logged == adopted.is_logged


def test_the_result_and_its_file_are_on_the_disk(
    spool: Spool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the file and its name are synced when ``keep`` returns; a power cut loses neither."""
    synced: list[tuple[int, int]] = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size))

    monkeypatch.setattr(os, "fsync", fsync)

    spool.keep(result_of("e1"))

    (file,) = directory.iterdir()
    assert (file.stat().st_ino, file.stat().st_size) in synced
    assert directory.stat().st_ino in [inode for inode, _ in synced]


def test_unfinished_settles_are_written_at_the_end(spool: Spool, directory: Path) -> None:
    """A stopping process does not wait for a Redis that hangs."""
    with spool.guard(result_of("e1")):
        spool.keep_all()

        (file,) = directory.iterdir()
        assert "chat-of-e1" in file.read_text()

    assert [] == files_in(directory)


def test_many_greenlets_keep_while_another_drains(spool: Spool, directory: Path) -> None:
    """No result is lost between them, and no file is left."""
    settled: list[CallResult] = []
    results = [result_of(f"e{number}") for number in range(200)]

    def drain_all() -> None:
        while len(settled) < len(results):
            spool.drain(settled.append)
            gevent.sleep(0)

    drainer = gevent.spawn(drain_all)
    gevent.joinall([gevent.spawn(spool.keep, result) for result in results], raise_error=True)
    drainer.join(PATIENCE_SECONDS)

    by_event = sorted(settled, key=lambda result: result.grant.event_id)
    assert sorted(results, key=lambda result: result.grant.event_id) == by_event
    assert [] == files_in(directory)


def test_results_that_wait_for_the_disk_share_a_sync(
    spool: Spool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand calls may fail at once, and each has a second."""
    results = [result_of(f"e{number}") for number in range(100)]
    disk = HangingDisk(monkeypatch)

    keeping = [gevent.spawn(spool.keep, result) for result in results]
    wait_for_sync(disk)
    disk.go_on()
    gevent.joinall(keeping, raise_error=True)

    assert disk.syncs <= 4
    (file,) = directory.iterdir()
    assert all(result.grant.token in file.read_text() for result in results)
    assert 100 == len(drained(spool))


def test_a_result_that_two_greenlets_keep_is_written_once(
    spool: Spool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its file would never be found to be settled."""
    result = result_of("e1")
    disk = HangingDisk(monkeypatch)

    keeping = [gevent.spawn(spool.keep, result) for _ in range(2)]
    wait_for_sync(disk)
    disk.go_on()
    gevent.joinall(keeping, raise_error=True)

    (file,) = directory.iterdir()
    assert 1 == file.read_text().count("chat-of-e1")
    assert [result] == drained(spool)
    assert [] == files_in(directory)


@pytest.mark.parametrize("others", [0, 1])
def test_a_result_that_is_settled_while_it_is_written_leaves_no_file(
    spool: Spool, directory: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """Neither in a file of its own, nor in one with a result that is settled meanwhile."""
    for number in range(others):
        spool.keep(result_of(f"other-{number}"))
    disk = HangingDisk(monkeypatch)

    keeping = gevent.spawn(spool.keep, result_of("e1"))
    wait_for_sync(disk)
    assert 1 + others == len(drained(spool))
    disk.go_on()
    keeping.get()

    assert [] == files_in(directory)


# Beside a disk that hangs; the rest is a busy machine's.
MAX_KEEP_SECONDS = WRITE_SECONDS + 1


def unspooled_of(spool: Spool, event_id: str) -> list[str]:
    """Keep a result; return the events that were not spooled, as the log has it."""
    with capture_logs() as lines:
        spool.keep(result_of(event_id))
    return [line["event_id"] for line in lines if line["event"] == "answer_not_spooled"]


@pytest.mark.parametrize("room_bytes", [0, 1, 50])
def test_on_a_full_disk_the_answer_stays_in_memory(
    tmp_path: Path, open_spool: OpenSpool, room_bytes: int
) -> None:
    """Half a result on the disk is none: the log reports that, and no file stays."""
    spool = open_spool(tmp_path)

    with full_after(room_bytes):
        unspooled = unspooled_of(spool, "e1")

    assert [] == [*tmp_path.iterdir()]
    assert ["e1"] == unspooled
    assert [result_of("e1")] == drained(spool)


def test_a_file_that_cannot_be_begun_leaves_nothing(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a file without a lock, nor an open one."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    assert ["e1"] == unspooled_of(open_spool(tmp_path), "e1")
    assert [] == [*tmp_path.iterdir()]


def test_after_a_full_disk_the_next_result_is_kept_whole(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """A part that a full disk left does not corrupt the next line."""
    spool = open_spool(tmp_path)
    spool.keep(result_of("e1"))
    (file,) = tmp_path.iterdir()
    with full_after(file.stat().st_size + 50):
        unspooled_of(spool, "e2")

    assert [] == unspooled_of(spool, "e3")

    left = tmp_path / "after-our-death"
    left.mkdir()
    (left / "left.jsonl").write_bytes(file.read_bytes())
    with capture_logs() as lines:
        settled = drained(open_spool(left))
    assert [result_of("e1"), result_of("e3"), result_of("e2")] == settled
    assert 1 == [line["event"] for line in lines].count("spool_line_unreadable")


def test_without_a_directory_the_answer_stays_in_memory(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """Something that is no directory is in its place."""
    (tmp_path / "spool").touch()
    spool = open_spool(tmp_path / "spool")

    assert ["e1"] == unspooled_of(spool, "e1")

    assert [result_of("e1")] == drained(spool)


def test_a_directory_may_come_later(tmp_path: Path, open_spool: OpenSpool) -> None:
    """A volume that is mounted after the start is used from then on."""
    (tmp_path / "spool").touch()
    spool = open_spool(tmp_path / "spool")
    spool.keep(result_of("e1"))
    (tmp_path / "spool").unlink()

    assert [] == unspooled_of(spool, "e2")

    assert [result_of("e2"), result_of("e1")] == drained(spool)


def test_results_in_memory_are_retried_at_the_end(tmp_path: Path, open_spool: OpenSpool) -> None:
    """The disk has room again when the process stops, and Redis is still away."""
    spool = open_spool(tmp_path)
    with full_after(0):
        unspooled_of(spool, "e1")

    spool.keep_all()

    assert any("chat-of-e1" in path.read_text() for path in tmp_path.iterdir())


def test_on_a_full_disk_a_line_is_in_memory_and_log_alone(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """A result in neither log nor file is unsaved until one has it."""
    spool = open_spool(tmp_path)
    drained(spool)
    with full_after(0), capture_logs():
        spool.keep(logged_result_of("e1"))
        with pytest.raises(CommandRefused):
            spool.drain(refuse)
        was_behind = [spool.is_behind]
        spool.keep(result_of("e2"))
        with pytest.raises(CommandRefused):
            spool.drain(refuse)
        was_behind.append(spool.is_behind)
    spool.keep(result_of("e3"))
    with pytest.raises(CommandRefused):
        spool.drain(refuse)

    assert [False, True, False] == [*was_behind, spool.is_behind]


def refuse(_: CallResult) -> None:
    """Settle function that fails as if Redis refused it."""
    raise CommandRefused("no")


def test_a_settle_on_a_full_disk_leaves_no_file(tmp_path: Path, open_spool: OpenSpool) -> None:
    """A line that was not written holds no file back."""
    spool = open_spool(tmp_path)
    spool.keep(result_of("e1"))
    with full_after(0):
        unspooled_of(spool, "e2")

    assert [result_of("e2"), result_of("e1")] == drained(spool)

    assert [] == [*tmp_path.iterdir()]


def seconds_to_keep(spool: Spool, event_id: str) -> float:
    """Return how long it takes."""
    began = time.monotonic()
    spool.keep(result_of(event_id))
    return time.monotonic() - began


def test_a_disk_that_hangs_is_given_up(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second, for all that wait for it; and at once, as long as it hangs."""
    spool = open_spool(tmp_path)
    disk = HangingDisk(monkeypatch)

    waiting = [gevent.spawn(seconds_to_keep, spool, f"e{number}") for number in range(20)]
    gevent.joinall(waiting, raise_error=True)
    afterwards = [seconds_to_keep(spool, f"later-{number}") for number in range(20)]
    began = time.monotonic()
    settled = drained(spool)
    drain_seconds = time.monotonic() - began
    disk.go_on()

    assert max(greenlet.value for greenlet in waiting) < MAX_KEEP_SECONDS
    assert sum(afterwards) < WRITE_SECONDS
    assert 40 == len(settled)
    assert drain_seconds < WRITE_SECONDS


@pytest.mark.parametrize("kept_before", [0, 1])
def test_a_line_that_was_given_up_and_appears_late_is_settled_and_goes(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch, kept_before: int
) -> None:
    """Its file is then as a dead process's: settled twice is settled once."""
    spool = open_spool(tmp_path)
    for number in range(kept_before):
        spool.keep(result_of(f"before-{number}"))
    disk = HangingDisk(monkeypatch)
    spool.keep(result_of("e1"))
    assert 1 + kept_before == len(drained(spool))
    assert [] != [*tmp_path.iterdir()]

    disk.go_on()
    again: list[CallResult] = []
    with gevent.Timeout(MAX_KEEP_SECONDS):
        while [*tmp_path.iterdir()]:
            spool.drain(again.append)
            gevent.sleep(0.01)

    assert {result.grant.event_id for result in again} <= {"e1", "before-0"}
    assert not spool.is_behind


def test_a_disk_that_hangs_holds_up_no_end(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many results are to be written down."""
    spool = open_spool(tmp_path)
    disk = HangingDisk(monkeypatch)
    for number in range(50):
        spool._settling.append(result_of(f"e{number}"))

    began = time.monotonic()
    spool.keep_all()

    assert time.monotonic() - began < MAX_KEEP_SECONDS
    disk.go_on()


def test_a_usable_directory_logs_nothing(tmp_path: Path, open_spool: OpenSpool) -> None:
    """It is made, and nothing stays in it."""
    spool = open_spool(tmp_path / "var" / "spool")

    with capture_logs() as lines:
        spool.check()

    assert [] == lines
    assert [] == [*(tmp_path / "var" / "spool").iterdir()]


def test_a_disk_that_hangs_at_the_start_is_given_up(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that comes meanwhile must not wait for it."""
    spool = open_spool(tmp_path)
    disk = HangingDisk(monkeypatch)
    began = time.monotonic()

    with capture_logs() as lines:
        spool.check()

    assert time.monotonic() - began < MAX_KEEP_SECONDS
    assert ["the disk does not respond"] == [line["reason"] for line in lines]
    disk.go_on()


@pytest.mark.parametrize("room_bytes", [0, 1, 4096])
def test_a_nearly_full_disk_is_logged(
    tmp_path: Path, open_spool: OpenSpool, room_bytes: int
) -> None:
    """Room for a name, or for half an answer, is none; and what was tried is removed."""
    spool = open_spool(tmp_path)

    with full_after(room_bytes), capture_logs() as lines:
        spool.check()

    assert ["spool_unusable"] == [line["event"] for line in lines]
    assert [] == [*tmp_path.iterdir()]


def test_a_file_that_cannot_be_removed_is_settled_once(
    tmp_path: Path, open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that became read-only: its files are not adopted again every second."""
    open_spool(tmp_path / "source").keep(result_of("e1"))
    (file,) = (tmp_path / "source").iterdir()
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "left.jsonl").write_bytes(file.read_bytes())
    spool = open_spool(tmp_path / "left")

    def refuse(_: Path, *, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with capture_logs() as lines:
        settled = [drained(spool), drained(spool)]

    assert [[result_of("e1")], []] == settled
    assert 1 == [line["event"] for line in lines].count("spool_file_stays")
