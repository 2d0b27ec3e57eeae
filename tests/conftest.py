"""Fixtures of all tests: one real Valkey, emptied before each test that uses it."""

import gc
import json
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
from hypothesis import settings

from tests.durations import DurationRecorder
from tools.stack.redis_client import Client, connect_to
from tools.stack.valkey import Valkey

ROOT = Path(__file__).parents[1]
# Seconds of each test file. Each file runs in one process: begun last, a long one would leave the
# other cores idle. Recorded anew by `make test ARGS=--record-durations`.
DURATIONS = Path(__file__).with_name("durations.json")
settings.register_profile("tests", max_examples=30, deadline=None)
settings.load_profile("tests")

# What is collected lives to the end: looking for garbage in it takes a fourth of the time.
gc.disable()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that records how long each file takes."""
    parser.addoption("--record-durations", action="store_true", help=f"write {DURATIONS.name}")


def pytest_configure(config: pytest.Config) -> None:
    """Record durations where the reports of all processes arrive."""
    if config.getoption("--record-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(DurationRecorder(DURATIONS))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, and with those without a record."""
    seconds = json.loads(DURATIONS.read_text())
    items.sort(key=lambda item: -seconds.get(item.path.relative_to(ROOT).as_posix(), inf))


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
