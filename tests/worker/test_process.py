"""A worker process: what it leaves at the end, and what it settles by the way."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from app.store.grants import GrantStore
from tests.channel.test_deadline import fill_backlog
from tests.worker.faults import Stall, StoreFault
from tests.worker.workbench import PATIENCE_SECONDS, Workbench
from tools.stack.channel_io import Behaviour
from tools.stack.hanging_look_ups import HANGING_HOST
from tools.stack.processes import free_port, wait_until

MANY = 200
MAX_CONNECTIONS = 100
# Look-ups, files and the interpreter's own.
MAX_THREADS = 60
# 3 of them are the promise, the rest ends four Pythons on a busy machine.
MAX_STOP_SECONDS = 4.5


def test_a_stop_before_the_first_take_takes_nothing(bench: Workbench) -> None:
    """A process that is hardly there gets its signal all the same."""
    find_good(bench.grants())
    bench.store.accept("e1")
    bench.start_ordinary()
    wait_until(lambda: blocks_sigterm(bench.worker.pid), PATIENCE_SECONDS, "the entry")

    assert 0 == bench.stop().code
    assert "accepted" == bench.store.record("e1").status
    assert [] == bench.store.history("e1")


def blocks_sigterm(pid: int) -> bool:
    """Return whether the process has come so far as to block it."""
    status = Path(f"/proc/{pid}/status").read_text()
    (blocked,) = [line for line in status.splitlines() if line.startswith("SigBlk:")]
    return bool(int(blocked.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_result_whose_settle_hangs_is_spooled_at_the_end(bench: Workbench) -> None:
    """The process does not wait for it, and does not forget it either."""
    bench.store.accept("e1", user_id="hanging")
    bench.start(after={"settle": [StoreFault.HANG]}, CALL_DEADLINE_SECONDS="1")
    bench.wait_for("e1", "opened")

    end = bench.stop()

    assert 0 == end.code
    assert bench.chats_of("hanging")[0] in bench.spooled()


def test_kept_results_are_settled_at_the_end(bench: Workbench) -> None:
    """Its reply was lost after the stop had begun; the next worker need not do it."""
    bench.store.accept("e1", user_id="last")

    bench.start(
        before={"settle": [StoreFault.STOP]},
        after={"settle": [StoreFault.LOSE]},
        WORKER_CONCURRENCY="2",
    )

    assert 0 == bench.wait_for_end().code
    assert 2 == bench.calls.count("settle")
    assert [] == [*bench.spool.iterdir()]


def test_a_stop_lasts_as_long_as_a_call_and_two_seconds(bench: Workbench) -> None:
    """However long a take, a call and its settle hang."""
    bench.channel_io.plan(Behaviour.SILENCE, user_id="silent")
    find_good(bench.grants())
    bench.store.accept("e1", user_id="silent")
    bench.start(
        before={"take": [StoreFault.NONE, StoreFault.HANG], "settle": [StoreFault.HANG]},
        CALL_DEADLINE_SECONDS="3",
        WORKER_CONCURRENCY="2",
    )
    wait_until(
        lambda: [seen for seen in bench.channel_io.requests if "/silent/" in seen.path],
        PATIENCE_SECONDS,
        "the call",
    )

    end = bench.stop()

    assert 0 == end.code
    assert end.seconds < 3 + 2


def test_a_stop_comes_in_time_however_redis_is_away(bench: Workbench) -> None:
    """Refused, hanging while it connects, in the look-up of its name, or in TLS; each is logged."""
    with ExitStack() as stack:
        blackhole = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        fill_backlog(blackhole, stack)
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        urls = [
            f"redis://127.0.0.1:{free_port()}/0",
            f"redis://127.0.0.1:{blackhole.getsockname()[1]}/0",
            f"redis://{HANGING_HOST}:6379/0",
            f"rediss://127.0.0.1:{silent.getsockname()[1]}/0",
        ]
        workers = []
        for number, url in enumerate(urls):
            bench.log = bench.directory / f"away-{number}.log"
            bench.start(REDIS_URL=url, CALL_DEADLINE_SECONDS="15")
            workers.append(bench.worker)
        for worker in workers:
            worker.wait_for_line("redis_unavailable", logger="relay.worker", tries=1)

        told_at = time.monotonic()
        for worker in workers:
            worker.child.terminate()
        ends = [(worker.child.wait(PATIENCE_SECONDS), time.monotonic()) for worker in workers]

    assert [0] * len(urls) == [code for code, _ in ends]
    assert max(ended_at for _, ended_at in ends) - told_at < MAX_STOP_SECONDS
    assert [1] * len(urls) == [
        len(worker.lines("redis_unavailable", logger="relay.worker")) for worker in workers
    ]


def test_an_outage_is_a_line_when_it_begins_and_one_when_it_ends(bench: Workbench) -> None:
    """However often Redis is tried meanwhile."""
    bench.stall(Stall.REDIS)
    bench.start()
    wait_until(lambda: len(bench.tries("release")) > 3, PATIENCE_SECONDS, "tries")

    bench.mend(Stall.REDIS)

    back = bench.worker.wait_for_line("redis_available", level="warning")
    (away,) = bench.worker.lines("redis_unavailable")
    assert ("it is away", 1) == (away["reason"], away["tries"])
    assert away["since"] == back["since"]
    assert back["tries"] > 3


def test_unsettled_results_are_retried(bench: Workbench) -> None:
    """A drain that fails is followed by another."""
    bench.store.accept("e1", user_id="drained")
    bench.start(after={"settle": [StoreFault.LOSE] * 2})

    bench.wait_for_call("settle", times=3)

    wait_until(lambda: not [*bench.spool.iterdir()], PATIENCE_SECONDS, "the spool to be empty")


def test_a_thousand_slots_need_one_listener_and_few_connections(bench: Workbench) -> None:
    """Greenlets share them, and only one of them listens to the bell."""
    bench.channel_io.always(Behaviour.CREATE_THEN_WAIT)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: bench.store.accept(f"e{n}", user_id=f"u{n}"), range(MANY)))
    others = len(bench.client.client_list())

    bench.start_ordinary(
        WORKER_CONCURRENCY="1000", CALL_DEADLINE_SECONDS="60", RATE_LIMIT_BURST="10000"
    )
    bench.channel_io.wait_for_arrivals(MANY)
    wait_until(lambda: listeners(bench), PATIENCE_SECONDS, "a listener")

    assert 1 == listeners(bench)
    assert len([*Path(f"/proc/{bench.worker.pid}/task").iterdir()]) < MAX_THREADS
    bench.channel_io.release()
    for number in range(MANY):
        assert 1 == bench.wait_for(f"e{number}", "opened").attempts
    assert len(bench.client.client_list()) <= others + MAX_CONNECTIONS


def listeners(bench: Workbench) -> int:
    """Return how many connections wait at the bell."""
    return [client["cmd"] for client in bench.client.client_list()].count("blpop")


def test_look_ups_that_hang_keep_no_connection_to_redis_from_coming(bench: Workbench) -> None:
    """All calls hang there, all connections to Redis are lost, and the calls are settled."""
    url = f"http://{HANGING_HOST}/open/v4"
    find_good(bench.grants(url))
    for number in range(16):
        bench.store.accept(f"e{number}")
    bench.start(
        CHANNEL_API_URL=url,
        WORKER_CONCURRENCY="16",
        CALL_DEADLINE_SECONDS="4",
        BREAKER_THRESHOLD="1000",
    )
    bench.wait_for_call("grant", times=16)
    bench.client.client_kill_filter(_type="normal", skipme=True)

    wait_until(
        lambda: len(bench.worker.lines("store_call", name="settle")) >= 16,
        PATIENCE_SECONDS,
        "the settles",
    )

    outcomes = {line["outcome"] for line in bench.worker.lines("call")}
    assert {"not_sent"} == outcomes


def find_good(worker: GrantStore) -> None:
    """Let the gate know the worker's base URL."""
    worker.take("token")
    assert "seen" == worker.report_probe("token", problem=None)
