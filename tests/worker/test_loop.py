"""The loop: take, call once, settle; and what it does when one of them goes wrong."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.chats.grant import new_token
from app.store.client import Client
from app.store.connect import connect_blocking
from app.worker.loop import RETRY_SECONDS
from tests.stack.channel_io import Behaviour, ChannelIo
from tests.stack.oracle import leaks_in
from tests.stack.processes import wait_until
from tests.worker.conftest import close
from tests.worker.workbench import DEADLINE_SECONDS, Workbench, lose_reply

Lines = list[Any]


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[ChannelIo]:
    """One stand-in for all tests here."""
    with ChannelIo() as stand_in:
        yield stand_in


@pytest.fixture
def bench(
    client: Client,
    redis_url: str,
    running_stand_in: ChannelIo,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Workbench]:
    """A loop that does not run yet, over a relay without events; the parameter is its deadline."""
    deadline_seconds = getattr(request, "param", DEADLINE_SECONDS)
    with connect_blocking(redis_url) as blocking_client:
        clients = (client, blocking_client)
        bench = Workbench(*clients, running_stand_in, tmp_path / "spool", deadline_seconds)
        yield bench
        bench.stop()
    close(bench.spool)
    running_stand_in.behave_well()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What is logged meanwhile."""
    with capture_logs() as lines:
        yield lines


def creates_of(bench: Workbench, user_id: str) -> int:
    """How many chats were made for a user."""
    return len(bench.channel_io.creates_of(user_id))


def called_in(lines: Lines) -> set[str]:
    """The events of whose calls there is a line."""
    return {line["event_id"] for line in [*lines] if "outcome" in line}


def fail(_: object) -> None:
    """What nobody thought of."""
    raise RuntimeError("a fault of our own")


def everything_in(client: Client) -> str:
    """All keys and values, as text."""
    read: dict[str, Callable[[str], Any]] = {
        "hash": client.hgetall,
        "string": client.get,
        "zset": lambda key: client.zrange(key, 0, -1),
        "list": lambda key: client.lrange(key, 0, -1),
    }
    return repr([(key, read[str(client.type(key))](key)) for key in client.scan_iter()])


def test_a_probe_comes_before_the_first_call(bench: Workbench) -> None:
    """Of an address that nobody has tried yet, nothing is asked but whether it is the right one."""
    seen = len(bench.channel_io.requests)
    bench.store.accept("e1", user_id="probed")

    bench.start()

    bench.wait_for("e1", "opened")
    requests = bench.channel_io.requests[seen:]
    assert ["GET", "POST"] == [request.method for request in requests]


def test_nothing_is_called_until_a_probe_was_good(bench: Workbench, lines: Lines) -> None:
    """Channel.io does not serve us: that is said, and the event waits."""
    bench.channel_io.probe_with(Behaviour.UNAUTHORIZED)
    bench.store.accept("e1", user_id="unprobed")

    bench.start()

    wait_until(lambda: [line for line in lines if line["event"] == "probe_failed"], 20, "the line")
    assert ("accepted", 0) == (bench.store.record().status, bench.store.record().attempts)
    assert 0 == creates_of(bench, "unprobed")


@pytest.mark.parametrize("bench", [1.0], indirect=True)
def test_a_grant_that_came_too_late_is_given_back(bench: Workbench) -> None:
    """More than half of the deadline was gone: nothing is sent, and nobody is to blame."""
    bench.calls.after["grant"] = [lambda _: time.sleep(0.6)]
    bench.store.accept("e1", user_id="late")

    bench.start()

    record = bench.wait_for("e1", "opened")
    assert "release" == bench.calls.said[bench.calls.said.index("grant") + 1]
    assert (1, 1) == (record.attempts, creates_of(bench, "late"))


@pytest.mark.parametrize("bench", [1.0], indirect=True)
def test_a_stop_comes_between_grants_that_all_come_too_late(bench: Workbench) -> None:
    """However slow Redis is, a worker that is told to stop takes nothing more."""
    bench.calls.after["grant"] = [lambda _: time.sleep(0.6)] * 1000
    bench.store.accept("e1")
    bench.start()
    bench.wait_until_said("release", times=2)

    bench.stop()


@pytest.mark.parametrize("lost", [1, 2])
def test_a_grant_whose_reply_was_lost_is_given_back(bench: Workbench, lost: int) -> None:
    """The worker does not know what it was granted; it gives it back until Redis confirms it."""
    bench.calls.after["grant"] = [lose_reply]
    bench.calls.after["release"] = [lose_reply] * (lost - 1)
    bench.store.accept("e1", user_id=f"lost-{lost}")

    bench.start()

    record = bench.wait_for("e1", "opened")
    begun = bench.calls.said.index("grant") + 1
    assert ["release"] * lost == bench.calls.said[begun : begun + lost]
    assert (1, 1) == (record.attempts, creates_of(bench, f"lost-{lost}"))


def test_while_the_gate_is_shut_nobody_listens_to_the_bell(bench: Workbench) -> None:
    """What is accepted meanwhile could not be called: its rings are left to whoever can."""
    bench.calls.take(new_token())  # another worker has the probe, and is slow
    bench.store.accept("e1")
    bench.store.accept("e2")

    bench.start()

    bench.wait_until_said("wait", times=4)
    assert "listen" not in bench.calls.said
    assert 2 == bench.client.llen(bench.store.key("bell"))


def test_an_idle_loop_wakes_at_the_bell(bench: Workbench) -> None:
    """Nothing was due, then an event is accepted."""
    bench.start()
    bench.wait_until_said("listen")

    bench.store.accept("e1", user_id="awake")

    bench.wait_for("e1", "opened")


def test_the_ids_are_logged_before_the_settle(bench: Workbench, lines: Lines) -> None:
    """I4: whatever happens to the settle, the log has what Channel.io returned."""
    logged: Lines = []
    bench.calls.after["settle_and_take"] = [lambda _: logged.extend(lines)]
    bench.store.accept("e1", user_id="logged")

    bench.start()

    bench.wait_until_said("settle_and_take")
    chat = bench.store.record("e1").chat
    (call,) = [line for line in logged if line["event"] == "call"]
    assert chat is not None
    assert chat.session is not None
    assert chat.user_session is not None
    assert (chat.id, chat.session.id, chat.user_session.id) == tuple(
        call[name] for name in ("chat_id", "session_id", "user_session_id")
    )
    assert ("e1", 1, "created", 200) == tuple(
        call[name] for name in ("event_id", "attempt", "outcome", "upstream_status")
    )


def test_a_settle_takes_the_next_event_along(bench: Workbench) -> None:
    """One round trip for both."""
    bench.store.accept("e1", user_id="first")
    bench.store.accept("e2", user_id="second")

    bench.start()

    bench.wait_until_said("settle_and_take", times=2)
    begun = bench.calls.said.index("grant")
    assert ["settle_and_take"] * 2 == bench.calls.said[begun + 1 : begun + 3]


def test_what_a_settle_came_to_is_said(bench: Workbench, lines: Lines) -> None:
    """Nobody knows whether there is a chat: a person may want to look."""
    bench.channel_io.plan(Behaviour.CREATE_THEN_CLOSE, user_id="doubtful")
    bench.store.accept("e1", user_id="doubtful")

    bench.start()

    bench.wait_until_said("settle_and_take")
    wait_until(lambda: ("settled", "e1") in [of(line) for line in lines], 20, "the line")


def test_a_settle_while_stopping_takes_nothing_along(bench: Workbench) -> None:
    """What is left is for others."""
    bench.calls.after["grant"] = [lambda _: bench.stopping.set()]
    bench.store.accept("e1", user_id="last")
    bench.store.accept("e2")

    bench.start()

    bench.wait_for("e1", "opened")
    bench.stop()
    assert ("accepted", 0) == (bench.store.record("e2").status, bench.store.record("e2").attempts)


def test_when_the_reply_to_a_settle_was_lost(bench: Workbench) -> None:
    """The answer is kept, and settled again, which is once; the grant behind it is given back."""
    spooled: list[Path] = []
    bench.calls.after["settle_and_take"] = [lose_reply]
    bench.calls.after["release"] = [lambda _: spooled.extend(bench.directory.glob("*.jsonl"))]
    bench.store.accept("e1", user_id="settled")
    bench.store.accept("e2", user_id="granted")

    bench.start()

    records = [bench.wait_for(event_id, "opened") for event_id in ("e1", "e2")]
    begun = bench.calls.said.index("settle_and_take") + 1
    assert ["release", "settle", "grant"] == bench.calls.said[begun : begun + 3]
    assert spooled
    assert [1, 1] == [record.attempts for record in records]
    assert [1, 1] == [creates_of(bench, user_id) for user_id in ("settled", "granted")]


def test_a_fault_of_our_own_ends_no_loop(bench: Workbench, lines: Lines) -> None:
    """It is logged, its event is left to the schedule, and the next one is worked on."""
    bench.calls.after["grant"] = [fail]
    bench.store.accept("e1")
    bench.start()
    bench.wait_until_said("grant")

    bench.store.accept("e2", user_id="next")

    bench.wait_for("e2", "opened")
    assert ["worker_failed"] == [line["event"] for line in lines if line["log_level"] == "error"]
    assert "calling" == bench.store.record("e1").status


def test_a_lost_workers_call_is_found_and_said(bench: Workbench, lines: Lines) -> None:
    """Whoever takes next finds what is overdue."""
    bench.store.open_gate()
    bench.store.granted("e1")
    bench.store.lose_worker("e1")

    bench.start()

    bench.wait_for("e1", "unknown")
    wait_until(lambda: ("worker_lost", "e1") in [of(line) for line in lines], 20, "the line")


def of(line: dict[str, Any]) -> tuple[str, str | None]:
    """What a line says, and of which event."""
    return line["event"], line.get("event_id")


def test_nothing_of_a_person_is_logged_or_stored(bench: Workbench, lines: Lines) -> None:
    """Channel.io's answers name people; neither log, nor Redis, nor spool does."""
    behaviours = [Behaviour.REJECTED_422, Behaviour.CREATE, Behaviour.BROKEN_JSON_200]
    bench.calls.after |= {"settle": [lose_reply] * 1000, "settle_and_take": [lose_reply] * 1000}
    for behaviour in behaviours:
        bench.store.accept(behaviour, user_id=behaviour.user_id)

    bench.start()
    wait_until(lambda: {*behaviours} <= called_in(lines), 20, "a call of each")
    bench.stop()

    (spooled,) = bench.directory.iterdir()
    written = [repr(lines), everything_in(bench.client), spooled.read_text()]
    assert all(Behaviour.CREATE in text for text in written)
    assert [] == [leak for text in written for leak in leaks_in(text, [])]


def test_a_take_that_is_answered_with_an_error_is_not_said_at_once_again(
    bench: Workbench, lines: Lines
) -> None:
    """Redis is there, and says the same for as long as its fault lasts: nobody spins."""
    broken = bench.store.keys.event("e1")
    bench.store.client.lpush(broken, "no record")
    bench.store.client.zadd(bench.store.key("due"), {"e1": 1})
    began = time.monotonic()

    bench.start()
    wait_until(lambda: str(lines).count("WRONGTYPE") > 2, 20, "a third try")
    took = time.monotonic() - began
    bench.store.client.delete(broken)

    assert took >= 2 * RETRY_SECONDS
