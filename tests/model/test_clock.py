"""The clock of Redis jumps back: calls go on, and no rate is exceeded, in virtual time."""

import pytest

from tools.model.clock import BACKS_MS, SCENES, Scene, find_faults
from tools.stack.redis_client import Client


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_clock_that_jumps_back_stops_nothing(client: Client, scene: Scene) -> None:
    """By seconds or by an hour: each call and each probe is made within two seconds of its time."""
    expected = scene(client, 0)
    assert expected.calls

    for back_ms in BACKS_MS:
        assert [] == [*find_faults(expected, scene(client, back_ms))], back_ms
