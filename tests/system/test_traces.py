"""One trace from the caller's request to the call at Channel.io, and through both logs."""

from app.telemetry.trace_context import Trace
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.relay import Process


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


def test_a_probe_is_in_nobodys_trace(relay: Deployment, worker: Process) -> None:
    """No event brought it."""
    worker.wait_for_line("probe_succeeded")

    probes = [request for request in relay.channel_io.requests if request.method == "GET"]
    assert probes
    assert not [probe for probe in probes if "traceparent" in probe.headers]
