"""A disk that cannot be written loses nothing that memory still holds, and is said."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.worker.spool import Answer, Spool
from tests.worker.answers import answer_of
from tests.worker.conftest import OpenSpool


@contextmanager
def full_after(size_bytes: int) -> Iterator[None]:
    """No file of this process gets longer than that, as on a disk that is full then."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def drained(spool: Spool) -> list[Answer]:
    """What the spool settles, all of it confirmed."""
    settled: list[Answer] = []
    spool.drain(settled.append)
    return settled


def said_of(spool: Spool, event_id: str) -> list[str]:
    """The events that were not spooled, as the log has it, when this one is kept."""
    with capture_logs() as lines:
        spool.keep(answer_of(event_id))
    return [line["event_id"] for line in lines if line["event"] == "answer_not_spooled"]


@pytest.mark.parametrize("room_bytes", [0, 1, 50])
def test_on_a_full_disk_the_answer_stays_in_memory(
    tmp_path: Path, open_spool: OpenSpool, room_bytes: int
) -> None:
    """Half an answer on the disk is none: it is said that the log alone has it."""
    spool = open_spool(tmp_path)

    with full_after(room_bytes):
        said = said_of(spool, "e1")

    assert ["e1"] == said
    assert [answer_of("e1")] == drained(spool)


def test_after_a_full_disk_the_next_answer_is_kept_whole(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """What the full disk left of an earlier line does not run into it."""
    spool = open_spool(tmp_path)
    with full_after(50):
        said_of(spool, "e1")

    assert [] == said_of(spool, "e2")

    (file,) = tmp_path.iterdir()
    left = tmp_path / "after-our-death"
    left.mkdir()
    (left / "left.jsonl").write_bytes(file.read_bytes())
    assert [answer_of("e2")] == drained(open_spool(left))


def test_without_a_directory_the_answer_stays_in_memory(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """Something that is no directory is in its place."""
    (tmp_path / "spool").touch()
    spool = open_spool(tmp_path / "spool")

    assert ["e1"] == said_of(spool, "e1")

    assert [answer_of("e1")] == drained(spool)


def test_a_directory_may_come_later(tmp_path: Path, open_spool: OpenSpool) -> None:
    """A volume that is mounted after the start is used from then on."""
    (tmp_path / "spool").touch()
    spool = open_spool(tmp_path / "spool")
    spool.keep(answer_of("e1"))
    (tmp_path / "spool").unlink()

    assert [] == said_of(spool, "e2")

    assert [answer_of("e2"), answer_of("e1")] == drained(spool)


def test_what_only_memory_has_is_tried_once_more_at_the_end(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """The disk has room again when the process stops, and Redis is still away."""
    spool = open_spool(tmp_path)
    with full_after(0):
        said_of(spool, "e1")

    spool.keep_held()

    assert any("chat-of-e1" in path.read_text() for path in tmp_path.iterdir())
