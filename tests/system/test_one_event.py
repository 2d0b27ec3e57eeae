"""One event in, one chat at Channel.io, its ids out by event, by user and by chat."""

import pytest

from app.telemetry.trace_context import Trace
from tools.stack.channel_io import CHANNEL_ID, Behaviour
from tools.stack.deployment import Deployment
from tools.stack.relay import Process

pytestmark = pytest.mark.usefixtures("worker")


def test_an_event_becomes_a_chat_that_can_be_looked_up(relay: Deployment) -> None:
    """Every look-up answers with the chat that Channel.io made."""
    posted = relay.caller.post({"event_id": "e1", "user_id": "u1", "metadata": {"order": "7731"}})

    record = relay.caller.wait_for("e1", "opened")
    of_chat = relay.caller.get(f"/v1/chats/{record['chat']['id']}")
    of_user = relay.caller.get("/v1/users/u1/chats")

    assert (202, "/v1/events/e1") == (posted.status_code, posted.headers["Location"])
    (create,) = relay.creates_of("u1")
    assert {"id": create.chat_id, "channel_id": CHANNEL_ID, "state": "initial"} == record["chat"]
    assert record["session"]["key"].endswith(create.chat_id)
    assert record["user_session"]["key"] == f"user-u1-userChat-{create.chat_id}"
    assert (True, 1, {"order": "7731"}) == (
        record["created"],
        record["attempts"],
        record["metadata"],
    )
    assert record == of_chat.json()
    assert {"user_id": "u1", "chats": [record], "has_more": False} == of_user.json()


def test_a_repeated_post_is_answered_with_the_first_ones_record(relay: Deployment) -> None:
    """However often an event is posted, it is one event and one chat."""
    event = {"event_id": "e2", "user_id": "u2"}
    relay.caller.post(event)
    record = relay.caller.wait_for("e2", "opened")

    again = relay.caller.post(event)

    assert (200, "true") == (again.status_code, again.headers["Idempotent-Replayed"])
    assert record == again.json()
    assert 1 == len(relay.creates_of("u2"))


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Behaviour.USER_NOT_FOUND, "user_not_found"),
        (Behaviour.USER_NOT_FOUND_422, "user_not_found"),
        (Behaviour.REJECTED_422, "rejected"),
    ],
)
def test_a_refused_event_fails(relay: Deployment, behaviour: Behaviour, code: str) -> None:
    """Nothing was created, and the record has the reason."""
    relay.caller.post({"event_id": behaviour, "user_id": behaviour.user_id})

    record = relay.caller.wait_for(behaviour, "failed")

    assert (False, None, code) == (record["created"], record["chat"], record["failure"]["code"])


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Behaviour.CREATE_THEN_CLOSE, "no_answer"),
        (Behaviour.SERVER_ERROR, "no_answer"),
        (Behaviour.BROKEN_JSON_200, "unreadable_answer"),
    ],
)
def test_an_unknown_result_is_held(relay: Deployment, behaviour: Behaviour, code: str) -> None:
    """The record is ``unknown``, and no second call is made."""
    relay.caller.post({"event_id": behaviour, "user_id": behaviour.user_id})

    record = relay.caller.wait_for(behaviour, "unknown")

    assert (None, None, code) == (record["created"], record["chat"], record["failure"]["code"])
    assert 1 == record["attempts"]


def test_an_event_may_consent_to_one_call_more(relay: Deployment) -> None:
    """With ``recreate`` a lost answer is followed by a second chat, and the record reports it."""
    relay.channel_io.plan(Behaviour.CREATE_THEN_CLOSE, user_id="u3")
    relay.caller.post({"event_id": "e3", "user_id": "u3", "on_unknown": "recreate"})

    record = relay.caller.wait_for("e3", "opened")

    lost, published = relay.creates_of("u3")
    assert (published.chat_id, True) == (record["chat"]["id"], record["possible_orphan"])
    assert 404 == relay.caller.get(f"/v1/chats/{lost.chat_id}").status_code


def test_consent_is_used_once(relay: Deployment) -> None:
    """A second lost answer holds the event, whatever was consented to."""
    relay.channel_io.always(Behaviour.CREATE_THEN_CLOSE, user_id="u4")
    relay.caller.post({"event_id": "e4", "user_id": "u4", "on_unknown": "recreate"})

    record = relay.caller.wait_for("e4", "unknown")

    assert 2 == record["attempts"] == len(relay.creates_of("u4"))


def test_a_trace_goes_through(relay: Deployment, worker: Process) -> None:
    """The caller's; the lines of the request and of the call are joined by it, and by the event."""
    caller = Trace.from_traceparent(None)

    relay.caller.post({"event_id": "traced", "user_id": "u1"}, traceparent=caller.traceparent)
    relay.caller.wait_for("traced", "opened")

    (call,) = relay.calls_of("u1")
    sent = Trace.from_traceparent(call.headers["traceparent"])
    assert (caller.trace_id, True) == (sent.trace_id, sent.parent_id != caller.span_id)
    joined = {"event_id": "traced", "trace_id": caller.trace_id}
    assert relay.processes[0].wait_for_line("request", method="POST", **joined)
    assert worker.wait_for_line("call", outcome="created", **joined)


def test_each_attempt_is_a_step_of_its_own(relay: Deployment, worker: Process) -> None:
    """Of the same trace, which the relay begins where the caller names none."""
    relay.channel_io.plan(Behaviour.THROTTLED, user_id="u2", retry_after="1")

    relay.caller.post({"event_id": "traced-twice", "user_id": "u2"})
    relay.caller.wait_for("traced-twice", "opened")

    steps = [Trace.from_traceparent(call.headers["traceparent"]) for call in relay.calls_of("u2")]
    assert (2, 1) == (len({step.parent_id for step in steps}), len({s.trace_id for s in steps}))
    line = relay.processes[0].wait_for_line("request", event_id="traced-twice", status=202)
    assert {line["trace_id"]} == {step.trace_id for step in steps}


def test_a_probe_belongs_to_no_trace(relay: Deployment, worker: Process) -> None:
    """No event brought it."""
    worker.wait_for_line("probe_succeeded")

    probes = [request for request in relay.channel_io.requests if request.method == "GET"]
    assert probes
    assert not [probe for probe in probes if "traceparent" in probe.headers]
