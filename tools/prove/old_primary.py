"""Fail-over in which web and worker stay with the old primary: no event gets two ids."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from requests import codes

from tools.prove.account import Fault, account
from tools.prove.ha import HaDeployment
from tools.prove.ha_servers import QUICK, Address, RedisServer
from tools.prove.scene import post, wait_until_working
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import LONG_CALLS
from tools.stack.processes import wait_until
from tools.stack.relay import RelayClient

EVENTS = 4
LOOK_SECONDS = 3.0

_NAME = "a fail-over; web, worker and calls in flight stay with the old primary"


def proofs() -> Sequence[Proof]:
    """Return the proof."""
    return [Proof(_NAME, _stay, is_short=False)]


class Servers(NamedTuple):
    """The old primary, its replica, a replica of that, and the old primary's address."""

    old: RedisServer
    new: RedisServer
    third: RedisServer
    address: Address


@contextmanager
def _chain(directory: Path) -> Iterator[Servers]:
    """Run the servers, each a replica of the one before."""
    with ExitStack() as stack:
        old, new, third = (
            stack.enter_context(RedisServer(directory / part, arguments=QUICK)) for part in "abc"
        )
        new.follow(old.port)
        old.wait_for_replicas(1)
        third.follow(new.port)
        new.wait_for_replicas(1)
        yield Servers(old, new, third, stack.enter_context(Address(old.port)))


def _stay(directory: Path, _random: Random) -> ProofRow:
    with _chain(directory / "redis") as servers:
        settings = {"MIN_REPLICAS_ACKED": "1", "ON_UNKNOWN": "recreate", **LONG_CALLS}
        with HaDeployment(directory, servers.address.url, **settings) as deployment:
            faults = [*_fail_over(deployment, servers)]
            doing = Fault(name=_NAME, over_at=time.monotonic(), may_recreate=True)
            return account(deployment, doing, faults)


def _fail_over(deployment: HaDeployment, servers: Servers) -> Iterator[str]:
    """Promote the replica during calls, let a worker there call again, then answer."""
    there = deployment.start_web()
    worker = deployment.start_worker()
    wait_until_working([worker])
    there.wait_until_ready()
    deployment.channel_io.plan(*[Behaviour.CREATE_THEN_WAIT] * EVENTS)
    event_ids = post(deployment, range(EVENTS))
    deployment.channel_io.wait_for_arrivals(EVENTS)

    servers.new.lead()
    servers.new.wait_for_replicas(1)
    for event_id in event_ids:  # expire their leases
        servers.new.command("ZADD", "{relay}:calling", "XX", 1, event_id)
    here = deployment.start_web(REDIS_URL=servers.new.url)
    deployment.start_worker(REDIS_URL=servers.new.url)
    here.wait_until_ready()
    opened = {event_id: here.wait_for(event_id, "opened")["chat"]["id"] for event_id in event_ids}
    deployment.channel_io.release()
    yield from _look(there, here, opened)

    servers.old.follow(servers.new.port)
    servers.address.lead_to(servers.new.port)
    wait_until(
        lambda: all(here.record(event_id)["duplicate_chat_ids"] for event_id in event_ids),
        30,
        "the late answers at the new primary",
    )


def _look(there: RelayClient, here: RelayClient, opened: dict[str, str]) -> Iterator[str]:
    """Look up, repeat and wait at both webs; the old primary must not answer."""
    statuses: dict[str, set[int]] = defaultdict(set)
    over_at = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < over_at:
        for event_id, chat_id in opened.items():
            if here.record(event_id)["chat"]["id"] != chat_id:
                yield f"{event_id} has another chat at the new primary"
            event = {"event_id": event_id, "user_id": f"u-{event_id}"}
            statuses["a look-up"].add(there.get(f"/v1/events/{event_id}").status_code)
            statuses["the user's chats"].add(there.get(f"/v1/users/u-{event_id}/chats").status_code)
            statuses["the chat"].add(there.get(f"/v1/chats/{chat_id}").status_code)
            statuses["no such event"].add(there.get(f"/v1/events/no-{event_id}").status_code)
            statuses["a repeat"].add(there.post(event).status_code)
            statuses["a wait"].add(there.post(event, Prefer="wait=1").status_code)
    for what, found in statuses.items():
        if found != {codes.service_unavailable}:
            yield f"the old primary answered {what} with {sorted(found)}"
