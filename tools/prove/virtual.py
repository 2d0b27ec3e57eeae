"""Proofs in virtual time: denied events, and a clock that jumps back."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

from tools.model import clock, ways
from tools.model.virtual import Simulation
from tools.prove.scene import fresh_redis
from tools.prove.table import Proof, ProofRow

_CLOCK = "the clock of Redis jumps back, in virtual time"


def proofs() -> Sequence[Proof]:
    """Return one proof for each scene of denied events, and one of the clock."""
    scenes = [
        Proof(f"{scene.name}, in virtual time", partial(_play, scene), is_short=False)
        for scene in ways.SCENES
    ]
    return [*scenes, Proof(_CLOCK, _jump_back, is_short=False)]


def _play(scene: ways.WayScene, directory: Path, _random: Random) -> ProofRow:
    with fresh_redis(directory) as client:
        simulation = scene.play(client, scene.minutes)
    faults = scene.faults(simulation, scene.minutes)
    return _row(f"{scene.name}, in virtual time", simulation, faults, scene.figures(simulation))


def _row(name: str, simulation: Simulation, faults: Sequence[str], note: str) -> ProofRow:
    accepted, failed = len(simulation.accepted_ms), len(simulation.failed)
    return ProofRow(
        name=name,
        times=sum(call.outcome.kind == "denied" for call in simulation.calls),
        accepted=accepted,
        opened=len(simulation.ended_ms) - failed,
        failed=failed,
        faults=tuple(faults),
        note=note,
    )


def _jump_back(directory: Path, _random: Random) -> ProofRow:
    faults = []
    with fresh_redis(directory) as client:
        for scene in clock.SCENES:
            expected = scene(client, 0)
            for back_ms in clock.BACKS_MS:
                found = clock.find_faults(expected, scene(client, back_ms))
                faults += [f"{scene.__name__}, by {back_ms / 1000:.0f} s: {each}" for each in found]
    times = len(clock.SCENES) * len(clock.BACKS_MS)
    return ProofRow(name=_CLOCK, times=times, faults=tuple(faults))
