"""Opening connections: which server they lead to, and what is refused.

Servers that fail over, and other ways to one server: tests/system/test_redis_failover.py and
test_redis_ways.py.
"""

import time
from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.chats.errors import StoreUnavailable
from app.store.audit import Audit, Auditor
from app.store.keys import Keys
from tests.prove.ha_servers import SERVICE, Cluster, Sentinel, Server, clustered, replicated
from tests.stack.redis_client import connect_to
from tests.stack.valkey import Valkey
from tests.store.bench import Bench, event_of

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
    """Nothing is waited for; the reason is what Redis said."""
    with connect_to(f"redis://nobody:geheim@127.0.0.1:{valkey.port}/0") as client:
        bench = Bench(client, Keys("relay"))
        began = time.monotonic()

        with pytest.raises(StoreUnavailable, match="invalid username-password pair") as caught:
            bench.intake().accept(event_of())

    assert time.monotonic() - began < 1
    assert "geheim" not in str(caught.value)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sentinel, Server, Server]]:
    """A sentinel, the server that it names as the primary, and another server."""
    directory = tmp_path_factory.mktemp("named")
    with (
        replicated(directory / "named", 0) as (server,),
        replicated(directory / "other", 0) as (other,),
        Sentinel(directory / "sentinel", server.port, None) as sentinel,
    ):
        yield sentinel, server, other


def test_a_named_primary_that_is_a_replica_is_refused(
    named: tuple[Sentinel, Server, Server],
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


def test_the_named_primary_is_audited(named: tuple[Sentinel, Server, Server]) -> None:
    """Its settings are those that count."""
    sentinel, server, _ = named
    with connect_to(f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/0") as client:
        assert_audits(Auditor(client.relay), server)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries, and two replicas of the one that serves the relay's slot."""
    with clustered(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def test_the_owner_of_the_slot_is_audited(cluster: Cluster) -> None:
    """The other nodes hold nothing of the relay's."""
    with connect_to(cluster.url) as client:
        assert_audits(Auditor(client.relay), cluster.primary)


def assert_audits(auditor: Auditor, server: Server) -> None:
    """Have the audit find what is wrong with this server."""
    assert Audit((), ()) == auditor.audit()
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    audit = auditor.audit()

    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "allkeys-lru" in audit.faults[0]
