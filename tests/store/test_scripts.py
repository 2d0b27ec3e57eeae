"""Running scripts: by hash, by text where the hash is not known, acknowledged, and never believed
to have run where Redis did not report it.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from app.chats.errors import EventRefused, StoreUnavailable
from app.chats.grant import Grant, new_token
from app.chats.record import Status
from app.store.events import EventStore
from app.store.keys import Keys
from app.store.scripts import NotAcknowledged, Scripts
from tools.model.outcomes import CREATED, UNKNOWN
from tools.model.store_driver import StoreDriver, event_of
from tools.stack.processes import wait_until
from tools.stack.redis_client import connect_to
from tools.stack.redis_line import RedisLine
from tools.stack.valkey import Valkey


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that the test may stop."""
    with Valkey(tmp_path) as server:
        yield server


@pytest.fixture
def own_bench(own_valkey: Valkey) -> Iterator[StoreDriver]:
    """A relay on the server that the test may stop."""
    with connect_to(own_valkey.url) as client:
        bench = StoreDriver(client, Keys("relay"))
        bench.open_gate()
        yield bench


STEPS: dict[str, Callable[[StoreDriver, Grant], object]] = {
    "accept": lambda bench, _: bench.intake().accept(event_of("e2")),
    "find": lambda bench, _: bench.intake().find("e1"),
    "chats_of_user": lambda bench, _: bench.intake().chats_of_user("u1", limit=1),
    "event_of_chat": lambda bench, _: bench.intake().event_of_chat("chat-1"),
    "take": lambda bench, _: bench.worker().take(new_token()),
    "take without a slot": lambda bench, _: bench.worker().take(new_token(), may_grant=False),
    "settle": lambda bench, grant: bench.worker().settle(grant, CREATED),
    "release": lambda bench, grant: bench.worker().release(grant.token),
    "report_probe": lambda bench, _: bench.worker().report_probe(new_token(), problem=None),
    "wait_for_event": lambda bench, _: bench.worker().wait_for_event(0.1),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_flushed_script_is_sent_again(
    bench: StoreDriver, step: Callable[[StoreDriver, Grant], object]
) -> None:
    """A restart or a failover forgets the scripts; they are loaded again."""
    grant = bench.granted()
    bench.client.script_flush()

    step(bench, grant)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_stopped_redis_is_unavailable(
    own_valkey: Valkey, own_bench: StoreDriver, step: Callable[[StoreDriver, Grant], object]
) -> None:
    """Never "assume that it is new", never "not found"."""
    grant = own_bench.granted()
    own_valkey.stop()

    with pytest.raises(StoreUnavailable):
        step(own_bench, grant)


def test_text_is_sent_once(bench: StoreDriver) -> None:
    """An unknown hash is loaded once, for every connection."""
    bench.client.script_flush()
    bench.client.config_resetstat()

    for number in range(3):
        bench.accept(f"e{number}")

    counts = bench.client.info("commandstats")
    assert (1, 3) == tuple(counts[f"cmdstat_{name}"]["calls"] for name in ("eval", "evalsha"))


REPEATED = sorted(STEPS.keys() - {"take", "wait_for_event"})


@pytest.mark.parametrize("name", REPEATED)
def test_a_connection_that_was_closed_is_replaced(bench: StoreDriver, name: str) -> None:
    """An idle time-out of the server or of what is in between costs nothing."""
    grant = bench.granted()
    close_connections(bench)

    STEPS[name](bench, grant)


def test_a_take_on_a_closed_connection_is_not_repeated(bench: StoreDriver) -> None:
    """It may have been run; the next one has a new connection."""
    bench.accept()
    close_connections(bench)

    with pytest.raises(StoreUnavailable):
        bench.worker().take(new_token())

    assert "e1" == bench.grant().event_id


def close_connections(bench: StoreDriver) -> None:
    """Close them at the server, as it does with idle ones."""
    bench.client.client_kill_filter(_type="normal", skipme=True)


@pytest.fixture
def line(valkey: Valkey) -> Iterator[RedisLine]:
    """A proxy of Redis that loses what the test sets."""
    with RedisLine(valkey.port) as line:
        yield line


class FirstOnly(Random):
    """Loses the first thing that is said, and nothing after it."""

    has_lost = False

    def random(self) -> float:
        """Below every share at first, above all of them then."""
        has_lost, self.has_lost = self.has_lost, True
        return float(has_lost)


@pytest.fixture
def lossy(line: RedisLine) -> Iterator[StoreDriver]:
    """The relay on a connection that is reset at its next command."""
    with connect_to(line.url) as client:
        client.ping()
        line.lose(FirstOnly(), 0.5, resets=True)
        yield StoreDriver(client, Keys("relay"))


@pytest.mark.parametrize("name", REPEATED)
def test_a_lost_command_is_repeated(
    bench: StoreDriver, line: RedisLine, name: str, request: pytest.FixtureRequest
) -> None:
    """A fail-over, or a connection that something in between let go of, costs a caller nothing."""
    grant = bench.granted()

    STEPS[name](request.getfixturevalue("lossy"), grant)

    assert 1 == line.losses


def test_a_lost_take_is_not_repeated(
    bench: StoreDriver, line: RedisLine, lossy: StoreDriver
) -> None:
    """A lost take may still arrive, and grant an event that no worker holds."""
    bench.accept("e2")

    with pytest.raises(StoreUnavailable):
        lossy.worker().take(new_token())

    assert 1 == line.losses
    assert "accepted" == bench.record("e2").status


def test_two_relays_do_not_see_each_other(bench: StoreDriver) -> None:
    """Each prefix has its own events, schedule and gate."""
    other = StoreDriver(bench.client, Keys("other"))
    bench.accept()

    assert other.intake().find("e1") is None
    other.open_gate()
    assert not isinstance(other.take(), Grant)


# Acknowledgement by replicas


@pytest.fixture
def replica(own_valkey: Valkey, own_bench: StoreDriver, tmp_path: Path) -> Iterator[Valkey]:
    """A second server that follows the first, and is in step with it."""
    own_bench.client.config_set("repl-diskless-sync-delay", 0)
    follow = ("--replicaof", f"127.0.0.1 {own_valkey.port}")
    with Valkey(tmp_path / "replica", arguments=follow) as replica:
        wait_until(lambda: own_bench.client.wait(1, 100), 10, "the replica to follow")
        yield replica


def test_an_event_without_acknowledgement_is_not_confirmed(bench: StoreDriver) -> None:
    """New or repeated: the caller must come again, and the event is stored once."""
    intake = bench.intake(min_replicas_acked=1)

    for _ in range(2):
        with pytest.raises(NotAcknowledged):
            intake.accept(event_of())

    assert bench.queue("due").keys() == {"e1"}


def test_an_unconfirmed_grant_is_released(bench: StoreDriver) -> None:
    """I1: neither the take nor its repeat hands it out; it is given back."""
    bench.accept()
    worker = bench.worker(min_replicas_acked=1)
    token = new_token()

    for _ in range(2):
        with pytest.raises(NotAcknowledged):
            worker.take(token)

    assert bench.record().status is Status.CALLING
    assert worker.release(token) == "released"
    assert bench.record().status is Status.ACCEPTED


def test_an_answer_without_acknowledgement_is_settled_again(bench: StoreDriver) -> None:
    """The worker keeps it until a replica has it too."""
    grant = bench.granted()
    worker = bench.worker(min_replicas_acked=1)

    for _ in range(2):
        with pytest.raises(NotAcknowledged):
            worker.settle(grant, CREATED)

    assert bench.record().status is Status.OPENED


def test_with_a_replica_all_is_confirmed(replica: Valkey, own_bench: StoreDriver) -> None:
    """First runs and repeats."""
    intake = own_bench.intake(min_replicas_acked=1)
    worker = own_bench.worker(min_replicas_acked=1)
    token = new_token()

    assert [intake.accept(event_of())[1] for _ in range(2)] == [True, False]
    grants = [worker.take(token).decision for _ in range(2)]
    assert grants[0] == grants[1]
    assert isinstance(grants[0], Grant)
    results = [worker.settle(grants[0], CREATED).effect for _ in range(2)]
    assert results == ["opened", "ignored"]


LOOKS: dict[str, Callable[[EventStore], object]] = {
    "find": lambda events: events.find("e2"),
    "find nothing": lambda events: events.find("e3"),
    "chats of user": lambda events: events.chats_of_user("u1", limit=1),
    "event of chat": lambda events: events.event_of_chat("chat-1"),
    "event of no chat": lambda events: events.event_of_chat("chat-9"),
    "duplicate": lambda events: events.accept(event_of("e2")),
    "reused": lambda events: events.accept(event_of("e2", user_id="u2")),
    "too old": lambda events: events.accept(event_of("e3", occurred_at="2001-01-01T00:00:00Z")),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_nothing_is_returned_that_is_not_confirmed(
    bench: StoreDriver, look: Callable[[EventStore], object]
) -> None:
    """A primary that was cut off would go on returning what its successor does not know."""
    bench.worker().settle(bench.granted("e2"), CREATED)

    with pytest.raises(NotAcknowledged):
        look(bench.intake(min_replicas_acked=1))


def test_looks_on_another_connection_are_confirmed_no_sooner(
    own_valkey: Valkey, replica: Valkey, own_bench: StoreDriver
) -> None:
    """WAIT waits for its own connection's writes: a look writes something, or all would pass."""
    own_bench.worker().settle(own_bench.granted("e2"), CREATED)
    wait_until(lambda: own_bench.client.wait(1, 100), 10, "the replica to follow")
    replica.pause()

    for look in LOOKS.values():
        with connect_to(own_valkey.url) as client, pytest.raises(NotAcknowledged):
            look(StoreDriver(client, own_bench.keys).intake(min_replicas_acked=1))


def test_looks_are_confirmed_by_a_replica_also_where_memory_is_full(
    replica: Valkey, own_bench: StoreDriver
) -> None:
    """Confirmation writes free memory first."""
    own_bench.worker().settle(own_bench.granted("e2"), CREATED)
    events = own_bench.intake(min_replicas_acked=1)
    events.find("e2")
    own_bench.client.config_set("maxmemory", 1)

    for look in LOOKS.values():
        with suppress(EventRefused):
            look(events)
    assert events.find("e3") is None
    record = events.event_of_chat("chat-1")
    assert record is not None
    assert "e2" == record.event_id


COMMAND = {"event_id": "e2", "by": "anna", "token": new_token(), "action": "recreate"}


@pytest.mark.parametrize("name", ["accept", "take", "settle", "resolve"])
def test_a_repeat_on_another_connection_is_confirmed_no_sooner(
    own_valkey: Valkey, replica: Valkey, own_bench: StoreDriver, name: str
) -> None:
    """WAIT waits for its own connection's writes: with none, all would be confirmed."""
    grant = own_bench.granted("e2")
    if name == "settle":
        own_bench.worker().settle(grant, CREATED)
    elif name == "accept":
        own_bench.accept("e1")
    elif name == "resolve":
        own_bench.worker().settle(grant, UNKNOWN)
        Scripts(own_bench.client.relay, own_bench.keys).run("resolve", COMMAND)
    wait_until(lambda: own_bench.client.wait(1, 100), 10, "the replica to follow")
    replica.pause()

    with connect_to(own_valkey.url) as client, pytest.raises(NotAcknowledged):
        repeat(StoreDriver(client, own_bench.keys), grant, name)


def repeat(bench: StoreDriver, grant: Grant, name: str) -> None:
    """Do once more what was done before the replica fell silent."""
    match name:
        case "accept":
            bench.intake(min_replicas_acked=1).accept(event_of("e1"))
        case "take":
            bench.worker(min_replicas_acked=1).take(grant.token)
        case "settle":
            bench.worker(min_replicas_acked=1).settle(grant, CREATED)
        case "resolve":
            Scripts(bench.client.relay, bench.keys, min_replicas_acked=1).run("resolve", COMMAND)
