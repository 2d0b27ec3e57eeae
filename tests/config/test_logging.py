"""Logs are one JSON object a line, from every logger, and never block gevent's loop."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import IO, Any

import pytest

from tools.stack.relay import PYTHON

PROLOGUE = """
import logging, os, sys, warnings
import structlog
log, theirs = structlog.get_logger("relay.test"), logging.getLogger("urllib3")
from config.logging import configure, stdout_lines, write_event
configure("INFO")
"""


def lines_of(program: str) -> list[dict[str, Any]]:
    """Run ``program`` in a process of its own; return the JSON objects that it printed."""
    ran = subprocess.run(
        [PYTHON, "-c", PROLOGUE + program], capture_output=True, check=True, text=True
    )
    assert "" == ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_our_line_is_one_json_object() -> None:
    """A line has its time in UTC, its level, its logger, what happened and what it is about."""
    (line,) = lines_of('log.info("call", event_id="refund-7731", duration_ms=1.5)')

    stamp = datetime.fromisoformat(line.pop("timestamp"))
    assert stamp.utcoffset() == timedelta(0)
    assert {
        "level": "info",
        "logger": "relay.test",
        "event": "call",
        "event_id": "refund-7731",
        "duration_ms": 1.5,
    } == line


def test_libraries_write_the_same_lines() -> None:
    """The standard library's loggers and warnings come out as ours do."""
    retry, old = lines_of("""
theirs.warning("retry %d", 3)
warnings.warn("old")
""")

    assert ("urllib3", "retry 3") == (retry["logger"], retry["event"])
    assert "py.warnings" == old["logger"]
    assert old["event"].startswith("<string>:9: UserWarning: old")
    for line in (retry, old):
        assert "warning" == line["level"]
        assert {"timestamp", "level", "logger", "event"} == line.keys()


def test_exception_stays_on_its_line() -> None:
    """A traceback is a field of the line, and shows no local variables."""
    lines = lines_of("""
for logger in (log, theirs):
    try:
        password = "sword" + "fish"
        1 / 0
    except ZeroDivisionError:
        logger.exception("broken")
""")

    assert ["relay.test", "urllib3"] == [line["logger"] for line in lines]
    for line in lines:
        assert ("error", "broken") == (line["level"], line["event"])
        assert line["exception"].startswith("Traceback (most recent call last):\n")
        assert line["exception"].endswith("ZeroDivisionError: division by zero")
        assert "swordfish" not in line["exception"]


def test_lines_below_the_level_are_dropped() -> None:
    """``LOG_LEVEL`` holds for our loggers and for the libraries'."""
    lines = lines_of("""
log.debug("ours")
log.info("ours")
theirs.debug("theirs")
theirs.info("theirs")
""")

    assert [("info", "ours"), ("info", "theirs")] == [
        (line["level"], line["event"]) for line in lines
    ]


def test_anything_can_be_logged() -> None:
    """Text that is no UTF-8 and objects that are no JSON do not break a line."""
    (line,) = lines_of(r'log.info("odd\n", path="\ud800é", seen={1}, thing=object, n=float("nan"))')

    assert ("odd\n", "\ud800é") == (line["event"], line["path"])
    assert "{1}" in line["seen"]


def test_broken_record_is_a_line() -> None:
    """A library's call with wrong arguments hurts nothing, and stderr stays empty."""
    (line,) = lines_of('theirs.error("%d", "x")')

    assert ("urllib3", "error", "log_record_broken") == (
        line["logger"],
        line["level"],
        line["event"],
    )
    assert line["source"].startswith("<string>:")
    assert line["exception"].startswith("Traceback (most recent call last):\n")


def test_closed_stdout_loses_lines_alone() -> None:
    """With the log's pipe gone the process goes on, and ends with its own exit code."""
    assert [] == lines_of("""
os.close(1)
log.error("lost")
theirs.error("lost")
assert not write_event("relay.test", "lost")
assert stdout_lines.lost == 3
os.open(os.devnull, os.O_WRONLY)
""")


def test_event_is_written_with_its_answer() -> None:
    """The line is like any other; its writer learns whether the log has it."""
    (line,) = lines_of("""
assert write_event("relay.worker", "call", chat_id="c1") is True
configure("WARNING")
assert write_event("relay.worker", "call", chat_id="c2") is False
""")

    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert {"level": "info", "logger": "relay.worker", "event": "call", "chat_id": "c1"} == line


def test_threads_of_an_unpatched_process_lose_no_line() -> None:
    """Native threads take turns as well: a log that is read has all lines, each of them whole."""
    lines = lines_of("""
from threading import Thread

def write_lines(name):
    for n in range(500):
        log.info("line", name=name, n=n, text=name * (9000 if n % 50 == 0 else 300))

threads = [Thread(target=write_lines, args=[name]) for name in "abcdefgh"]
for thread in threads:
    thread.start()
""")

    assert [(name, n) for name in "abcdefgh" for n in range(500)] == sorted(
        (line["name"], line["n"]) for line in lines
    )


# A stdout without room. Programs are patched as web and worker are, and report on stderr.

PATCHED = """
from gevent import monkey
monkey.patch_all()
import json, os, sys, time
import gevent
import structlog
from config.logging import LineWriter, configure, guard_hub_errors, stdout_lines, write_event
configure("INFO")
log = structlog.get_logger("relay.test")

def report(**fields):
    os.write(2, json.dumps(fields).encode() + b"\\n")

def fill():
    filler = LineWriter(1, lambda count: b"")
    while filler.write(json.dumps({"event": "filler", "text": "x" * 1000}).encode() + b"\\n", 0):
        pass

def await_word():
    sys.stdin.readline()

def seconds_of(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began

class Ticker:
    def __init__(self):
        self.gaps = [0]
        gevent.spawn(self.tick)

    def tick(self):
        while True:
            self.gaps.append(seconds_of(lambda: gevent.sleep(0.01)))
"""
TIMEOUT_SECONDS = 10


class Program:
    """A patched process whose stdout is a pipe that is read when the test reads it."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: tuple[int, int]) -> None:
        self.process = process
        self.reading_end, self.writing_end = pipe

    def report(self) -> dict[str, Any]:
        """Return the next report. Fails where the process ended, or hung."""
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line, "it ended, or hung, without a report"
        report: dict[str, Any] = json.loads(line)
        return report

    def send_word(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def read_page(self) -> bytes:
        """Read so much that there is room for one page."""
        return os.read(self.reading_end, 4096)

    def read_lines(self, exit_code: int = 0) -> list[bytes]:
        """Return all lines that are still to come, once it has ended with ``exit_code``."""
        os.close(self.writing_end)
        with open(self.reading_end, "rb", closefd=False) as pipe:
            lines = pipe.read().splitlines()
        assert exit_code == self.process.wait(TIMEOUT_SECONDS)
        return lines

    def read_events(self) -> list[dict[str, Any]]:
        """Do as ``read_lines``; each line is whole, and a filler is left out."""
        lines = [json.loads(line) for line in self.read_lines()]
        return [line for line in lines if line["event"] != "filler"]


@contextmanager
def running(program: str, stderr: IO[bytes] | int = subprocess.PIPE) -> Iterator[Program]:
    """Run ``program``, with a stdout that nothing reads."""
    pipe = os.pipe()
    process = subprocess.Popen(
        [PYTHON, "-c", PATCHED + program],
        stdin=subprocess.PIPE,
        stdout=pipe[1],
        stderr=stderr,
    )
    too_late = Timer(TIMEOUT_SECONDS, process.kill)  # ends each wait for it
    too_late.start()
    with process:
        yield Program(process, pipe)
        too_late.cancel()
        process.kill()
    os.close(pipe[0])


def test_full_stdout_stops_no_other_greenlet() -> None:
    """Lines without room are dropped and counted; the next line reports how many."""
    with running("""
counted = []
stdout_lines.on_lost = lambda: counted.append(1)
ticker = Ticker()
for n in range(10_000):
    log.info("line", n=n, text="x" * 200)
    gevent.sleep(0)
report(longest_gap=max(ticker.gaps), lost=stdout_lines.lost, counted=len(counted))
await_word()
for n in range(20):
    assert write_event("relay.test", "later", n=n)
""") as program:
        report = program.report()
        program.send_word()
        lines = program.read_events()

    assert 0.5 > report["longest_gap"]
    assert 9_000 < report["lost"] == report["counted"]
    assert 10_000 - report["lost"] == len([line for line in lines if line["event"] == "line"])
    (losses,) = [line for line in lines if line["event"] == "log_lines_lost"]
    assert {"level": "warning", "logger": "relay.log", "count": report["lost"]}.items() <= (
        losses.items()
    )
    assert list(range(20)) == [line["n"] for line in lines if line["event"] == "later"]


def test_line_waits_for_room() -> None:
    """A line is written as soon as something is read, within its patience."""
    with running("""
fill()
gevent.spawn(report, is_waiting=True)
assert write_event("relay.test", "call")
report(lost=stdout_lines.lost)
""") as program:
        assert {"is_waiting": True} == program.report()
        program.read_page()
        assert {"lost": 0} == program.report()
        (line,) = program.read_lines()[-1:]

    assert "call" == json.loads(line)["event"]


def test_ordinary_lines_lose_their_patience() -> None:
    """The first lost line waited a second, those after it do not, and an event always does."""
    with running("""
fill()
seconds = [seconds_of(lambda: log.info("line")) for _ in range(100)]
report(first=seconds[0], others=sum(seconds[1:]))
report(event=seconds_of(lambda: write_event("relay.test", "call")))
await_word()
assert write_event("relay.test", "call")
fill()
report(flowing=seconds_of(lambda: log.info("line")))
await_word()
""") as program:
        report = program.report()
        assert 0.9 < report["first"]
        assert 0.9 > report["others"]
        assert 0.9 < program.report()["event"]
        program.send_word()
        program.read_page()
        assert 0.9 < program.report()["flowing"]
        program.send_word()


def test_line_in_the_hub_does_not_wait() -> None:
    """The hub runs what would end the wait; another greenlet that waits is no reason either."""
    with running("""
def write_in_hub():
    gevent.get_hub().loop.run_callback(
        lambda: report(is_taken=stdout_lines.write(b"line\\n", 1))
    )
    gevent.sleep(0)

fill()
waiting = gevent.spawn(write_event, "relay.test", "waits")
gevent.sleep(0)
write_in_hub()
report(is_waiting=not waiting.ready())
waiting.join()
write_in_hub()
""") as program:
        assert {"is_taken": False} == program.report()
        assert {"is_waiting": True} == program.report()
        assert {"is_taken": False} == program.report()


def test_library_line_in_the_hub_does_not_wait() -> None:
    """No lock of a handler is in its way either, which another greenlet holds while it waits."""
    with running("""
import logging
theirs = logging.getLogger("urllib3")
fill()
waiting = gevent.spawn(theirs.warning, "waits")
gevent.sleep(0)
gevent.get_hub().loop.run_callback(theirs.warning, "line")
gevent.sleep(0)
report(lost=stdout_lines.lost, is_waiting=not waiting.ready())
""") as program:
        assert {"lost": 1, "is_waiting": True} == program.report()


def test_nothing_runs_inside_a_line_that_does_not_wait() -> None:
    """No Timeout that is due fires in it, and no other greenlet takes its turn."""
    with running("""
def interruptions(action):
    found = []
    try:
        with gevent.Timeout(0.01):
            began = time.monotonic()
            while time.monotonic() < began + 0.05:
                pass
            gevent.spawn(found.append, "greenlet")
            action()
    except gevent.Timeout:
        found.append("timeout")
    return list(found)  # the greenlet has its turn later

with_room = interruptions(lambda: log.info("line"))
fill()
without = interruptions(lambda: stdout_lines.write(b"line\\n", 0))
gevent.spawn(write_event, "relay.test", "waits")
gevent.sleep(0)
behind_another = interruptions(lambda: stdout_lines.write(b"line\\n", 0))
report(with_room=with_room, without=without, behind_another=behind_another)
""") as program:
        assert {"with_room": [], "without": [], "behind_another": []} == program.report()


def test_timeout_ends_the_wait_for_room() -> None:
    """The line is counted as lost, and later ones find their way."""
    with running("""
fill()
with gevent.Timeout(0.05, False):
    write_event("relay.test", "given up")
report(lost=stdout_lines.lost)
await_word()
assert write_event("relay.test", "call")
""") as program:
        assert {"lost": 1} == program.report()
        program.send_word()
        lines = program.read_events()

    assert ["call"] == [line["event"] for line in lines if line["event"] != "log_lines_lost"]


@pytest.mark.parametrize("prepare", ["", "fill()"])
def test_stdout_without_a_reader_refuses_at_once(prepare: str) -> None:
    """EPIPE ends the wait: a closed reader does not come back."""
    with running(f"""
{prepare}
report(is_ready=True)
await_word()
report(seconds=seconds_of(lambda: report(is_taken=write_event("relay.test", "call"))))
""") as program:
        program.report()
        os.close(program.writing_end)
        os.close(program.reading_end)
        program.reading_end = os.open(os.devnull, os.O_RDONLY)
        program.send_word()

        assert {"is_taken": False} == program.report()
        assert 0.5 > program.report()["seconds"]


def test_reader_that_goes_ends_the_wait() -> None:
    """A line that waits for room is refused as soon as there will be none."""
    with running("""
fill()
gevent.spawn(report, is_waiting=True)
report(seconds=seconds_of(lambda: report(is_taken=stdout_lines.write(b"line\\n", 20))))
""") as program:
        program.report()
        os.close(program.writing_end)
        os.close(program.reading_end)
        program.reading_end = os.open(os.devnull, os.O_RDONLY)

        assert {"is_taken": False} == program.report()
        assert 10 > program.report()["seconds"]


def test_regular_file_takes_every_line(tmp_path: Path) -> None:
    """However long: a file has room at any time."""
    log = tmp_path / "log"
    with log.open("wb") as output:
        subprocess.run(
            [
                *(PYTHON, "-c"),
                PATCHED
                + """
for n in range(1000):
    assert write_event("relay.test", "line", n=n, text="x" * 100 * n)
assert stdout_lines.lost == 0
""",
            ],
            stdout=output,
            check=True,
        )

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(n, 100 * n) for n in range(1000)] == [(line["n"], len(line["text"])) for line in lines]


def test_full_disk_refuses_at_once() -> None:
    """ENOSPC is an answer; nothing is written in pieces for it."""
    with Path("/dev/full").open("wb") as output:
        subprocess.run(
            [*(PYTHON, "-c"), PATCHED + 'assert not write_event("relay.test", "line")'],
            stdout=output,
            check=True,
        )


def test_stdout_stays_blocking_for_other_processes() -> None:
    """``O_NONBLOCK`` belongs to the pipe's end and not to a process: others would lose lines."""
    with running("""
fill()
log.info("waits, and is lost")
report(lost=stdout_lines.lost)
await_word()
""") as program:
        assert {"lost": 1} == program.report()

        assert 0 == fcntl.fcntl(program.writing_end, fcntl.F_GETFL) & os.O_NONBLOCK
        program.send_word()


def test_room_for_one_of_many_waiters_blocks_none() -> None:
    """All are woken by one page of room, as processes that share a pipe are; one can write."""
    with running("""
fill()
ticker = Ticker()
line = json.dumps({"event": "line", "text": "x" * 4000}).encode() + b"\\n"
writers = [LineWriter(1, lambda count: b"") for _ in range(50)]
writing = [gevent.spawn(writer.write, line, 20) for writer in writers]
gevent.sleep(0)
report(are_waiting=not any(writer.ready() for writer in writing))
gevent.wait(writing, count=1)
gevent.sleep(0.2)
report(written=sum(writer.ready() for writer in writing), ticks=len(ticker.gaps))
assert all(writer.get() for writer in writing)
""") as program:
        assert {"are_waiting": True} == program.report()
        program.read_page()
        report = program.report()
        lines = program.read_lines()

    assert 1 == report["written"]
    assert 10 < report["ticks"]
    assert 50 == len([line for line in lines if b'"line"' in line])


def test_long_lines_stay_whole_within_a_process() -> None:
    """They go out in parts, between which no other greenlet's line comes."""
    with running("""
def write_lines(name):
    for n in range(10):
        assert stdout_lines.write(
            json.dumps({"event": name, "n": n, "text": name * 20_000}).encode() + b"\\n", 20
        )

greenlets = [gevent.spawn(write_lines, name) for name in "abcdef"]
gevent.joinall(greenlets, raise_error=True)
""") as program:
        lines = program.read_events()

    assert [(name, n) for name in "abcdef" for n in range(10)] == sorted(
        (line["event"], line["n"]) for line in lines
    )
    assert {20_000} == {len(line["text"]) for line in lines}


def test_cut_line_ends_before_the_next() -> None:
    """A line that finds no room for its rest spoils no other."""
    with running("""
assert not stdout_lines.write(b"x" * 200_000 + b"\\n", 0)
report(lost=stdout_lines.lost)
await_word()
assert write_event("relay.test", "call")
""") as program:
        assert {"lost": 1} == program.report()
        program.send_word()
        cut, *lines = program.read_lines()

    assert {b"x"} == {cut[n : n + 1] for n in range(len(cut))}
    assert "call" == json.loads(lines[0])["event"]


def test_dead_greenlet_is_one_line() -> None:
    """Its traceback is a field, its arguments are nowhere, and stderr has nothing of it.

    What is no error goes gevent's own way: ``sys.exit`` ends the process.
    """
    with running("""
guard_hub_errors()
guard_hub_errors()

def die(password):
    raise ValueError("broken")

gevent.spawn(die, "sword" + "fish").join()
gevent.spawn(sys.exit, 3).join()
""") as program:
        (line,) = program.read_lines(exit_code=3)
        assert program.process.stderr is not None
        assert b"" == program.process.stderr.read()

    entry = json.loads(line)
    assert ("error", "gevent", "greenlet_failed") == (
        entry["level"],
        entry["logger"],
        entry["event"],
    )
    assert entry["greenlet"].startswith("Greenlet-")
    assert entry["exception"].endswith("ValueError: broken")
    assert b"swordfish" not in line


def test_dead_greenlet_does_not_block_on_full_streams() -> None:
    """Other processes go on when neither stdout nor stderr is read."""
    with running(
        """
guard_hub_errors()
fill()
greenlets = [gevent.spawn(int, "broken") for _ in range(100)]
gevent.joinall(greenlets)
assert stdout_lines.lost == 100
""",
        stderr=subprocess.STDOUT,
    ) as program:
        assert 0 == program.process.wait(TIMEOUT_SECONDS)
