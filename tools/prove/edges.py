"""Proofs of edge cases: changed permissions, reused ids, denied users."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from random import Random

from tools.prove.account import Fault, account, find_process_faults, wait_until_settled
from tools.prove.scene import post, run_relay
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import LONG_CALLS, Deployment, Json
from tools.stack.load import EventPoster
from tools.stack.processes import wait_until
from tools.stack.relay import RelayClient

_PERMISSIONS = "the Redis user loses a permission, and gets it back"
_LIVES = "an answer arrives after its id was accepted again"
_DENIED = "denied events are queued before good ones"

USER, PASSWORD = "relay", "password"
ALL = ("on", f">{PASSWORD}", "~{relay}*", "&{relay}*", "+@all")
LOSSES = (
    ("resetchannels",),
    *((f"-{command}",) for command in ("publish", "zadd", "set", "zrem", "hset", "lpush")),
)
LOST_SECONDS = 0.7
PAUSE_SECONDS = 0.05

WINDOW_SECONDS = 3

DENIALS = (
    Behaviour.REDIRECT_307,
    Behaviour.UNAUTHORIZED,
    Behaviour.FORBIDDEN,
    Behaviour.METHOD_NOT_ALLOWED,
)
BAD, GOOD = 12, 60
# Each denied event opens the breaker for a quarter of a second.
MOST_SECONDS = 7.0
DENIED_SETTINGS = {"WORKER_CONCURRENCY": "16", "BREAKER_COOLDOWN_SECONDS": "1"}


def proofs() -> Sequence[Proof]:
    """Return one proof for each edge case."""
    return [
        Proof(_PERMISSIONS, _lose_permissions, is_short=False),
        Proof(_LIVES, _answer_another_life, is_short=False),
        Proof(_DENIED, _deny_users, is_short=False),
    ]


def _lose_permissions(directory: Path, _random: Random) -> ProofRow:
    """Stop scripts half-way; afterwards every event must end, and every look-up find it."""
    deployment = Deployment(directory, valkey_arguments=("--user", USER, *ALL))
    url = deployment.valkey.url.replace("redis://", f"redis://{USER}:{PASSWORD}@")
    with run_relay(deployment, REDIS_URL=url):
        load = EventPoster(deployment.caller, PAUSE_SECONDS)
        for loss in LOSSES:
            load.wait_for_more()
            _set_user(deployment, *loss)
            time.sleep(LOST_SECONDS)
            _set_user(deployment, "reset", *ALL)
        over_at = time.monotonic()
        load.wait_for_more()
        load.end()
        doing = Fault(name=_PERMISSIONS, times=len(LOSSES), over_at=over_at)
        row = account(deployment, doing)
        return row.with_faults(_not_found(deployment.caller, sorted(deployment.accepted)))


def _set_user(deployment: Deployment, *rules: str) -> None:
    with deployment.connect() as client:
        client.execute_command("ACL", "SETUSER", USER, *rules)


def _not_found(caller: RelayClient, event_ids: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each opened event that a look-up by user or chat misses."""
    for event_id in event_ids:
        record = caller.record(event_id)
        if record["status"] == "opened":
            by_user = caller.get(f"/v1/users/{record['user_id']}/chats").json()["chats"]
            if record not in by_user:
                yield f"{event_id} is not among its user's chats"
            if caller.get(f"/v1/chats/{record['chat']['id']}").json() != record:
                yield f"{event_id} is not found by its chat"


def _answer_another_life(directory: Path, _random: Random) -> ProofRow:
    """Delay the first user's answer until the id is another user's event."""
    settings = {
        "RECORD_TTL_SECONDS": str(WINDOW_SECONDS),
        "EVENT_DEADLINE_SECONDS": str(WINDOW_SECONDS),
        "ON_UNKNOWN": "recreate",
        **LONG_CALLS,
    }
    with run_relay(Deployment(directory, **settings), workers=1) as deployment:
        caller, (first,) = deployment.caller, deployment.workers
        deployment.channel_io.plan(Behaviour.CREATE_THEN_WAIT, user_id="alice")
        caller.post({"event_id": "job", "user_id": "alice"}).raise_for_status()
        deployment.channel_io.wait_for_arrivals(1)
        deployment.expire_leases()
        caller.wait_for("job", "opened")
        wait_until(lambda: caller.find("job") is None, 30, "the window to end")
        caller.post({"event_id": "job", "user_id": "bob"}).raise_for_status()
        opened = caller.wait_for("job", "opened")
        deployment.channel_io.release()
        wait_until(lambda: len(first.lines("call")) >= len(deployment.creates), 30, "the answer")
        wait_until_settled(deployment)
        return ProofRow(
            name=_LIVES,
            times=1,
            accepted=2,
            opened=2,
            faults=(*_another(caller, opened), *find_process_faults(deployment)),
        )


def _another(caller: RelayClient, opened: Json) -> Iterator[str]:
    """Yield a sentence for each look-up that the earlier answer changed."""
    if caller.record("job") != opened:
        yield f"bob's record was changed by alice's answer: {caller.record('job')}"
    if caller.get("/v1/users/alice/chats").json()["chats"]:
        yield "alice has a chat of a record that ended"


def _deny_users(directory: Path, _random: Random) -> ProofRow:
    """Check that good events are opened within seconds, and that denied ones fail."""
    with run_relay(Deployment(directory, **DENIED_SETTINGS)) as deployment:
        for number in range(BAD):
            user_id = f"u-bad{number}"
            deployment.channel_io.always(DENIALS[number % len(DENIALS)], user_id)
        bad = post(deployment, range(BAD), name="bad")
        good = post(deployment, range(GOOD), name="good")
        waits = [_waited(deployment.caller.wait_for(event_id, "opened")) for event_id in good]
        longest = max(waits)
        faults = [f"a good event waited for {longest:.1f} s"] if longest > MOST_SECONDS else []
        faults += _end_denied(deployment, bad)
        note = f"good ones waited {longest:.1f} s at most"
        row = account(deployment, Fault(name=_DENIED, times=BAD, note=note), faults)
        wrong = [] if row.failed == BAD else [f"{row.failed} events failed, not {BAD}"]
        return row.with_faults(wrong)


def _waited(record: Json) -> float:
    accepted, settled = (
        datetime.fromisoformat(record[name]) for name in ("accepted_at", "settled_at")
    )
    return (settled - accepted).total_seconds()


def _end_denied(deployment: Deployment, bad: Sequence[str]) -> Iterator[str]:
    """Post good events until the denied ones have failed by their own denials."""
    load = EventPoster(deployment.caller, PAUSE_SECONDS * 5)
    try:
        for event_id in bad:
            record = deployment.caller.wait_for(event_id, "failed", timeout_seconds=60)
            if record["failure"]["code"] != "rejected" or record["created"] is not False:
                yield f"{event_id} failed with {record['failure']}"
    finally:
        load.end()
