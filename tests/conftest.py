"""Fixtures of all tests: one real Valkey, emptied before each test that uses it."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tools.stack.redis_client import Client, connect_to
from tools.stack.valkey import Valkey

# Each file is one process's work: begun last, these would leave the other cores idle at the end.
LONGEST_FIRST = (
    *("test_slow_clients", "test_call", "test_time", "test_taker", "test_notices"),
    *("test_redis_failover", "test_tracing", "test_stalled_log", "test_redis_ways"),
    *("test_client_patched", "test_waiting", "test_run", "test_deadline"),
    *("test_wait_and_metrics", "test_examples", "test_process", "test_signals"),
    *("test_audit_at_start", "test_start_up", "test_state_machine", "test_schemathesis"),
    *("test_waiters", "test_stopping_workers", "test_scripts", "test_redis_away"),
    *("test_channel_io_away", "test_killed_workers", "test_logging", "test_patched"),
    *("test_settle", "test_round_trips", "test_kept_results", "test_hostile", "test_gate"),
    *("test_one_event", "test_api_page", "test_early_answers", "test_lookups"),
    *("test_spool_unusable", "test_connector", "test_gunicorn", "test_spool_disk"),
)
settings.register_profile("tests", max_examples=30, deadline=None)
settings.load_profile("tests")

# What is collected lives to the end: looking for garbage in it takes a fourth of the time.
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Look for garbage in what comes after."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A running server, shared by all tests; one that stops its server starts its own."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def cleaner(valkey: Valkey) -> Iterator[Client]:
    """One connection for all tests to begin with: half of what a short test takes is connecting."""
    with connect_to(valkey.url) as client:
        yield client


@pytest.fixture
def redis_url(valkey: Valkey, cleaner: Client) -> str:
    """The address of the shared server, which holds nothing yet."""
    cleaner.flushall()
    return valkey.url


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    """The relay's own kind of client of the shared server."""
    with connect_to(redis_url) as client:
        yield client
