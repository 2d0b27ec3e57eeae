"""Who waits for an event hears that it is settled: at once, or half a second later."""

import time
from collections.abc import Iterator
from threading import Timer

import pytest
from structlog.testing import capture_logs

from app.store.client import Client
from app.store.connect import connect, connect_blocking
from app.store.keys import Keys
from app.store.notices import LOOK_SECONDS, Notices
from tests.stack.processes import wait_until
from tests.stack.valkey import Valkey
from tests.system.redis_line import RedisLine

CHANNEL = "{notices}:settled"
KEYS = Keys("notices")


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server to which nobody else listens: a test hangs up on all who do."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def client(own_valkey: Valkey) -> Iterator[Client]:
    """Whoever settles events."""
    with connect(own_valkey.url) as client:
        yield client


@pytest.fixture(scope="module")
def line(own_valkey: Valkey) -> Iterator[RedisLine]:
    """The subscriber's line to Redis."""
    with RedisLine(own_valkey.port) as line:
        yield line


@pytest.fixture(scope="module")
def notices(line: RedisLine) -> Iterator[Notices]:
    """One subscriber, as a web process has it, that notices soon when its line is dead."""
    notices = Notices(connect_blocking(line.url), KEYS, silent_seconds=0.2)
    yield notices
    line.cut()
    wait_until(lambda: notices.is_lost, 20, "the last thing that it says")


@pytest.fixture
def listening(notices: Notices, client: Client) -> Notices:
    """The subscriber, once it listens."""
    with notices.watch("nothing"):
        wait_until(lambda: subscribers(client), 10, "the subscription")
    return notices


def subscribers(client: Client) -> int:
    """How many listen."""
    ((_, count),) = client.pubsub_numsub(CHANNEL)
    return int(count)


def seconds_until_woken(notices: Notices, client: Client, told: str, *, waits_for: str) -> float:
    """How long a wait takes that begins just before ``told`` is settled."""
    with notices.watch(waits_for) as notice:
        telling = Timer(0.01, client.publish, (CHANNEL, told))
        telling.start()
        began = time.monotonic()
        notice.wait(30)
        seconds = time.monotonic() - began
        telling.join()
    return seconds


def test_a_notice_wakes_who_waits_for_its_event(listening: Notices, client: Client) -> None:
    """In no time; on a busy machine at least now and then."""
    seconds = [seconds_until_woken(listening, client, "e1", waits_for="e1") for _ in range(5)]

    assert min(seconds) < LOOK_SECONDS / 2


def test_a_notice_of_another_event_wakes_nobody(listening: Notices, client: Client) -> None:
    """The wait goes on, and ends with the next look."""
    seconds = seconds_until_woken(listening, client, "e2", waits_for="e1")

    assert seconds >= LOOK_SECONDS


def test_a_wait_is_no_longer_than_wanted(listening: Notices) -> None:
    """What is left of a wait may be less than the time to the next look."""
    with listening.watch("e1") as notice:
        began = time.monotonic()
        notice.wait(0.01)

    assert time.monotonic() - began < LOOK_SECONDS


def test_a_wait_leaves_no_registration(notices: Notices) -> None:
    """Nor does one that fails, or one of two for the same event before the other ends."""
    with notices.watch("e1"):
        with pytest.raises(InterruptedError), notices.watch("e1"), notices.watch("e2"):
            raise InterruptedError
        assert 1 == notices.watched

    assert 0 == notices.watched


def test_a_dead_line_is_noticed(listening: Notices, client: Client, line: RedisLine) -> None:
    """Packets are dropped and nobody is told: it is said once, and tried again and again."""
    with capture_logs() as lines:
        line.cut()
        wait_until(lambda: listening.is_lost, 20, "the silence")
        client.client_kill_filter(_type="pubsub")
        line.mend()
        wait_until(lambda: subscribers(client) and not listening.is_lost, 20, "a new subscription")

    assert ["the subscription is silent"] == [
        line["reason"] for line in lines if line["event"] == "notices_lost"
    ]
