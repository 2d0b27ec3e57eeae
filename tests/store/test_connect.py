"""Clients of one server, of sentinels and of a cluster: what a URL means, and what a failure does.

The servers here fail over for real: a sentinel, or the cluster itself, puts another in the place.
"""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.chats.errors import StoreUnavailable
from app.store.audit import Audit, Auditor
from app.store.client import Client
from app.store.connect import connect, connect_blocking
from app.store.connections import SoughtTcp, SoughtTls, Tcp, Tls, Unix, answering_within
from app.store.events import EventStore
from app.store.keys import Keys
from app.store.url import parse
from config.settings import OperatorSettings, load
from tests.prove.ha_servers import (
    SERVICE,
    Address,
    Cluster,
    Sentinels,
    clustered,
    replicated,
    watched,
)
from tests.stack.processes import wait_until
from tests.stack.valkey import Valkey
from tests.store.bench import Bench, event_of
from tests.system.redis_line import RedisLine

KEYS = Keys("relay")
KEY = "{relay}:key"
NOTHING_OR_A_RING = (None, (KEYS.bell, "1"))
MAX_ANSWER_SECONDS = 3
THREADS = 3


# What a URL means

FORMS: dict[str, dict[str, Any]] = {
    "redis://redis": {"hosts": (("redis", 6379),), "db": 0, "login": {}},
    "redis://redis_1:7000/3": {"hosts": (("redis_1", 7000),), "db": 3},
    "redis://redis:7000/": {"db": 0},
    "redis://redis?db=4": {"db": 4},
    "redis://[::1]:7000/1": {"hosts": (("::1", 7000),), "db": 1},
    "redis://[fd00::1]": {"hosts": (("fd00::1", 6379),)},
    "redis://:p%40ss%2Fw%3Ard%25@redis": {"login": {"password": "p@ss/w:rd%"}},
    "redis://us%3Aer:a:b@redis": {"login": {"username": "us:er", "password": "a:b"}},
    "redis://user@redis": {"login": {"username": "user"}},
    "rediss://redis": {"is_tls": True, "tls": {}},
    "rediss://redis/2?ssl_cert_reqs=none&ssl_ca_certs=/ca%20s.pem&ssl_check_hostname=false": {
        "db": 2,
        "tls": {
            "ssl_cert_reqs": "none",
            "ssl_ca_certs": "/ca s.pem",
            "ssl_check_hostname": False,
        },
    },
    "unix:///run/a%20b.sock": {"path": "/run/a b.sock", "db": 0},
    "unix://user:secret@/run/redis.sock?db=2": {
        "path": "/run/redis.sock",
        "db": 2,
        "login": {"username": "user", "password": "secret"},
    },
    "redis+sentinel://a,b:2/main": {
        "hosts": (("a", 26379), ("b", 2)),
        "service": "main",
        "db": 0,
        "is_tls": False,
    },
    "redis+sentinel://u:p%2C@a:1,[::1]:2,[::2]/main.1/5?ssl=true": {
        "hosts": (("a", 1), ("::1", 2), ("::2", 26379)),
        "service": "main.1",
        "db": 5,
        "is_tls": True,
        "login": {"username": "u", "password": "p,"},
    },
    "redis+cluster://a,b:7000": {"hosts": (("a", 6379), ("b", 7000)), "db": 0, "is_tls": False},
    "redis+cluster://:secret@a:7000/0?ssl=true&ssl_cert_reqs=required": {
        "is_tls": True,
        "login": {"password": "secret"},
        "tls": {"ssl_cert_reqs": "required"},
    },
}
KINDS = {
    "redis://a": Tcp,
    "rediss://a": Tls,
    "unix:///a": Unix,
    "redis+sentinel://a/main": SoughtTcp,
    "redis+sentinel://a/main?ssl=true": SoughtTls,
    "redis+cluster://a": SoughtTcp,
    "redis+cluster://a?ssl=true": SoughtTls,
}


@pytest.mark.parametrize(("url", "meaning"), FORMS.items(), ids=FORMS)
def test_a_url_means_what_it_says(url: str, meaning: dict[str, Any]) -> None:
    """Hosts, ports, database, user, password and TLS; and the settings take each of these."""
    parsed = parse(url)

    assert meaning == {name: getattr(parsed, name) for name in meaning}
    assert url == load(OperatorSettings, {"REDIS_URL": url}).redis_url.get_secret_value()


@pytest.mark.parametrize(("url", "kind"), KINDS.items(), ids=KINDS)
def test_every_connection_has_its_time_outs(url: str, kind: type) -> None:
    """Whatever the URL: the library's own would let a thread hang for ten seconds and more."""
    at_once = connect(url).connection_pool
    blocking = connect_blocking(url).connection_pool

    assert kind is at_once.connection_class is blocking.connection_class
    timeouts = [
        (connection.socket_connect_timeout, connection.socket_timeout)
        for connection in (at_once.make_connection(), blocking.make_connection())
        if isinstance(connection, AbstractConnection)
    ]
    assert [(1.0, 1.0), (1.0, 3.0)] == timeouts
    # which a server that announces its maintenance may not make longer
    assert not at_once.maint_notifications_enabled()


def test_as_many_threads_as_may_be_set_find_a_connection() -> None:
    """The library's own limit is 100; WEB_THREADS and WORKER_CONCURRENCY go up to 1000."""
    assert connect("redis://a").connection_pool.max_connections > 2000


def test_a_password_is_in_no_error() -> None:
    """Nor in how a client shows itself: both go to logs."""
    client = connect("redis://user:geheim%40@127.0.0.1:1/0")

    with pytest.raises(RedisError) as caught:
        client.ping()

    assert "geheim" not in f"{caught.value!r} {client!r} {client.connection_pool!r}"


# What a failure does


@pytest.fixture
def line(valkey: Valkey, redis_url: str) -> Iterator[RedisLine]:
    """A line to the shared server, which can be cut."""
    with RedisLine(valkey.port) as line:
        yield line


def test_a_lost_reply_repeats_nothing(line: RedisLine, client: Client) -> None:
    """The library would send the command again, and it would run twice."""
    with connect(line.url) as cut:
        cut.ping()
        line.cut_at(b":1\r\n")

        with pytest.raises(RedisTimeoutError):
            cut.incr(KEY)

    assert "1" == client.get(KEY)


def test_a_lost_connection_repeats_nothing(line: RedisLine, client: Client) -> None:
    """The same where the connection is closed instead of falling silent."""

    def close() -> None:
        line.wait_for_cut()
        line.mend()

    closing = Thread(target=close)
    closing.start()
    with connect(line.url) as cut:
        cut.ping()
        line.cut_at(b":1\r\n")

        with pytest.raises(RedisConnectionError):
            cut.incr(KEY)
    closing.join()

    assert "1" == client.get(KEY)


class SlowLine(RedisLine):
    """Brings each byte of a reply so many seconds after the one before."""

    pause_seconds = 0.05

    def _pump(self, source: socket.socket, sink: socket.socket, *, is_reply: bool) -> None:
        def drip() -> None:
            with source, suppress(OSError):
                while passing := source.recv(1):
                    time.sleep(self.pause_seconds)
                    sink.sendall(passing)

        if not is_reply:
            super()._pump(source, sink, is_reply=False)
        else:
            Thread(target=drip, daemon=True).start()


ASKING: dict[str, Callable[[Client], object]] = {
    "accept": lambda client: Bench(client, KEYS).intake().accept(event_of()),
    "accept acknowledged": lambda client: (
        Bench(client, KEYS).intake(min_replicas_acked=1).accept(event_of())
    ),
    "find": lambda client: Bench(client, KEYS).intake().find("e1"),
    "audit": lambda client: Auditor(client).audit(),
}


def assert_unavailable_in_time(client: Client, ask: Callable[[Client], object]) -> None:
    """Not confirmed, and said so while the caller still listens."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        ask(client)
    assert time.monotonic() - began < MAX_ANSWER_SECONDS


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_a_server_that_drips_is_unavailable_in_time(
    valkey: Valkey, redis_url: str, ask: Callable[[Client], object]
) -> None:
    """No single step times out, and all of them together would take half a minute."""
    with SlowLine(valkey.port) as line, connect(line.url) as client:
        assert_unavailable_in_time(client, ask)


def test_limits_within_limits_only_shrink(valkey: Valkey, redis_url: str) -> None:
    """The narrowest holds, and is over with its block."""
    with connect_blocking(redis_url) as client:
        with answering_within(0.1):
            for seconds in (0.01, 60):
                with answering_within(seconds), pytest.raises(RedisTimeoutError):
                    client.blpop([KEYS.bell], timeout=0.5)

        assert client.blpop([KEYS.bell], timeout=0.5) is None


def test_a_server_that_became_a_replica_is_asked_no_more(tmp_path: Path) -> None:
    """READONLY: the connection is dropped, and the next goes where the address leads by then."""
    with replicated(tmp_path, 0) as (server,), connect(server.url) as client:
        client.set(KEY, "1")
        before = client.client_id()
        server.follow(1)

        with pytest.raises(ResponseError):
            client.blpop([KEYS.bell], timeout=0.1)

        assert before != client.client_id()


def test_connections_to_a_silent_server_are_not_tried_one_by_one(tmp_path: Path) -> None:
    """The address leads to another server by now: each thread's would cost a second, and a 503."""
    with replicated(tmp_path / "a", 0) as (old,), replicated(tmp_path / "b", 0) as (new,):
        with (
            Address(old.port) as address,
            connect(address.url) as client,
            ThreadPoolExecutor(THREADS) as threads,
        ):
            ask_in_each(threads, client)
            address.lead_next_to(new.port)
            old.pause()

            threads.submit(assert_unavailable_in_time, client, ASKING["accept"]).result()
            ask_in_each(threads, client)

            old.resume()
        assert 0 == new.command("EXISTS", KEYS.event("e1"))


def ask_in_each(threads: ThreadPoolExecutor, client: Client) -> None:
    """Have every one of the threads ask something."""
    together = Barrier(THREADS)

    def ask() -> None:
        together.wait(MAX_ANSWER_SECONDS)
        client.ask("PING")

    for asking in [threads.submit(ask) for _ in range(THREADS)]:
        asking.result()


# Sentinels


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    """A primary, two replicas and three sentinels."""
    with watched(tmp_path_factory.mktemp("sentinels")) as sentinels:
        yield sentinels


def test_a_primary_that_was_replaced_is_left_once_no_replica_follows_it(
    sentinels: Sentinels,
) -> None:
    """It takes writes for ten seconds more, which are lost; whoever asks for replicas learns it."""
    sentinels.wait_until_whole()
    old = sentinels.primary
    with connect(sentinels.url) as client:
        intake = Bench(client, KEYS).intake(min_replicas_acked=1)
        intake.accept(event_of("e1"))
        sentinels.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE)
        wait_until(lambda: sentinels.primary is not old, 30, "a fail-over")
        sentinels.primary.wait_for_replicas(1)

        wait_until(lambda: _is_accepted(intake), 5, "the new primary to be found")

    assert 1 == sentinels.primary.command("EXISTS", KEYS.event("e2"))


def test_a_sentinel_that_is_silent_or_gone_is_passed_over(sentinels: Sentinels) -> None:
    """One that answers is enough."""
    silent, gone, _ = sentinels.sentinels
    silent.pause()
    gone.stop()

    with connect(sentinels.url) as client:
        assert client.ping()

    silent.resume()
    gone.start()


def test_a_replica_is_not_taken_for_the_primary(sentinels: Sentinels) -> None:
    """Whoever named it has not heard of the last fail-over: it would answer reads from the past."""
    sentinels.wait_until_whole()
    replica = next(server for server in sentinels.servers if server is not sentinels.primary)
    connection = SoughtTcp(find=lambda: ("127.0.0.1", replica.port), decode_responses=True)

    with pytest.raises(RedisConnectionError, match="replica"):
        connection.connect()  # type: ignore[no-untyped-call] # see pyproject


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_silent_sentinels_are_unavailable_in_time(
    sentinels: Sentinels, ask: Callable[[Client], object]
) -> None:
    """They, and the server too: packets are dropped."""
    frozen = sentinels.all
    for server in frozen:
        server.pause()

    with connect(sentinels.url) as client:
        assert_unavailable_in_time(client, ask)

    for server in frozen:
        server.resume()


def test_behind_sentinels_the_primary_is_audited(sentinels: Sentinels) -> None:
    """Its settings are those that count."""
    wait_until(lambda: sentinels.primary.info("replication")["role"] == "master", 30, "a primary")
    with connect(sentinels.url) as client:
        assert Audit((), ()) == Auditor(client).audit()
        sentinels.primary.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

        audit = Auditor(client).audit()

        sentinels.primary.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "allkeys-lru" in audit.faults[0]


def test_no_service_of_that_name_is_unavailable(sentinels: Sentinels) -> None:
    """As a fail-over without a winner would be: it may come."""
    with connect(sentinels.url.replace(f"/{SERVICE}", "/other")) as client:
        assert_unavailable_in_time(client, ASKING["find"])


# Clusters


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries, and two replicas of the one that serves the relay's slot."""
    with clustered(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def test_a_slot_that_moved_is_followed(cluster: Cluster) -> None:
    """MOVED: a script and a look-up are sent again, to the new owner."""
    primaries = [node for node in cluster.nodes[:3] if node is not cluster.primary]
    with _cluster_client(cluster) as client:
        bench = Bench(client, KEYS)
        bench.accept()
        cluster.move_slot(primaries[0])

        bench.accept()

        cluster.move_slot(primaries[1])

        assert bench.record().event_id == "e1"


def test_a_blocking_read_follows_the_slot(cluster: Cluster) -> None:
    """No script tells that client to look again: a worker would never hear the bell any more."""
    target = next(node for node in cluster.nodes[:3] if node is not cluster.primary)
    with connect_blocking(cluster.url, slot_key=KEYS.tag) as client:
        assert client.blpop([KEYS.bell], timeout=0.1) in NOTHING_OR_A_RING
        cluster.move_slot(target)

        with pytest.raises(ResponseError):
            client.blpop([KEYS.bell], timeout=0.1)

        assert client.blpop([KEYS.bell], timeout=0.1) in NOTHING_OR_A_RING


def test_in_a_cluster_the_owner_is_audited(cluster: Cluster) -> None:
    """Its settings are those that count; the other nodes hold nothing of ours."""
    with _cluster_client(cluster) as client:
        assert Audit((), ()) == Auditor(client).audit()
        cluster.primary.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

        audit = Auditor(client).audit()

        cluster.primary.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "allkeys-lru" in audit.faults[0]


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_a_silent_cluster_is_unavailable_in_time(
    cluster: Cluster, ask: Callable[[Client], object]
) -> None:
    """However many nodes are named, and asked one after the other."""
    for node in cluster.nodes:
        node.pause()

    with _cluster_client(cluster) as client:
        assert_unavailable_in_time(client, ask)

    for node in cluster.nodes:
        node.resume()


def _cluster_client(cluster: Cluster) -> Client:
    return connect(cluster.url, slot_key=KEYS.tag)


def _is_accepted(intake: EventStore) -> bool:
    try:
        intake.accept(event_of("e2"))
    except StoreUnavailable:
        return False
    return True
