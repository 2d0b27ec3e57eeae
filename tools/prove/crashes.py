"""Crash proofs: at every durable step, the process or its Redis fails.

Each cell of the table (``crash_table``) is an event whose call is held at that step at the crash.
Then a worker is started, and the event must end as the cell defines, with every promise kept. Last,
the logs of dead processes are recovered: every logged chat must then be in its record.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from random import Random

from tools.prove.account import count_events
from tools.prove.crash_points import DurableStep
from tools.prove.crash_scene import CrashResult, CrashScene
from tools.prove.crash_table import PROCESS_ENDS, REDIS_GONE, Crash, Way, crashes_at
from tools.prove.table import Proof, ProofRow
from tools.stack.deployment import Deployment
from tools.stack.oracle import Run

LANES = 3
# With `everysec` a killed Redis loses what it confirmed during a sync.
WRITTEN_FIRST = ("--appendfsync", "always")
NAMES: dict[tuple[Way, ...], str] = {
    PROCESS_ENDS: "kill -9 or SIGTERM",
    REDIS_GONE: "Redis killed or frozen",
}
SHORT = {(DurableStep.SETTLED, PROCESS_ENDS), (DurableStep.SENT, REDIS_GONE)}
NO_HURRY = {
    # A slow machine must still hold the calls of several events together.
    "CALL_DEADLINE_SECONDS": "10",
    # The breaker must not trip.
    "BREAKER_THRESHOLD": "1000",
}


def proofs() -> Sequence[Proof]:
    """Return two proofs for each step: its process fails, or its Redis."""
    return [
        Proof(_name(step, ways), partial(_prove, step, ways), is_short=(step, ways) in SHORT)
        for step in DurableStep
        for ways in NAMES
    ]


def _name(step: DurableStep, ways: Sequence[Way]) -> str:
    return f"{NAMES[tuple(ways)]} before and after `{step}`"


def _prove(step: DurableStep, ways: Sequence[Way], directory: Path, random: Random) -> ProofRow:
    """Play all crashes of one step in random order, a few at a time."""
    crashes = list(crashes_at(step, ways))
    random.shuffle(crashes)
    places = (directory / str(number) for number in count())
    with ThreadPoolExecutor(LANES) as lanes:
        findings = list(lanes.map(_play, crashes, places))
    return replace(
        count_events(_name(step, ways), [finding.run for finding in findings]),
        times=sum(len(crash.kinds) for crash in crashes),
        recovery_seconds=max(finding.recovery_seconds for finding in findings),
        faults=tuple(chain.from_iterable(finding.faults for finding in findings)),
    )


def _play(crash: Crash, directory: Path) -> CrashResult:
    deployment = Deployment(directory, valkey_arguments=WRITTEN_FIRST, **NO_HURRY)
    with deployment as relay, relay.connect() as client:
        try:
            return CrashScene(crash, relay, client).play()
        except (TimeoutError, AssertionError) as error:
            return CrashResult(Run(creates=[], records={}), [f"{crash}: {error}"], 0)
