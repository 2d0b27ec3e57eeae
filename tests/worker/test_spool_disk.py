"""A disk that cannot be written, or hangs, loses nothing that memory holds, and is logged."""

import errno
import os
import time
from pathlib import Path

import gevent
import pytest
from structlog.testing import capture_logs

from app.chats.errors import CommandRefused
from app.worker.spool import WRITE_SECONDS, CallResult, Spool
from tests.worker.conftest import OpenSpool
from tests.worker.disks import HangingDisk, full_after
from tests.worker.results import logged_result_of, result_of

# Beside a disk that hangs; the rest is a busy machine's.
MAX_KEEP_SECONDS = WRITE_SECONDS + 1


def drained(spool: Spool) -> list[CallResult]:
    """Results that the spool settled, all confirmed."""
    settled: list[CallResult] = []
    spool.drain(settled.append)
    return settled


def unspooled_of(spool: Spool, event_id: str) -> list[str]:
    """Keep a result; return the events that were not spooled, as the log has it."""
    with capture_logs() as lines:
        spool.keep(result_of(event_id))
    return [line["event_id"] for line in lines if line["event"] == "answer_not_spooled"]


@pytest.mark.parametrize("room_bytes", [0, 1, 50])
def test_on_a_full_disk_the_answer_stays_in_memory(
    tmp_path: Path, open_spool: OpenSpool, room_bytes: int
) -> None:
    """Half a result on the disk is none: the log says that the disk has none, and no file stays."""
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


def test_what_only_memory_has_is_tried_once_more_at_the_end(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
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
