"""Several Redis servers: web, worker and operator find the one that serves, also after a change."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import requests

from tools.prove.ha import HaDeployment
from tools.prove.ha_servers import (
    SERVICE,
    Cluster,
    RedisServer,
    Sentinel,
    Sentinels,
    run_cluster,
    run_replicas,
    run_sentinels,
)
from tools.stack.deployment import Deployment, Json
from tools.stack.processes import wait_until
from tools.stack.redis_proxy import Mode, RedisProxy
from tools.stack.relay import operate

ACCEPTED, UNAVAILABLE = 202, 503
EXIT_UNAVAILABLE = 3
MAX_ANSWER_SECONDS = 3.5  # 2.6 of them are the promise
RETURN_SECONDS = 5
CALLERS = 8


@contextmanager
def working(directory: Path, redis_url: str, **settings: str) -> Iterator[Deployment]:
    """Run a web and a worker on servers that run already."""
    with HaDeployment(directory, redis_url, **settings) as relay:
        worker, caller = relay.start_worker(), relay.start_web()
        caller.wait_until_ready()
        worker.wait_for_line("worker_started")
        yield relay


def open_event(relay: Deployment, name: str) -> str:
    """Post an event, wait until the worker has opened it, and return its chat id."""
    event = {"event_id": name, "user_id": name}
    wait_until(
        lambda: relay.caller.post(event, Prefer="wait=20").ok,
        RETURN_SECONDS,
        f"{name} to be accepted",
    )
    record = wait_until(lambda: opened_record(relay, name), 20, f"{name} to be opened")
    assert [record["chat"]["id"]] == [create.chat_id for create in relay.creates_of(name)]
    return str(record["chat"]["id"])


def opened_record(relay: Deployment, event_id: str) -> Json:
    """Return the record of an event that is opened, and nothing of any other."""
    record = relay.caller.find(event_id)
    return record if record and record["status"] == "opened" else {}


def explains(relay: Deployment, event_id: str) -> bool:
    """Return whether the operator's command finds an event."""
    return operate({"REDIS_URL": relay.environ["REDIS_URL"]}, "explain", event_id).returncode == 0


@contextmanager
def frozen(servers: Sequence[RedisServer]) -> Iterator[None]:
    """Freeze servers, and let them go on afterwards."""
    for server in servers:
        server.pause()
    try:
        yield
    finally:
        for server in servers:
            server.resume()


def assert_unavailable_in_time(relay: Deployment) -> None:
    """Have every kind of request refused with 503 at the same time; ``/livez`` is answered."""
    caller = relay.caller
    sends: list[Callable[[], requests.Response]] = [
        lambda: caller.post({"event_id": "refused", "user_id": "u"}),
        lambda: caller.get("/v1/events/refused"),
        lambda: caller.get("/v1/users/u/chats"),
    ]
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(send) for send in sends]
        assert 200 == caller.get("/livez").status_code
        assert [503] * len(sends) == [answer.result().status_code for answer in answers]
    assert time.monotonic() - began < MAX_ANSWER_SECONDS
    wait_until(lambda: not caller.is_ready(), RETURN_SECONDS, "a new audit")


# Sentinels


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    """A primary, two replicas and three sentinels."""
    with run_sentinels(tmp_path_factory.mktemp("sentinels")) as sentinels:
        yield sentinels


@pytest.fixture(scope="module")
def behind_sentinels(
    sentinels: Sentinels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A relay in a database of the primary's, whose writes one replica confirms."""
    url = sentinels.url.removesuffix("/0") + "/2"
    with working(tmp_path_factory.mktemp("relay"), url, MIN_REPLICAS_ACKED="1") as relay:
        yield relay


def test_a_replaced_primary_is_left(sentinels: Sentinels, behind_sentinels: Deployment) -> None:
    """Posts go on within some seconds, and look-ups, worker and operator with them."""
    sentinels.wait_until_whole()
    chat_id = open_event(behind_sentinels, "e1")
    old = sentinels.primary

    sentinels.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE)
    wait_until(lambda: sentinels.primary is not old, 30, "a fail-over")
    sentinels.primary.wait_for_replicas(1)

    open_event(behind_sentinels, "e2")
    with sentinels.primary.connect() as client:
        client.select(2)
        assert 1 == client.exists("{relay}:event:e2")
    assert chat_id == behind_sentinels.caller.record("e1")["chat"]["id"]
    assert explains(behind_sentinels, "e2")


def test_a_silent_or_missing_sentinel_is_passed_over(
    sentinels: Sentinels, behind_sentinels: Deployment
) -> None:
    """One that answers is enough, also for connections that are new."""
    open_event(behind_sentinels, "e3")
    primary = sentinels.primary
    silent, gone, _ = sentinels.sentinels
    gone.stop()
    try:
        with frozen([silent]):
            primary.command("CLIENT", "KILL", "TYPE", "normal")

            open_event(behind_sentinels, "e4")
            assert explains(behind_sentinels, "e3")
    finally:
        gone.start()


def test_an_unknown_service_is_unavailable(sentinels: Sentinels, tmp_path: Path) -> None:
    """As a fail-over without a winner is: the service may come."""
    url = sentinels.url.replace(f"/{SERVICE}", "/other")
    with HaDeployment(tmp_path, url) as relay:
        caller = relay.start_web()
        wait_until(lambda: caller.answers("/livez"), 30, "/livez")

        assert_unavailable_in_time(relay)
        assert EXIT_UNAVAILABLE == operate({"REDIS_URL": url}, "status").returncode


def test_silent_sentinels_and_servers_are_unavailable(tmp_path: Path) -> None:
    """However many sentinels are named: answers come in time, and everything goes on afterwards.

    The one that is there is alone, and so starts no fail-over; frozen itself it would rest for 30 s
    afterwards.
    """
    with (
        run_replicas(tmp_path / "primary", 0) as (primary,),
        Sentinel(tmp_path / "sentinel", primary.port, None) as sentinel,
        RedisProxy(sentinel.port) as line,
    ):
        hosts = ",".join([f"127.0.0.1:{line.port}"] * 4)
        with working(tmp_path, f"redis+sentinel://{hosts}/{SERVICE}/0") as relay:
            open_event(relay, "e1")
            with frozen([primary]):
                line.fail(Mode.SILENT)
                assert_unavailable_in_time(relay)
            line.mend()

            wait_until(relay.caller.is_ready, RETURN_SECONDS, "the relay to be ready again")
            open_event(relay, "e2")


def test_a_named_primary_that_is_a_replica_is_not_used(tmp_path: Path) -> None:
    """A sentinel that missed the fail-over names it: its reads would be of the past."""
    with (
        run_replicas(tmp_path / "named", 0) as (named,),
        run_replicas(tmp_path / "primary", 0) as (primary,),
        Sentinel(tmp_path / "sentinel", named.port, None) as sentinel,
        HaDeployment(tmp_path, f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/0") as relay,
    ):
        relay.start_web().wait_until_ready()
        assert 202 == relay.caller.post({"event_id": "e1", "user_id": "u1"}).status_code

        named.follow(primary.port)
        primary.wait_for_replicas(1)
        named.command("CLIENT", "KILL", "TYPE", "normal")  # as a sentinel does

        assert named.port == sentinel.primary_port
        assert_unavailable_in_time(relay)
        assert 503 == relay.caller.get("/v1/events/e1").status_code
        assert not explains(relay, "e1")

        named.lead()
        wait_until(relay.caller.is_ready, RETURN_SECONDS, "the named one to serve")


# Clusters


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries, and two replicas of the one that serves the relay's slot."""
    with run_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def in_cluster(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A relay in the cluster."""
    with working(tmp_path_factory.mktemp("relay"), cluster.url) as relay:
        yield relay


def test_the_owner_of_the_slot_is_found(cluster: Cluster, in_cluster: Deployment) -> None:
    """Whichever nodes the address names."""
    open_event(in_cluster, "e1")

    assert 1 == cluster.primary.command("EXISTS", "{relay}:event:e1")
    assert explains(in_cluster, "e1")


def test_a_moved_slot_is_followed(cluster: Cluster, in_cluster: Deployment) -> None:
    """MOVED: the first post and the first look-up afterwards are served by the new owner."""
    chat_id = open_event(in_cluster, "e2")
    for target in [node for node in cluster.nodes[:3] if node is not cluster.primary]:
        cluster.move_slot(target)
        cluster.wait_until_well()

        found = in_cluster.caller.get(f"/v1/chats/{chat_id}")
        posted = in_cluster.caller.post({"event_id": f"at-{target.port}", "user_id": "moved"})

        assert (200, 202) == (found.status_code, posted.status_code)
        in_cluster.caller.wait_for(f"at-{target.port}", "opened")
        assert 1 == target.command("EXISTS", f"{{relay}}:event:at-{target.port}")
        assert explains(in_cluster, f"at-{target.port}")
        wait_until(lambda: listens(target), RETURN_SECONDS, "the worker at the new owner")  # noqa: B023


def listens(server: RedisServer) -> bool:
    """Return whether a client waits for the bell there."""
    with server.connect() as client:
        return any(connected["cmd"] == "blpop" for connected in client.client_list())


def test_a_silent_cluster_is_unavailable(cluster: Cluster, in_cluster: Deployment) -> None:
    """However many nodes are named: answers come in time, and everything goes on afterwards."""
    open_event(in_cluster, "e3")
    with frozen(cluster.nodes):
        assert_unavailable_in_time(in_cluster)

    cluster.wait_until_well()
    wait_until(in_cluster.caller.is_ready, RETURN_SECONDS, "the relay to be ready again")
    open_event(in_cluster, "e4")


# One address, behind which a server is replaced


@contextmanager
def one_address(
    directory: Path,
) -> Iterator[tuple[Deployment, RedisProxy, RedisServer, RedisServer]]:
    """Run a relay on an address that leads to the first of two servers."""
    with (
        run_replicas(directory / "old", 0) as (old,),
        run_replicas(directory / "new", 0) as (new,),
        RedisProxy(old.port) as address,
        working(directory, address.url) as relay,
    ):
        yield relay, address, old, new


def test_a_server_that_became_a_replica_is_left(tmp_path: Path) -> None:
    """READONLY: the connection is dropped, and the next goes where the address leads by then."""
    with one_address(tmp_path) as (relay, address, old, new):
        open_event(relay, "e1")
        address.lead_to(new.port)
        old.follow(new.port)
        new.wait_for_replicas(1)

        open_event(relay, "e2")

        assert 1 == new.command("EXISTS", "{relay}:event:e2")
        wait_until(lambda: listens(new), RETURN_SECONDS, "the worker at the new server")


def test_a_silent_server_is_left_by_all_connections(tmp_path: Path) -> None:
    """The address leads elsewhere by then: after one refusal no other connection is tried."""
    with one_address(tmp_path) as (relay, address, old, new), ThreadPoolExecutor(CALLERS) as pool:

        def post(name: str) -> int:
            return relay.caller.post({"event_id": name, "user_id": name}).status_code

        def post_together(name: str) -> set[int]:
            return set(pool.map(post, [f"{name}-{number}" for number in range(CALLERS)]))

        assert {202} == post_together("before")
        address.lead_to(new.port)
        with frozen([old]):
            names = (f"meanwhile-{number}" for number in count())
            wait_until(lambda: post(next(names)) == UNAVAILABLE, 10, "a post to be refused")
            wait_until(lambda: post("first") == ACCEPTED, RETURN_SECONDS, "a post")
            assert {202} == post_together("after")

        assert 1 == new.command("EXISTS", "{relay}:event:first")
