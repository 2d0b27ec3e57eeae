"""An operator of a relay whose gate is open; no rule may be broken behind him."""

from collections.abc import Iterator

import pytest

from app.store.client import Client
from app.store.keys import Keys
from tests.operate.operator import LossyScripts, Operator
from tests.store.bench import Bench
from tests.store.rules import broken_rules


@pytest.fixture
def operator(client: Client) -> Iterator[Operator]:
    """An operator, and a relay without any event."""
    bench = Bench(client, Keys("relay"))
    bench.open_gate()
    yield Operator(bench, LossyScripts(client, bench.keys))
    assert [] == broken_rules(client, bench.keys)
