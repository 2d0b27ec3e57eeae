"""What tests of every layer start from: one real Valkey, emptied before each test that uses it."""

import gc
from collections.abc import Iterator

import pytest

from app.store.client import Client
from app.store.connect import connect
from tests.stack.valkey import Valkey

# Each file is one process's work: begun last, these would leave the other cores idle at the end.
LONGEST_FIRST = (
    *("test_connect", "test_tracing", "test_slow_clients", "test_wait_and_metrics"),
    *("test_processes", "test_audit_at_start", "test_run", "test_killed_workers", "test_scripts"),
    *("test_spool_unusable", "test_channel_io_away", "test_schemathesis", "test_stopping_workers"),
    *("test_explorer", "test_start_up", "test_redis_away", "test_races", "test_api_page"),
    *("test_state_machine", "test_replay"),
)

# What is collected lives to the end: looking for garbage in it takes a fourth of the time.
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_collection_finish() -> None:
    """Look for garbage in what comes after."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A running server, shared by all tests; one that stops its server starts its own."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """The address of the shared server, which holds nothing yet."""
    with connect(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    """The relay's own kind of client of the shared server."""
    with connect(redis_url) as client:
        yield client
