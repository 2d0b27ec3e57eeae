"""Each test of the store gets a relay whose gate is open, and must leave no rule broken behind."""

from collections.abc import Iterator

import pytest

from app.store.keys import Keys
from tools.model.rules import broken_rules
from tools.model.store_driver import StoreDriver
from tools.stack.redis_client import Client


@pytest.fixture
def new_bench(client: Client) -> Iterator[StoreDriver]:
    """A relay that has never run; after the test every event is where its status says, and every
    key ends that should.
    """
    keys = Keys("relay")
    yield StoreDriver(client, keys)
    assert not broken_rules(client, keys)


@pytest.fixture
def bench(new_bench: StoreDriver) -> StoreDriver:
    """A relay whose base URL was found good."""
    new_bench.open_gate()
    return new_bench


@pytest.fixture
def full_memory(client: Client) -> Iterator[None]:
    """Redis has no memory left, until the test is over."""
    client.config_set("maxmemory", 1)
    yield
    client.config_set("maxmemory", 0)
