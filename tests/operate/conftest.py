"""An operator of a relay whose gate is open; no rule may be broken behind him."""

from collections.abc import Iterator

import pytest

from tests.operate.operator import Operator
from tools.model.rules import broken_rules


@pytest.fixture
def operator(redis_url: str) -> Iterator[Operator]:
    """An operator, and a relay without any event."""
    with Operator.connected_to(redis_url) as operator:
        operator.bench.open_gate()
        yield operator
        assert [] == broken_rules(operator.bench.client, operator.bench.keys)
