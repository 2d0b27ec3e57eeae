"""``python -m tests.model``: explores and replays the model within wider bounds than the tests do.

It takes minutes, prints one line, and below it each broken promise and each step at which a script
and the model part; it ends with 1 if there is any.
"""

import sys
import tempfile
from pathlib import Path

from redis import Redis

from app.store.connect import connect
from tests.model.explorer import Explorer
from tests.model.replay import Replay
from tests.model.specification import Specification
from tests.stack.valkey import Valkey

BOUNDS = [
    Specification(turns=turns, operations=1, losses=losses, consents=consents)
    for turns, losses in ((3, 0), (2, 1))
    for consents in (False, True)
]


def main() -> int:
    """Explore, replay, and tell."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Valkey(Path(directory)) as server,
        connect(server.url) as client,
    ):
        results = [_prove(client, bounds) for bounds in BOUNDS]
    states, transitions, depths, replayed, violations = zip(*results, strict=True)
    told = [line for lines in violations for line in lines]
    print(  # noqa: T201 - what it is run for
        f"model: {sum(states)} states, {sum(transitions)} transitions, depth {max(depths)},"
        f" {sum(replayed)} scripts replayed, violations {len(told)}",
        *told,
        sep="\n",
    )
    return 1 if told else 0


def _prove(client: Redis, bounds: Specification) -> tuple[int, int, int, int, list[str]]:
    explorer = Explorer(bounds)
    broken = explorer.first_broken()
    client.flushall()
    replay = Replay(client, bounds)
    parted = replay.first_difference()
    told = [f"{bounds}: {violation}" for violation in (broken, parted) if violation]
    return explorer.states, explorer.transitions, explorer.depth, replay.scripts_run, told


sys.exit(main())
