"""What a dead process left is settled by whoever runs with its directory, and by nobody before."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from app.worker.spool import CallResult, Spool
from tests.stack.processes import Child, kill_child, start_child, wait_until
from tests.stack.relay import ROOT
from tests.worker.conftest import OpenSpool
from tests.worker.results import result_of

JSON = TypeAdapter(CallResult)

KEEPS_AND_STAYS = """
import signal, sys
from pathlib import Path
from app.worker.spool import Spool
from tests.worker.results import result_of
spool = Spool(Path(sys.argv[1]))
spool.keep(result_of("e1"))
signal.pause()
"""


def drained(spool: Spool) -> list[CallResult]:
    """What the spool settles, all of it confirmed."""
    settled: list[CallResult] = []
    spool.drain(settled.append)
    return settled


def line_of(event_id: str) -> bytes:
    """The line that a result becomes."""
    return b"\n" + JSON.dump_json(result_of(event_id)) + b"\n"


def has_lines(directory: Path) -> bool:
    """Whether a file with results is there."""
    return any(path.stat().st_size > 0 for path in directory.glob("*.jsonl"))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Child]:
    """Another worker process, which has kept a result and lives."""
    other = start_child([sys.executable, "-c", KEEPS_AND_STAYS, str(tmp_path)], cwd=ROOT)
    wait_until(lambda: has_lines(tmp_path), 30, "the other's result")
    yield other
    kill_child(other)


def test_a_living_process_keeps_its_file_and_a_dead_ones_is_adopted(
    other: Child, tmp_path: Path, open_spool: OpenSpool
) -> None:
    """The lock says who lives: it ends with the process, however that ends."""
    spool = open_spool(tmp_path)

    while_it_lives = drained(spool)
    kill_child(other)
    afterwards = drained(spool)

    assert ([], [result_of("e1")]) == (while_it_lives, afterwards)
    assert [] == [*tmp_path.iterdir()]


def test_a_file_is_adopted_by_one(tmp_path: Path, open_spool: OpenSpool) -> None:
    """While one worker has not settled it yet, another leaves it alone."""
    (tmp_path / "left.jsonl").write_bytes(line_of("e1"))
    first, second = open_spool(tmp_path), open_spool(tmp_path)

    with pytest.raises(InterruptedError):
        first.drain(interrupt)

    assert [] == drained(second)
    assert [result_of("e1")] == drained(first)


def interrupt(_: CallResult) -> None:
    """Settling is cut short."""
    raise InterruptedError


def test_a_new_file_is_never_taken_for_a_dead_ones(tmp_path: Path, open_spool: OpenSpool) -> None:
    """From the moment at which others can see it, it is locked."""
    spool, others = open_spool(tmp_path), open_spool(tmp_path)
    results = [result_of(f"e{number}") for number in range(150)]
    taken: list[CallResult] = []
    kept: list[CallResult] = []

    def keep_all() -> None:
        for result in results:
            spool.keep(result)
            spool.drain(kept.append)

    keeping = gevent.spawn(keep_all)
    while not keeping.ready():
        others.drain(taken.append)
        gevent.sleep(0)
    keeping.get()

    assert ([], results) == (taken, kept)


def test_torn_and_unreadable_lines_lose_no_other(tmp_path: Path, open_spool: OpenSpool) -> None:
    """The rest is settled; the file is kept aside as it was, and said to be there."""
    good, also_good = line_of("e1"), line_of("e2")
    broken = good + good[: len(good) // 2] + b'\n{"grant": 7}\n\xff\x00\n' + also_good
    (tmp_path / "left.jsonl").write_bytes(broken)

    with capture_logs() as lines:
        settled = drained(open_spool(tmp_path))

    assert [result_of("e1"), result_of("e2")] == settled
    assert [broken] == [path.read_bytes() for path in tmp_path.iterdir()]
    assert ["left.unreadable"] == [path.name for path in tmp_path.iterdir()]
    assert 3 == len([line for line in lines if line["event"] == "spool_line_unreadable"])


def test_what_is_kept_aside_is_not_read_again(tmp_path: Path, open_spool: OpenSpool) -> None:
    """It waits for a person; nobody settles it at each drain."""
    (tmp_path / "left.jsonl").write_bytes(b"no JSON\n")
    drained(open_spool(tmp_path))

    with capture_logs() as lines:
        assert [] == drained(open_spool(tmp_path))

    assert [] == lines


def test_an_empty_file_goes(tmp_path: Path, open_spool: OpenSpool) -> None:
    """A process was killed before it wrote its first answer."""
    (tmp_path / "left.jsonl").touch()

    assert [] == drained(open_spool(tmp_path))

    assert [] == [*tmp_path.iterdir()]


def test_a_file_that_cannot_be_opened_holds_up_no_other(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """It is said once, and everything else is settled."""
    (tmp_path / "a.jsonl").mkdir()
    (tmp_path / "b.jsonl").write_bytes(line_of("e1"))
    spool = open_spool(tmp_path)
    spool.keep(result_of("e2"))

    with capture_logs() as lines:
        settled = drained(spool) + drained(spool)

    assert [result_of("e1"), result_of("e2")] == sorted(settled, key=lambda a: a.grant.event_id)
    assert ["spool_file_unreadable"] == [
        line["event"] for line in lines if line["log_level"] == "error"
    ]


def test_the_spool_is_behind_until_all_files_are_read(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """Nothing may be taken while another greenlet is at it."""
    spool = open_spool(tmp_path)
    slow = tmp_path / "left.jsonl"
    os.mkfifo(slow)  # opening it waits for a writer

    draining = gevent.spawn(drained, spool)
    gevent.sleep(0.1)
    was_behind = spool.is_behind
    slow.open("wb").close()
    draining.get()

    assert (True, False) == (was_behind, spool.is_behind)
    assert [] == [*tmp_path.iterdir()]
