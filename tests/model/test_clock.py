"""Tests of a Redis clock that jumps back: calls continue, and the rate is kept."""

import pytest

from tools.model.clock import BACKS_MS, SCENES, Scene, find_faults
from tools.stack.redis_client import Client


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_clock_that_jumps_back_stops_nothing(client: Client, scene: Scene) -> None:
    """Each call and probe is at most two seconds late, after a jump of seconds or an hour."""
    expected = scene(client, 0)
    assert expected.calls

    for back_ms in BACKS_MS:
        assert [] == [*find_faults(expected, scene(client, back_ms))], back_ms
