"""At its start a process looks at its Redis, wherever that is, and at the way to it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tools.prove.ha import HaDeployment
from tools.prove.ha_servers import (
    Cluster,
    RedisServer,
    Sentinels,
    run_cluster,
    run_replicas,
    run_sentinels,
)
from tools.stack.processes import free_port, wait_until

Several = Callable[[Path], AbstractContextManager[Sentinels | Cluster]]

READONLY = "READONLY You can't write against a read only replica."

SEVERAL: dict[str, Several] = {"sentinels": run_sentinels, "cluster": run_cluster}


@pytest.fixture(scope="module", params=sorted(SEVERAL))
def redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sentinels | Cluster]:
    """A Redis that is several servers."""
    running: Several = SEVERAL[request.param]
    with running(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture
def evicting(redis: Sentinels | Cluster) -> Iterator[str]:
    """The address of one whose primary may drop what was accepted."""
    primary: RedisServer = redis.primary
    primary.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    yield redis.url
    primary.command("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_an_evicting_primary_ends_it(evicting: str, tmp_path: Path) -> None:
    """Found by way of a sentinel or of a cluster's node, like every other command."""
    with HaDeployment(tmp_path, evicting) as relay:
        process = relay.start_worker()

        assert 3 == process.child.wait(30)
        (line,) = process.lines("redis_unsafe")
        assert "maxmemory-policy is allkeys-lru" in line["fault"]


def test_a_primary_that_becomes_an_evicting_one_is_not_ready(
    redis: Sentinels | Cluster, tmp_path: Path
) -> None:
    """Whatever it was when web started."""
    primary: RedisServer = redis.primary
    with HaDeployment(tmp_path, redis.url) as relay:
        caller = relay.start_web()
        caller.wait_until_ready()

        primary.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        wait_until(lambda: not caller.is_ready(), 10, "a new audit")
        answer = caller.get("/readyz")
        primary.command("CONFIG", "SET", "maxmemory-policy", "noeviction")

        assert 503 == answer.status_code
        (error,) = answer.json()["errors"]
        assert "maxmemory-policy is allkeys-lru" in error["check"]
        wait_until(caller.is_ready, 30, "web to be ready again")


def test_a_redis_that_writes_nothing_to_disk_is_warned_about(tmp_path: Path) -> None:
    """In the log of each process, and at ``/readyz``, which is ready all the same."""
    with (
        run_replicas(tmp_path / "redis", 0) as (server,),
        HaDeployment(tmp_path, server.url) as relay,
    ):
        server.command("CONFIG", "SET", "appendonly", "no")
        worker, caller = relay.start_worker(), relay.start_web()

        caller.wait_until_ready()

        (warning,) = caller.get("/readyz").json()["warnings"]
        assert "neither AOF nor RDB persistence is on" in warning
        for process in (worker, relay.processes[-1]):
            line = process.wait_for_line("redis_warning", level="error")
            assert "persistence" in line["warning"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server of its own."""
    with run_replicas(tmp_path_factory.mktemp("one"), 0) as (server,):
        yield server


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_database_that_redis_lacks_ends_it(
    server: RedisServer, tmp_path: Path, name: str
) -> None:
    """At the start, not at the first event; whatever the operator allows."""
    url = server.url.replace("/0", "/99")
    with HaDeployment(tmp_path, url, REDIS_ALLOW_UNSAFE="1") as relay:
        process = relay.start(name)

        assert 3 == process.child.wait(30)
        (line,) = process.lines("redis_unsafe")
        assert line["fault"].startswith("REDIS_URL names database 99; ")
        assert "Traceback" not in process.log.read_text()


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_missing_file_of_authorities_ends_it(tmp_path: Path, name: str) -> None:
    """As every setting that cannot be used."""
    url = f"rediss://redis:6379/0?ssl_ca_certs={tmp_path}/missing.pem"
    with HaDeployment(tmp_path, url) as relay:
        process = relay.start(name)

        assert 2 == process.child.wait(30)
        assert "REDIS_URL: must have ssl_ca_certs as a PEM file" in process.log.read_text()


def test_a_server_that_became_a_replica_is_not_ready(server: RedisServer, tmp_path: Path) -> None:
    """Behind one address a replica answers only reads: web reports its reply, then recovers."""
    with HaDeployment(tmp_path, server.url) as relay:
        caller = relay.start_web()
        caller.wait_until_ready()
        server.follow(free_port())
        wait_until(lambda: not caller.is_ready(), 10, "a new audit")
        answer, posted = caller.get("/readyz"), caller.post({"event_id": "e1", "user_id": "u1"})
        worker = relay.start_worker()
        refused = worker.wait_for_line("redis_unavailable")
        server.lead()

        assert [{"check": f"redis: {READONLY}"}] == answer.json()["errors"]
        assert 503 == posted.status_code
        assert READONLY == refused["reason"]
        wait_until(caller.is_ready, 30, "web to be ready again")
        assert 200 == caller.post({"event_id": "e1", "user_id": "u1"}, Prefer="wait=20").status_code
