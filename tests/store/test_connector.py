"""Opening connections: which server they lead to, and what is refused.

Servers that fail over, and other ways to one server: tests/system/test_redis_failover.py and
test_redis_ways.py.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.chats.errors import StoreRefused, StoreUnavailable
from app.store.audit import Audit, Auditor
from app.store.discovery import cluster_slot_owner
from app.store.keys import Keys
from config.redis_url import parse_redis_url
from tools.model.store_driver import StoreDriver, event_of
from tools.prove.ha_servers import (
    SERVICE,
    Cluster,
    Node,
    RedisServer,
    Sentinel,
    run_cluster,
    run_replicas,
)
from tools.stack.processes import wait_until
from tools.stack.redis_client import connect_to
from tools.stack.servers import KINDS, binary_of
from tools.stack.valkey import Valkey

KEY = "{relay}:text"


def test_a_password_is_in_no_error() -> None:
    """Nor in how a client shows itself: both go to logs."""
    with (
        connect_to("redis://user:geheim%40@127.0.0.1:1/0") as client,
        pytest.raises(RedisError) as caught,
    ):
        client.relay.execute("PING")

    assert "geheim" not in f"{caught.value!r} {client.relay!r} {vars(client.relay)!r}"


def test_a_wrong_password_is_unavailable_at_once(valkey: Valkey, redis_url: str) -> None:
    """Nothing is waited for; the reason is the words of Redis."""
    with connect_to(f"redis://nobody:geheim@127.0.0.1:{valkey.port}/0") as client:
        bench = StoreDriver(client, Keys("relay"))
        began = time.monotonic()

        with pytest.raises(StoreUnavailable, match="invalid username-password pair") as caught:
            bench.intake().accept(event_of())

    assert time.monotonic() - began < 1
    assert "geheim" not in str(caught.value)


@pytest.fixture(scope="module")
def named(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Sentinel, RedisServer, RedisServer]]:
    """A sentinel, the server that it names as the primary, and another server."""
    directory = tmp_path_factory.mktemp("named")
    with (
        run_replicas(directory / "named", 0) as (server,),
        run_replicas(directory / "other", 0) as (other,),
        Sentinel(directory / "sentinel", server.port, None) as sentinel,
    ):
        yield sentinel, server, other


def test_a_named_primary_that_is_a_replica_is_refused(
    named: tuple[Sentinel, RedisServer, RedisServer],
) -> None:
    """The sentinel missed the last fail-over: that server would answer reads from the past."""
    sentinel, server, other = named
    with connect_to(f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/0") as client:
        client.relay.execute("SET", KEY, "1")
        server.follow(other.port)
        other.wait_for_replicas(1)
        client.relay.drop_connections()

        with pytest.raises(RedisConnectionError, match="replica"):
            client.relay.execute("GET", KEY)

        server.lead()
        assert "OK" == client.relay.execute("SET", KEY, "1")


def test_the_named_primary_is_audited(named: tuple[Sentinel, RedisServer, RedisServer]) -> None:
    """Its settings are those that count."""
    sentinel, server, _ = named
    with connect_to(f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/0") as client:
        assert_audits(Auditor(client.relay, Keys("relay")), server)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries, and two replicas of the one that serves the relay's slot."""
    with run_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def test_the_owner_of_the_slot_is_audited(cluster: Cluster) -> None:
    """The other nodes hold nothing of the relay's."""
    with connect_to(cluster.url) as client:
        assert_audits(Auditor(client.relay, Keys("relay")), cluster.primary)


# Nodes that report no host


@pytest.fixture(scope="module", params=KINDS)
def lone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """A cluster of one node, which has met no other and so does not have its own address."""
    node = Node(tmp_path_factory.mktemp("lone") / "node", binary_of(request.param))
    with node:
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        wait_until(lambda: node.is_well, 30, "the cluster to be well")
        yield node


@pytest.mark.parametrize(
    ("endpoint_type", "host"), [("ip", ""), ("hostname", "?"), ("unknown-endpoint", None)]
)
def test_a_node_without_a_host_is_looked_for_where_it_was_queried(
    lone: Node, endpoint_type: str, host: str | None
) -> None:
    """A service in front of the nodes, or a node that does not know its address, reports none."""
    lone.command("CONFIG", "SET", "cluster-preferred-endpoint-type", endpoint_type)
    [share] = lone.command("CLUSTER", "SLOTS")

    with connect_to(f"redis+cluster://127.0.0.1:{lone.port}") as client:
        assert host == share[2][0]
        assert "OK" == client.relay.execute("SET", KEY, "1")
        assert Audit() == Auditor(client.relay, Keys("relay")).audit()


OWNERS: dict[str, tuple[list[Any], tuple[str, int]]] = {
    "host": (["redis-1", 7000, "id", []], ("redis-1", 7000)),
    "null": ([None, 7000, "id", ["ip", "10.0.0.1"]], ("127.0.0.1", 7000)),
    "empty": (["", 7000, "id"], ("127.0.0.1", 7000)),
    "question mark": (["?", 7000, "id"], ("127.0.0.1", 7000)),
    "question mark of a release before metadata": (["?", 7000], ("127.0.0.1", 7000)),
    "question mark and address": (["?", 7000, "id", ["ip", "10.0.0.1"]], ("10.0.0.1", 7000)),
    "question mark and no address": (["?", 7000, "id", ["ip", ""]], ("127.0.0.1", 7000)),
}


@pytest.mark.parametrize(("owner", "address"), OWNERS.values(), ids=OWNERS)
def test_the_owner_of_the_slot_is_found(owner: list[Any], address: tuple[str, int]) -> None:
    """By its host, else by its IP address where its name is not set, else where it was queried."""
    shares = [[0, 5, ["elsewhere", 1, "id"]], [6, 16_383, owner, ["replica", 1, "id"]]]
    with canned(encode_reply(shares)) as port:
        found = cluster_slot_owner(parse_redis_url(f"redis+cluster://127.0.0.1:{port}"), 6)

    assert address == found


def encode_reply(value: Any) -> bytes:
    """Encode as RESP2 has it, https://redis.io/docs/latest/develop/reference/protocol-spec/"""
    match value:
        case list():
            return b"*%d\r\n" % len(value) + b"".join(map(encode_reply, value))
        case int():
            return b":%d\r\n" % value
        case None:
            return b"$-1\r\n"
    return b"$%d\r\n%s\r\n" % (len(value), value.encode())


@contextmanager
def canned(reply: bytes) -> Iterator[int]:
    """Greet a client, and serve ``reply`` to its first command; yield the port."""

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                connection.recv(65_536)
                connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_cluster_with_a_wrong_password_is_reported(cluster: Cluster) -> None:
    """A wrong password is no lack of nodes."""
    url = cluster.url.replace("://", "://nobody:geheim@")
    with connect_to(url) as client, pytest.raises(StoreRefused) as refused:
        Auditor(client.relay, Keys("relay")).audit()

    assert "no node of the cluster names the owner of the relay's slot: WRONGPASS" in str(
        refused.value
    )
    assert "geheim" not in str(refused.value)


def test_a_slot_moved_meanwhile_is_reported(cluster: Cluster) -> None:
    """The audit follows the slot, and reports the move until then."""
    target = next(node for node in cluster.nodes[:3] if node is not cluster.primary)
    source = cluster.primary
    with connect_to(cluster.url) as client:
        auditor = Auditor(client.relay, Keys("relay"))
        assert Audit() == auditor.audit()
        target.command("CLUSTER", "SETSLOT", cluster.slot, "IMPORTING", source.node_id)
        source.command("CLUSTER", "SETSLOT", cluster.slot, "MIGRATING", target.node_id)
        with pytest.raises(StoreRefused, match=r"^ASK to another node"):
            auditor.audit()
        for node in (target, source):
            node.command("CLUSTER", "SETSLOT", cluster.slot, "NODE", target.node_id)

        assert Audit() == wait_until(lambda: audit_or_none(auditor), 30, "the new owner")


def audit_or_none(auditor: Auditor) -> Audit | None:
    """Audit, where that is possible now."""
    try:
        return auditor.audit()
    except StoreRefused:
        return None


def assert_audits(auditor: Auditor, server: RedisServer) -> None:
    """Have the audit find what is wrong with this server."""
    assert Audit() == auditor.audit()
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    audit = auditor.audit()

    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "allkeys-lru" in audit.faults[0]
