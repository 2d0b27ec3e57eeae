"""A stdout that takes no line, or is closed, stops neither web nor worker nor a stop."""

import fcntl
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
import requests

from tests.scraped import samples
from tests.system.burst import Answers, BurstRequest, send_together
from tools.stack.deployment import READ_TOKEN, SUBMIT_TOKEN, Deployment
from tools.stack.processes import Child, free_port, kill_child, wait_until
from tools.stack.redis_proxy import Mode, RedisProxy
from tools.stack.relay import RelayClient, start_program

MAX_ANSWER_SECONDS = 2
MAX_LIVE_SECONDS = 0.3
MAX_STOP_SECONDS = 5  # 3 of them are the promise, the rest ends Python on a busy machine
START_SECONDS = 20
GIVE_UP_SECONDS = 8
EVENTS = 16
SLOW_REPLY_SECONDS = 0.6  # so long does a settle take, and so an answer lie in the spool
SLOW_EVENTS = 5
# A busy disk may take longer than the worker waits for it.
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
LIVE = BurstRequest("livez", "/livez")


class Output:
    """A pipe for what a process prints, of which this process holds both ends."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()

    def fill(self) -> None:
        """Leave no room in it. What the process has open stays as it is."""
        own = os.open(f"/proc/self/fd/{self.write_end}", os.O_WRONLY | os.O_NONBLOCK)
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while True:
                    os.write(own, b"\n" * size)
        os.close(own)

    def refuse(self) -> None:
        """Leave no reader: EPIPE."""
        os.close(self._read_end)
        self._read_end = -1

    def is_blocking(self) -> bool:
        """Return whether what the process has open blocks: it is shared with other processes."""
        return not fcntl.fcntl(self.write_end, fcntl.F_GETFL) & os.O_NONBLOCK

    def close(self) -> None:
        """Close both ends."""
        for end in {self._read_end, self.write_end} - {-1}:
            os.close(end)


@dataclass(frozen=True)
class OutputStall:
    """A stall of a process's output, at its start or later."""

    begin: Callable[[Output], None]
    is_first: bool = False


STALLS = {
    "full": OutputStall(Output.fill),
    "closed": OutputStall(Output.refuse),
    "full from the first": OutputStall(Output.fill, is_first=True),
}


@dataclass(frozen=True)
class StalledEnd:
    """A process's end after SIGTERM; ``code`` is None if it had to be killed."""

    code: int | None
    seconds: float


@dataclass(frozen=True)
class Stalled:
    """Work of a process while no line of its log was read."""

    answers: Answers
    lines_lost: float
    is_blocking: bool
    end: StalledEnd


@dataclass(frozen=True)
class StalledWorker(Stalled):
    """The same of a worker.

    ``spooled`` has the events that were seen in the spool, and ``left`` the files that stayed.
    """

    statuses: set[str]
    spooled: set[str]
    left: list[Path]


def stop(child: Child) -> StalledEnd:
    """Send SIGTERM, and wait for the end."""
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    try:
        code: int | None = child.wait(GIVE_UP_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
        kill_child(child)
    return StalledEnd(code, time.monotonic() - began)


def lines_lost(url: str) -> float:
    """Return how many lines a process counts as lost; 0 where it does not answer."""
    try:
        text = requests.get(f"{url}/metrics", timeout=GIVE_UP_SECONDS).text
    except requests.RequestException:
        return 0
    return samples(text).get("relay_log_lines_lost_total", 0)


def post_together(caller: RelayClient, name: str) -> Answers:
    """Post some events at once."""
    posts = [
        BurstRequest(
            "post",
            "/v1/events",
            "POST",
            SUBMIT_TOKEN,
            event={"event_id": f"{name}-{number}", "user_id": f"{name}-{number}"},
        )
        for number in range(EVENTS)
    ]
    port = int(urlsplit(caller.url).port or 0)
    return send_together(port, posts, meanwhile=LIVE, timeout_seconds=GIVE_UP_SECONDS)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A relay with a web whose log is a file."""
    with Deployment(tmp_path_factory.mktemp("stalled")) as relay:
        relay.start_web().wait_until_ready()
        yield relay


# Web


@pytest.fixture(scope="module", params=STALLS)
def web(request: pytest.FixtureRequest, relay: Deployment) -> Iterator[Stalled]:
    """A web whose log is stalled, from its first request after that to its end."""
    stall, output, port = STALLS[request.param], Output(), free_port()
    if stall.is_first:
        stall.begin(output)
    caller = RelayClient(f"http://127.0.0.1:{port}", SUBMIT_TOKEN, READ_TOKEN)
    child = start_program(
        "web",
        relay.environ,
        output.write_end,
        "--bind",
        f"127.0.0.1:{port}",
        programs=relay.programs,
    )
    try:
        wait_until(caller.is_ready, START_SECONDS, "web")
        if not stall.is_first:
            stall.begin(output)

        answers = post_together(caller, f"web-{request.param}".replace(" ", "-"))

        yield Stalled(answers, lines_lost(caller.url), output.is_blocking(), stop(child))
    finally:
        kill_child(child)
        output.close()


def test_web_accepts_events(web: Stalled) -> None:
    """As if every line had been taken."""
    posts = web.answers.of("post")

    assert {202} == {answer.status for answer in posts}
    assert max(answer.seconds for answer in posts) < MAX_ANSWER_SECONDS


def test_web_answers_livez_at_once(web: Stalled) -> None:
    """Three of four within 300 ms, the machine being busy."""
    seconds = sorted(answer.seconds for answer in web.answers.meanwhile)

    assert {200} == {answer.status for answer in web.answers.meanwhile}
    assert seconds[len(seconds) * 3 // 4] < MAX_LIVE_SECONDS


def test_web_counts_lost_lines(web: Stalled) -> None:
    """So that an operator learns of it, who reads no log now."""
    assert web.lines_lost > 0


def test_web_stops(web: Stalled) -> None:
    """In time, and well; its stdout is as it was, for others who share it."""
    assert 0 == web.end.code
    assert web.end.seconds < MAX_STOP_SECONDS
    assert web.is_blocking


# Worker


@pytest.fixture(scope="module", params=STALLS)
def worker(request: pytest.FixtureRequest, relay: Deployment) -> Iterator[StalledWorker]:
    """A worker whose log is stalled, from its first call after that to its end."""
    relay.clear()
    stall, output, port = STALLS[request.param], Output(), free_port()
    if stall.is_first:
        stall.begin(output)
    with ExitStack() as stack:
        stack.callback(output.close)
        spool = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
            )
        )
        line = stack.enter_context(RedisProxy(relay.valkey.port))
        settings = {
            "SPOOL_DIR": str(spool),
            "REDIS_URL": line.url,
            "METRICS_PORT": str(port),
            "WORKER_CONCURRENCY": str(EVENTS),
            "CALL_DEADLINE_SECONDS": "15",
        }
        child = start_program(
            "worker", {**relay.environ, **settings}, output.write_end, programs=relay.programs
        )
        stack.callback(kill_child, child)
        relay.caller.post({"event_id": "before", "user_id": "before"})
        relay.caller.wait_for("before", "opened", timeout_seconds=START_SECONDS)
        if not stall.is_first:
            stall.begin(output)

        answers = post_together(relay.caller, "worker")
        statuses = final_statuses(relay, (f"worker-{number}" for number in range(EVENTS)))
        spooled = watch_spool(relay, spool, line)
        with suppress(TimeoutError):
            wait_until(lambda: not files_of(spool), GIVE_UP_SECONDS, "an empty spool")
        yield StalledWorker(
            answers=answers,
            lines_lost=lines_lost(f"http://127.0.0.1:{port}"),
            is_blocking=output.is_blocking(),
            end=stop(child),
            statuses=statuses,
            spooled=spooled,
            left=files_of(spool),
        )


def final_statuses(relay: Deployment, event_ids: Iterable[str]) -> set[str]:
    """Return the statuses of events once all of them are opened, or the time is over."""
    open_ids = set(event_ids)

    def are_opened() -> bool:
        opened = {name for name in open_ids if relay.caller.record(name)["status"] == "opened"}
        open_ids.difference_update(opened)
        return not open_ids

    with suppress(TimeoutError):
        wait_until(are_opened, GIVE_UP_SECONDS, "events to be opened")
    return {relay.caller.record(name)["status"] for name in open_ids} or {"opened"}


def files_of(spool: Path) -> list[Path]:
    """The files with answers."""
    return list(spool.glob("*.jsonl"))


def watch_spool(relay: Deployment, spool: Path, line: RedisProxy) -> set[str]:
    """Have some events opened while Redis is slow, and return those seen in the spool."""
    seen: set[str] = set()
    is_over = Event()

    def watch() -> None:
        while not is_over.wait(0.01):
            for path in files_of(spool):
                with suppress(FileNotFoundError):
                    seen.update(re.findall(r'"(slow-\d+)"', path.read_text()))

    watching = Thread(target=watch)
    watching.start()
    line.fail(Mode.DELAY, seconds=SLOW_REPLY_SECONDS)
    names = [f"slow-{number}" for number in range(SLOW_EVENTS)]
    for name in names:
        relay.caller.post({"event_id": name, "user_id": name})
    final_statuses(relay, names)
    line.mend()
    is_over.set()
    watching.join()
    return seen


def test_worker_opens_events(worker: StalledWorker) -> None:
    """Each is called and settled."""
    assert {"opened"} == worker.statuses


def test_an_unlogged_answer_is_in_the_spool_until_it_is_settled(worker: StalledWorker) -> None:
    """I4: the ids are in a durable place before they are forgotten; then the file is gone."""
    assert len(worker.spooled) > SLOW_EVENTS // 2
    assert [] == worker.left


def test_worker_counts_lost_lines(worker: StalledWorker) -> None:
    """On its metrics' port."""
    assert worker.lines_lost > 0


def test_worker_stops(worker: StalledWorker) -> None:
    """In time, and well; its stdout is as it was, for others who share it."""
    assert 0 == worker.end.code
    assert worker.end.seconds < MAX_STOP_SECONDS
    assert worker.is_blocking
