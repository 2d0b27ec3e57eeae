"""Tests that denied events delay good ones by seconds, in virtual time.

``make prove`` plays the scenes in full, and prints the figures.
"""

import pytest

from tools.model.ways import SCENES, WayScene
from tools.stack.redis_client import Client


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_denied_events_hold_up_no_others(client: Client, scene: WayScene) -> None:
    """A good event waits for seconds beyond the trouble, and no good event fails."""
    simulation = scene.play(client, scene.short_minutes)

    assert any(call.outcome.kind == "denied" for call in simulation.calls)
    assert [] == scene.faults(simulation, scene.short_minutes)
