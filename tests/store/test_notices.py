"""Notices wake the greenlets that wait for an event, and nothing polls while they come.

Driven in a patched process, since the subscription needs a loop.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from app.store.notices import RECONNECT_SECONDS
from tests.store.driven import PatchedClient, Result
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.redis_proxy import Mode, RedisProxy
from tools.stack.valkey import Valkey

CHANNEL = "{relay}:settled"
SILENT_SECONDS = 1.0
LOST = "notices_lost"


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server with one subscriber, whose commands are counted."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def client(own_valkey: Valkey) -> Iterator[Client]:
    """A client that publishes, as scripts do."""
    with connect_to(own_valkey.url) as client:
        yield client


@pytest.fixture
def proxy(own_valkey: Valkey) -> Iterator[RedisProxy]:
    """The subscriber's line to Redis."""
    with RedisProxy(own_valkey.port) as proxy:
        yield proxy


@pytest.fixture
def listening(proxy: RedisProxy, client: Client) -> Iterator[PatchedClient]:
    """A process whose subscription stands, and which soon finds that it does not."""
    with PatchedClient(proxy.url, silent_seconds=SILENT_SECONDS) as driven:
        driven.value("watch", "nothing", 0)
        wait_until(lambda: subscribers(client), 10, "the subscription")
        yield driven


def subscribers(client: Client) -> set[Any]:
    """The server's numbers of the connections that listen."""
    return {each["id"] for each in client.client_list(_type="pubsub")}


def watch(
    listening: PatchedClient, *event_ids: str, seconds: float
) -> list[Callable[[], list[Result]]]:
    """Begin to wait for events, one greenlet for each; return once all are registered."""
    before = listening.value("notices")["watched"]
    waits = [listening.start("watch", event_id, seconds) for event_id in event_ids]
    expected = before + len(set(event_ids))
    wait_until(lambda: listening.value("notices")["watched"] == expected, 10, "the waiters")
    return waits


def wakes(waits: list[Callable[[], list[Result]]]) -> list[list[float]]:
    """When each of the greenlets was woken, in seconds from its begin, once all waits are over."""
    return [result.value for wait in waits for result in wait()]


def test_a_notice_wakes_the_waiters_of_its_event(listening: PatchedClient, client: Client) -> None:
    """All of them, and none of another event."""
    waits = watch(listening, "e1", "e1", "e2", seconds=2)

    client.publish(CHANNEL, "e1")

    assert [1, 1, 0] == [len(each) for each in wakes(waits)]


def test_a_notice_wakes_at_once(listening: PatchedClient, client: Client) -> None:
    """On a busy machine at least now and then."""
    delays = []
    for number in range(5):
        (wait,) = watch(listening, f"e{number}", seconds=1)
        client.publish(CHANNEL, f"e{number}")
        (result,) = wait()
        delays.append(result.value[0])

    assert min(delays) < RECONNECT_SECONDS / 2


def test_a_wait_leaves_no_registration(listening: PatchedClient) -> None:
    """Nor does one that fails, or one of two for the same event before the other ends."""
    (wait,) = watch(listening, "e1", seconds=1)

    assert ["InterruptedError"] * 2 == [
        listening.run("break_off", event_id).kind for event_id in ("e1", "e2")
    ]

    assert 1 == listening.value("notices")["watched"]
    wait()
    assert 0 == listening.value("notices")["watched"]


def test_a_new_subscription_wakes_all(listening: PatchedClient, client: Client) -> None:
    """Notices between the two were missed."""
    old = subscribers(client)
    waits = watch(listening, "e1", "e2", seconds=3)

    client.client_kill_filter(_type="pubsub")
    wait_until(lambda: subscribers(client) - old, 10, "a new subscription")

    # Perhaps at the loss, and once the new one stands; then nothing polls any more.
    assert {1, 2} >= {len(each) for each in wakes(waits)} > set()
    assert not listening.value("notices")["is_lost"]


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.CUT_REPLIES])
def test_while_the_line_is_lost_waiters_look_by_themselves(
    listening: PatchedClient, client: Client, proxy: RedisProxy, mode: Mode
) -> None:
    """About each half second, also while a new line is accepted and silent; it is logged once."""
    proxy.fail(mode)
    proxy.close_lines()
    wait_until(lambda: listening.value("notices")["is_lost"], 10, "the loss")

    (looks,) = wakes(watch(listening, "e1", seconds=4))

    assert 5 <= len(looks) <= 9
    gaps = [later - sooner for sooner, later in pairwise(looks)]
    assert max(gaps) < 3 * RECONNECT_SECONDS
    proxy.mend()
    wait_until(lambda: not listening.value("notices")["is_lost"], 10, "the line")
    assert [LOST] == [entry["event"] for entry in listening.value("logs")]


def test_a_silent_line_is_found_dead(
    listening: PatchedClient, client: Client, proxy: RedisProxy
) -> None:
    """Packets are dropped, and no error comes: only a reply to PING that does not."""
    waits = watch(listening, "e1", seconds=6)
    proxy.fail(Mode.SILENT)

    wait_until(lambda: listening.value("notices")["is_lost"], 10, "the loss")

    proxy.mend()
    wait_until(lambda: not listening.value("notices")["is_lost"], 10, "the line")
    ((first, *_),) = wakes(waits)
    assert SILENT_SECONDS < first < 2 * SILENT_SECONDS + 2


def test_a_line_on_which_nothing_happens_is_not_lost(
    listening: PatchedClient, client: Client
) -> None:
    """The server replies to PING."""
    old = subscribers(client)
    (looks,) = wakes(watch(listening, "e1", seconds=4 * SILENT_SECONDS))

    assert ([], old) == (looks, subscribers(client))


def test_a_fail_over_that_a_command_met_renews_the_subscription(
    listening: PatchedClient, client: Client
) -> None:
    """The old primary may take it for long, and publishes nothing any more."""
    old = subscribers(client)
    waits = watch(listening, "e1", seconds=4)

    listening.value("drop_connections")

    wait_until(lambda: subscribers(client) - old, 10, "a new subscription")
    wait_until(lambda: not subscribers(client) & old, 10, "the end of the old one")
    (looks,) = wakes(waits)
    assert looks
    assert [] == listening.value("logs")


def test_nothing_polls_while_subscribed(listening: PatchedClient, client: Client) -> None:
    """Fifty waiters cost no command."""
    client.config_resetstat()

    waits = watch(listening, *(f"e{number}" for number in range(50)), seconds=2.5)

    assert [[]] * 50 == wakes(waits)
    sent = set(client.info("commandstats")) - {"cmdstat_config|resetstat", "cmdstat_info"}
    assert {"cmdstat_ping"} >= sent


def test_a_flood_of_notices_holds_up_nothing_else(listening: PatchedClient, client: Client) -> None:
    """More come than are read: the loop goes on meanwhile."""
    waits = watch(listening, "e1", seconds=10)
    stopped = listening.start("longest_stop", 9)
    flood = "for number = 1, 100000 do redis.call('PUBLISH', KEYS[1], number) end"
    for _ in range(3):
        client.eval(flood, 1, CHANNEL)
    client.publish(CHANNEL, "e1")

    (stop,) = stopped()
    ((flood_seconds,),) = wakes(waits)

    assert stop.value < flood_seconds / 2


def test_a_notice_that_is_no_text_is_passed_over(listening: PatchedClient, client: Client) -> None:
    """Something else may publish there."""
    waits = watch(listening, "e1", seconds=2)
    publish: Callable[..., Any] = client.execute_command

    publish("PUBLISH", CHANNEL, b"\xff")
    client.publish(CHANNEL, "e1")

    assert [1] == [len(each) for each in wakes(waits)]
    assert [] == listening.value("logs")
