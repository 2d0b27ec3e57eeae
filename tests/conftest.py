"""What tests of every layer start from: one real Valkey, emptied before each test that uses it."""

from collections.abc import Iterator

import pytest
from redis import Redis

from app.store.connect import connect
from tests.stack.valkey import Valkey


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
def client(redis_url: str) -> Iterator[Redis]:
    """The relay's own kind of client of the shared server."""
    with connect(redis_url) as client:
        yield client
