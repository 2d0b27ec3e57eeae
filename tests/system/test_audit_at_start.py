"""At its start a process looks at its Redis, wherever that is, and at the way to it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.prove.ha import HaDeployment
from tests.prove.ha_servers import Cluster, Sentinels, Server, clustered, replicated, watched
from tests.stack.processes import wait_until

Several = Callable[[Path], AbstractContextManager[Sentinels | Cluster]]

SEVERAL: dict[str, Several] = {"sentinels": watched, "cluster": clustered}


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
    primary: Server = redis.primary
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
    primary: Server = redis.primary
    with HaDeployment(tmp_path, redis.url) as relay:
        caller = relay.start_web()
        caller.wait_until_ready()

        primary.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        answer = caller.get("/readyz")
        primary.command("CONFIG", "SET", "maxmemory-policy", "noeviction")

        assert 503 == answer.status_code
        (error,) = answer.json()["errors"]
        assert "maxmemory-policy is allkeys-lru" in error["check"]
        wait_until(caller.is_ready, 30, "web to be ready again")


def test_a_redis_that_writes_nothing_to_disk_is_warned_about(tmp_path: Path) -> None:
    """In the log of each process, and at ``/readyz``, which is ready all the same."""
    with (
        replicated(tmp_path / "redis", 0) as (server,),
        HaDeployment(tmp_path, server.url) as relay,
    ):
        server.command("CONFIG", "SET", "appendonly", "no")
        worker, caller = relay.start_worker(), relay.start_web()

        caller.wait_until_ready()

        (warning,) = caller.get("/readyz").json()["warnings"]
        assert "persistence" in warning
        for process in (worker, relay.processes[-1]):
            assert "persistence" in process.wait_for_line("redis_warning")["warning"]
