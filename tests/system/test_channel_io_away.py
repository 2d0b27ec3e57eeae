"""Channel.io is away, or we have the wrong key or address: events wait, and none is burnt."""

import pytest

from app.operate.log_lines import read_created_lines
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.relay import Process

EVENTS = [f"e{number}" for number in range(12)]


def post_all(relay: Deployment) -> None:
    """Post events of a user each."""
    for event_id in EVENTS:
        assert (
            202 == relay.caller.post({"event_id": event_id, "user_id": f"u-{event_id}"}).status_code
        )


def burnt(relay: Deployment) -> list[str]:
    """The events that are no longer on their way."""
    records = [relay.caller.record(event_id) for event_id in EVENTS]
    return [r["event_id"] for r in records if r["status"] not in {"accepted", "calling"}]


def called(relay: Deployment) -> list[str]:
    """Return the events for which Channel.io received a request."""
    return [event_id for event_id in EVENTS if relay.caller.record(event_id)["attempts"]]


def opened(relay: Deployment) -> list[str]:
    """The events that become opened by themselves."""
    return [relay.caller.wait_for(event_id, "opened")["event_id"] for event_id in EVENTS]


def created_in(worker: Process) -> set[str | None]:
    """The events of the chats that `recover` finds in its log, None for a line it cannot read."""
    with worker.log.open("rb") as log:
        return {getattr(line, "event_id", None) for line in read_created_lines(log)}


def test_an_outage_costs_no_event(relay: Deployment, worker: Process) -> None:
    """While Channel.io refuses connections the breaker is open; then all go through."""
    worker.wait_for_line("probe_succeeded")
    relay.channel_io.stop()
    post_all(relay)
    worker.wait_for_line("breaker", state="open", after="not_sent")
    assert ([], True) == (burnt(relay), relay.caller.is_ready())

    relay.channel_io.start()

    assert EVENTS == opened(relay)
    worker.wait_for_line("breaker", state="closed", after="created")
    assert set(EVENTS) == created_in(worker)


@pytest.mark.parametrize(
    "behaviour", [Behaviour.UNAUTHORIZED, Behaviour.METHOD_NOT_ALLOWED, Behaviour.REDIRECT]
)
def test_a_refusal_that_is_our_fault_burns_no_event(
    relay: Deployment, worker: Process, behaviour: Behaviour
) -> None:
    """A key that was withdrawn, an address that moved: the first answer opens the breaker."""
    relay.channel_io.always(behaviour)
    post_all(relay)
    worker.wait_for_line("call", outcome="denied")
    assert [] == burnt(relay)

    relay.channel_io.behave_well()

    assert EVENTS == opened(relay)


def test_a_worker_with_a_wrong_key_takes_nothing(relay: Deployment) -> None:
    """Its probe fails, and all events are still there when the right key is."""
    relay.kill_workers()
    wrong = relay.start_worker(CHANNEL_ACCESS_KEY="key-of-another-channel")
    post_all(relay)
    assert "401" in wrong.wait_for_line("probe_failed")["problem"]
    assert [] == called(relay)

    wrong.kill()
    relay.start_worker()

    assert EVENTS == opened(relay)


def test_a_worker_with_a_wrong_address_takes_nothing(relay: Deployment) -> None:
    """It would take every user for unknown; other workers are not held up by it."""
    relay.kill_workers()
    wrong = relay.start_worker(CHANNEL_API_URL=f"{relay.channel_io.url}9")
    post_all(relay)
    assert "404" in wrong.wait_for_line("probe_failed")["problem"]
    assert [] == called(relay)

    right = relay.start_worker()

    assert EVENTS == opened(relay)
    assert EVENTS == sorted((line["event_id"] for line in right.lines("call")), key=EVENTS.index)
