"""Tests of adoption: a live process settles the files of a dead one."""

import json
import os
import socket
import stat
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from app.chats.errors import StoreUnavailable
from app.chats.grant import Task
from app.worker.spool import CallResult, Spool
from tests.worker.conftest import OpenSpool, close
from tests.worker.results import result_of
from tools.stack.processes import Child, kill_child, start_child, wait_until
from tools.stack.relay import ROOT

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
    """Results that the spool settled, all confirmed."""
    settled: list[CallResult] = []
    spool.drain(settled.append)
    return settled


def line_of(event_id: str) -> bytes:
    """The line that a result becomes."""
    return b"\n" + JSON.dump_json(result_of(event_id)) + b"\n"


def has_lines(directory: Path) -> bool:
    """Return whether a file with results is there."""
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
    """The lock marks a live process: it ends with the process, however that ends."""
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


def test_a_file_set_aside_is_not_read_again(tmp_path: Path, open_spool: OpenSpool) -> None:
    """It waits for an operator, and is not read at each drain."""
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


def test_the_spool_is_behind_until_all_files_are_read(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """Nothing may be taken before the last of them is settled."""
    for number in range(3):
        (tmp_path / f"left-{number}.jsonl").write_bytes(line_of(f"e{number}"))
    spool = open_spool(tmp_path)
    seen: list[bool] = []

    spool.drain(lambda _: seen.append(spool.is_behind))

    assert [True] * 3 == seen
    assert not spool.is_behind


def test_files_left_during_a_drain_are_found(tmp_path: Path, open_spool: OpenSpool) -> None:
    """A process may end after the files were listed."""
    (tmp_path / "left.jsonl").write_bytes(line_of("e1"))
    spool = open_spool(tmp_path)

    def settle(_: CallResult) -> None:
        spool.needs_adoption = True

    spool.drain(settle)

    assert spool.is_behind


def test_files_are_settled_one_after_the_other(tmp_path: Path, open_spool: OpenSpool) -> None:
    """However many there are, few are open, and few results in memory."""
    for number in range(300):
        (tmp_path / f"left-{number}.jsonl").write_bytes(line_of(f"e{number}"))
    spool = open_spool(tmp_path)
    held: list[int] = []

    spool.drain(lambda _: held.append(len(spool._kept)))

    assert [1] * 300 == held
    assert [] == [*tmp_path.iterdir()]


def test_a_file_that_is_not_settled_is_left_to_the_next_process(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """Redis goes away in the midst of it: nothing of it is lost, and nothing taken."""
    (tmp_path / "left.jsonl").write_bytes(line_of("e1") + line_of("e2"))
    spool = open_spool(tmp_path)

    with pytest.raises(StoreUnavailable):
        spool.drain(fail)
    was_behind = spool.is_behind
    close(spool)

    assert was_behind
    assert [result_of("e1"), result_of("e2")] == drained(open_spool(tmp_path))


def fail(_: CallResult) -> None:
    """Settle function that fails as if Redis were away."""
    raise StoreUnavailable("away")


# What is no file of results


def make_fifo(path: Path, _: Path) -> None:
    """Opening it would wait for its other end."""
    os.mkfifo(path)


def make_directory(path: Path, _: Path) -> None:
    """It cannot be read."""
    path.mkdir()


def make_socket(path: Path, _: Path) -> None:
    """It cannot be opened."""
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(path.parent, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/{path.name}")  # a whole path may be too long
        os.close(here)


def make_device(path: Path, _: Path) -> None:
    """It never ends."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make a device")


def make_dangling_link(path: Path, outside: Path) -> None:
    """It leads to nothing."""
    path.symlink_to(outside / "nothing")


def make_link_to_fifo(path: Path, outside: Path) -> None:
    """It leads to what never opens."""
    os.mkfifo(outside / "fifo")
    path.symlink_to(outside / "fifo")


def make_link_to_results(path: Path, outside: Path) -> None:
    """Its target may be another user's file."""
    (outside / "results").write_bytes(line_of("forged"))
    path.symlink_to(outside / "results")


def make_link_to_itself(path: Path, _: Path) -> None:
    """It leads nowhere."""
    path.symlink_to(path)


def make_unreadable(path: Path, _: Path) -> None:
    """Another user's."""
    path.write_bytes(line_of("theirs"))
    path.chmod(0)


def make_many_lines(path: Path, _: Path) -> None:
    """Each of them is short, and all of them take much memory."""
    path.write_bytes(b"x\n" * 3_000_000)


def make_endless(path: Path, _: Path) -> None:
    """A file without an end to speak of, and with next to nothing on the disk."""
    with path.open("wb") as file:
        file.truncate(1 << 42)


UNFIT = (
    *(make_fifo, make_directory, make_socket, make_device, make_dangling_link, make_link_to_fifo),
    *(make_link_to_results, make_link_to_itself, make_many_lines, make_endless),
    *(() if os.getuid() == 0 else (make_unreadable,)),  # root may read everything
)


@pytest.mark.parametrize("make", UNFIT, ids=[make.__name__ for make in UNFIT])
def test_other_files_in_the_spool_are_skipped(
    tmp_path: Path, open_spool: OpenSpool, make: Callable[[Path, Path], None]
) -> None:
    """It is reported once and stays as it is; everything else is settled meanwhile."""
    directory, outside = tmp_path / "spool", tmp_path / "outside"
    directory.mkdir()
    outside.mkdir()
    make(directory / "a.jsonl", outside)
    (directory / "b.jsonl").write_bytes(line_of("e1"))
    spool = open_spool(directory)
    spool.keep(result_of("e2"))

    with capture_logs() as lines:
        settled = drained(spool) + drained(spool)

    assert ["e1", "e2"] == sorted(result.grant.event_id for result in settled)
    assert not spool.is_behind
    assert [str(directory / "a.jsonl")] == [
        line["path"] for line in lines if line["log_level"] == "error"
    ]
    assert ["a.jsonl"] == [path.name for path in directory.iterdir()]


def test_a_mended_file_is_settled(tmp_path: Path, open_spool: OpenSpool) -> None:
    """An operator mends it under the same name; no worker is restarted for it."""
    left = tmp_path / "left.jsonl"
    os.mkfifo(left)
    spool = open_spool(tmp_path)
    assert [] == drained(spool)

    left.with_suffix(".new").write_bytes(line_of("e1"))
    left.with_suffix(".new").rename(left)

    assert [result_of("e1")] == drained(spool)


def test_a_huge_line_takes_no_memory_and_loses_no_other(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """256 MiB without a line break, between two results."""
    with (tmp_path / "left.jsonl").open("wb") as file:
        file.write(line_of("e1"))
        file.seek(256 << 20)
        file.write(line_of("e2"))
    tracemalloc.start()

    try:
        with capture_logs() as lines:
            settled = drained(open_spool(tmp_path))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [result_of("e1"), result_of("e2")] == settled
    assert 1 == len([line for line in lines if line["event"] == "spool_line_unreadable"])
    assert ["left.unreadable"] == [path.name for path in tmp_path.iterdir()]
    assert peak_bytes < 32 << 20


def test_many_broken_lines_are_counted(tmp_path: Path, open_spool: OpenSpool) -> None:
    """The first ones are logged, each by its number; the log is not flooded."""
    (tmp_path / "left.jsonl").write_bytes(b"broken\n" * 1000 + line_of("e1"))

    with capture_logs() as lines:
        settled = drained(open_spool(tmp_path))

    assert [result_of("e1")] == settled
    assert [*range(1, 11)] == [
        line["line"] for line in lines if line["event"] == "spool_line_unreadable"
    ]
    (adopted,) = [line for line in lines if line["event"] == "spool_adopted"]
    assert (1, 1000) == (adopted["answers"], adopted["unreadable"])


@pytest.mark.parametrize("change", ["replace", "append", "remove"])
def test_a_file_that_changes_is_read_again(
    tmp_path: Path, open_spool: OpenSpool, change: str
) -> None:
    """Another file put there, or one that grows, is read to its last line."""
    left, other = tmp_path / "left.jsonl", tmp_path / "other"
    left.write_bytes(line_of("e1"))
    other.write_bytes(line_of("e2"))
    settled: list[str] = []

    def settle(result: CallResult) -> None:
        if not settled:
            match change:
                case "replace":
                    other.rename(left)
                case "append":
                    with left.open("ab") as file:
                        file.write(line_of("e2"))
                case "remove":
                    left.unlink()
        settled.append(result.grant.event_id)

    spool = open_spool(tmp_path)
    spool.drain(settle)
    spool.drain(settle)

    expected = {"replace": ["e1", "e2"], "append": ["e1", "e1", "e2"], "remove": ["e1"]}
    assert expected[change] == settled
    assert not left.exists()


def test_two_names_of_one_file_are_settled(tmp_path: Path, open_spool: OpenSpool) -> None:
    """A hard link is a file like any other."""
    (tmp_path / "left.jsonl").write_bytes(line_of("e1"))
    (tmp_path / "also.jsonl").hardlink_to(tmp_path / "left.jsonl")
    spool = open_spool(tmp_path)

    settled = drained(spool) + drained(spool)

    assert {"e1"} == {result.grant.event_id for result in settled}
    assert [] == [*tmp_path.iterdir()]


def test_setting_aside_replaces_nothing(tmp_path: Path, open_spool: OpenSpool) -> None:
    """Two broken files of one name: both stay for a person."""
    spool = open_spool(tmp_path)
    for text in (b"broken\n", b"broken too\n"):
        (tmp_path / "left.jsonl").write_bytes(text)
        drained(spool)

    assert {b"broken\n", b"broken too\n"} == {path.read_bytes() for path in tmp_path.iterdir()}


# Of whom it is


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directory_and_files_are_of_this_user_alone(
    tmp_path: Path, open_spool: OpenSpool, umask: int
) -> None:
    """Results name people's chats; whatever the umask is, others see none of them."""
    directory = tmp_path / "var" / "spool"
    before = os.umask(umask)
    try:
        spool = open_spool(directory)
        with capture_logs() as lines:
            spool.check()
        spool.keep(result_of("e1"))
    finally:
        os.umask(before)

    (file,) = directory.iterdir()
    assert (0o700, 0o600) == (mode_of(directory), mode_of(file))
    assert [] == lines


def mode_of(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777])
def test_an_open_directory_is_logged_and_kept(
    tmp_path: Path, open_spool: OpenSpool, mode: int
) -> None:
    """It may be a mounted volume, or shared on purpose; the files in it are private anyway."""
    directory = tmp_path / "spool"
    directory.mkdir()
    directory.chmod(mode)
    spool = open_spool(directory)

    with capture_logs() as lines:
        spool.check()
        spool.keep(result_of("e1"))

    assert [("spool_open_to_others", f"{mode:04o}")] == [
        (line["event"], line["mode"]) for line in lines
    ]
    (file,) = directory.iterdir()
    assert (mode, 0o600) == (mode_of(directory), mode_of(file))


OLD_LINE = (
    b'{"grant":{"event_id":"e1","user_id":"u1","attempt":1,"token":"t","stored_fields":'
    b'{"v":2,"status":"calling","attempt":1,"attempts":1,"user_id":"u1",'
    b'"accepted_ms":1700000000000}},"outcome":{"chat":{"id":"chat-1","channel_id":null,'
    b'"state":null,"session":null,"user_session":null},"upstream_status":200,'
    b'"kind":"created"},"trace":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",'
    b'"span_id":"00f067aa0ba902b7","parent_id":null,"is_sampled":true},"seconds":0.1,'
    b'"is_logged":true}\n'
)
OLD_OUTCOMES: dict[str, dict[str, Any]] = {
    "refused": {"code": "rejected", "detail": "No.", "upstream_status": 422},
    "denied": {"detail": "No.", "upstream_status": 401},
    "throttled": {"retry_after_ms": 1000, "upstream_status": 429},
    "not_sent": {"detail": "No.", "upstream_status": None},
    "unknown": {"code": "no_answer", "detail": "None.", "upstream_status": None},
}


def test_a_line_from_before_is_still_read(tmp_path: Path, open_spool: OpenSpool) -> None:
    """The life was nowhere but among the record's fields, and there was one task, the create."""
    (tmp_path / "left.jsonl").write_bytes(OLD_LINE)

    (result,) = drained(open_spool(tmp_path))

    assert ("e1", "t", 1_700_000_000_000) == (
        result.grant.event_id,
        result.grant.token,
        result.grant.stored_fields["accepted_ms"],
    )
    assert (Task.CREATE, 1, None) == (result.grant.task, result.requests, result.grant.text)


@pytest.mark.parametrize("kind", OLD_OUTCOMES)
def test_an_outcome_from_before_is_still_read(
    tmp_path: Path, open_spool: OpenSpool, kind: str
) -> None:
    """Without the fields that this release added."""
    line = json.loads(OLD_LINE) | {"outcome": OLD_OUTCOMES[kind] | {"kind": kind}}
    (tmp_path / "left.jsonl").write_text(json.dumps(line) + "\n")

    (result,) = drained(open_spool(tmp_path))

    assert kind == result.outcome.kind
    assert Task.CREATE is result.grant.task


def make_newer_outcome(line: Any) -> None:
    """Of a kind that this release does not have."""
    line["outcome"] = {"kind": "translated", "language": "ko"}


def make_newer_task(line: Any) -> None:
    """Of a task that this release does not have."""
    line["grant"]["task"] = "translate"


@pytest.mark.parametrize("make_newer", [make_newer_outcome, make_newer_task])
def test_a_line_of_a_newer_release_is_set_aside(
    tmp_path: Path, open_spool: OpenSpool, make_newer: Callable[[Any], None]
) -> None:
    """It is reported, and kept whole for that release; every other result is settled."""
    newer = json.loads(line_of("newer"))
    make_newer(newer)
    newer_line = json.dumps(newer).encode() + b"\n"
    (tmp_path / "left.jsonl").write_bytes(line_of("e1") + newer_line + line_of("e2"))
    spool = open_spool(tmp_path)

    with capture_logs() as lines:
        settled = drained(spool)

    assert [result_of("e1"), result_of("e2")] == settled
    assert not spool.is_behind
    assert ["spool_line_unreadable"] == [
        line["event"] for line in lines if line["log_level"] == "error"
    ]
    (file,) = tmp_path.iterdir()
    assert "left.unreadable" == file.name
    assert newer_line in file.read_bytes()
