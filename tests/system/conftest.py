"""One deployment for all tests here but those that are hard on its Redis."""

from collections.abc import Iterator

import pytest

from tools.stack.deployment import LONG_CALLS, Deployment
from tools.stack.relay import Process
from tools.stack.verdict import find_leaks, judge


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A Valkey, a stand-in and one web; in the end, none of them has written what it must not."""
    with Deployment(tmp_path_factory.mktemp("deployment"), **LONG_CALLS) as deployment:
        deployment.start_web().wait_until_ready()
        yield deployment
        assert [] == find_leaks(deployment)


@pytest.fixture
def relay(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment without any event; after the test, what was accepted passes the oracle."""
    deployment.clear()
    yield deployment
    judge(deployment)


@pytest.fixture(scope="module")
def no_worker_stays(deployment: Deployment) -> Iterator[None]:
    """The tests of one file may leave each other a worker, and leave none to the next file."""
    yield
    deployment.kill_workers()


@pytest.fixture
def worker(no_worker_stays: None, relay: Deployment) -> Process:
    """A worker that runs, for a test that does not care which."""
    return relay.worker()
