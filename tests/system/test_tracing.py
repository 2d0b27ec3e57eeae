"""Spans at a collector, where one is set; nothing of OpenTelemetry is in a process otherwise."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.telemetry.trace_context import Trace
from tests.system.collector import Collector
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import LONG_CALLS, SECRETS, Deployment
from tools.stack.processes import free_port, wait_until
from tools.stack.relay import OWN
from tools.stack.verdict import find_leaks, judge

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
MISSING = (
    f"{ENDPOINT}: needs what is not installed: "
    "pip install --require-hashes -r requirements-tracing.txt, or set OTEL_SDK_DISABLED=true"
)
MAX_STOP_SECONDS = 5  # of a process without a call: 3, and the end of Python on a busy machine
# so that a test need not wait for the usual five seconds
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
# spans stay where they are until the process ends
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
# a process then states what it imports
SAYS_IMPORTS = {"PYTHONPROFILEIMPORTTIME": "1"}


class Traced(Deployment):
    """A relay whose environment has what spans need."""

    programs = OWN


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector that is well."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Traced]:
    """A relay that exports to the collector as soon as there is anything."""
    settings = {ENDPOINT: collector.url, **LONG_CALLS, **SOON, **SAYS_IMPORTS}
    with Traced(tmp_path_factory.mktemp("exporting"), **settings) as exporting:
        exporting.start_web().wait_until_ready()
        yield exporting
        assert [] == find_leaks(exporting)


@pytest.fixture
def traced(exporting: Traced) -> Iterator[Traced]:
    """That relay without any event, and with a worker."""
    exporting.clear()
    exporting.worker().wait_for_line("worker_started")
    yield exporting
    judge(exporting)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """One whose tests start processes with settings of their own."""
    with Traced(tmp_path_factory.mktemp("traced"), **LONG_CALLS) as deployed:
        yield deployed
        assert [] == find_leaks(deployed)


@pytest.fixture
def relay(deployed: Traced) -> Iterator[Traced]:
    """The latter without any event and any process."""
    deployed.clear()
    yield deployed
    if deployed.callers:
        judge(deployed)
    for process in deployed.processes:
        process.kill()
    deployed.callers.clear()


def start(relay: Traced, endpoint: str, **settings: str) -> None:
    """Start a web and a worker that export to ``endpoint``."""
    settings = {ENDPOINT: endpoint, **settings}
    relay.start_web(**settings).wait_until_ready()
    relay.start_worker(**settings).wait_for_line("worker_started")


def open_chat(relay: Traced, event_id: str, **headers: str) -> None:
    """Post an event, and have its chat opened."""
    relay.caller.post({"event_id": event_id, "user_id": f"u-{event_id}"}, **headers)
    relay.caller.wait_for(event_id, "opened")


def stop(relay: Traced) -> list[tuple[int, bool]]:
    """Send SIGTERM to web and worker: the exit code of each, and whether it came in time."""
    judge(relay)
    relay.callers.clear()
    ends = []
    told_at = time.monotonic()
    for process in relay.processes[-2:]:
        process.child.send_signal(signal.SIGTERM)
    for process in relay.processes[-2:]:
        code = process.child.wait(30)
        ends.append((code, time.monotonic() - told_at <= MAX_STOP_SECONDS))
    return ends


def test_a_request_and_its_call_are_spans_of_the_callers_trace(
    traced: Traced, collector: Collector
) -> None:
    """Caller, request, call: each the parent of the next, and the last is what Channel.io saw."""
    caller = Trace.from_traceparent(None)
    began = time.time_ns()

    open_chat(traced, "e1", traceparent=caller.traceparent)

    request, call = collector.wait_for("e1", 2)
    seen = Trace.from_traceparent(traced.calls_of("u-e1")[0].headers["traceparent"])
    assert (caller.trace_id, caller.span_id) == request.ids[:2]
    assert (caller.trace_id, request.ids[2], seen.parent_id) == call.ids
    for span in (request.sent, call.sent):
        assert began < span.start_time_unix_nano <= span.end_time_unix_nano < time.time_ns()


def test_spans_have_request_and_result(traced: Traced, collector: Collector) -> None:
    """In OpenTelemetry's words and ours; which of the two processes it was; a failure as one."""
    traced.channel_io.plan(Behaviour.USER_NOT_FOUND, user_id="u-e2")

    traced.caller.post({"event_id": "e2", "user_id": "u-e2"})
    traced.caller.wait_for("e2", "failed")

    request, call = collector.wait_for("e2", 2)
    assert ("POST /v1/events", 2, 0) == (
        request.sent.name,
        request.sent.kind,
        request.sent.status.code,
    )
    assert {
        "http.request.method": "POST",
        "http.route": "/v1/events",
        "http.response.status_code": 202,
        "relay.event_id": "e2",
        "relay.outcome": "accepted",
    } == request.attributes
    assert ("open chat", 3, 2) == (call.sent.name, call.sent.kind, call.sent.status.code)
    assert {
        "http.request.method": "POST",
        "http.response.status_code": 404,
        "server.address": "127.0.0.1",
        "relay.event_id": "e2",
        "relay.attempt": 1,
        "relay.task": "create",
        "relay.outcome": "refused",
    } == call.attributes
    assert [("chat-relay", "web"), ("chat-relay", "worker")] == [
        (span.resource["service.name"], span.resource["relay.process"]) for span in (request, call)
    ]


def test_spans_hold_no_secret_and_no_personal_data(traced: Traced, collector: Collector) -> None:
    """No span holds a user's id, although requested paths do."""
    open_chat(traced, "e3")
    traced.caller.get("/v1/users/u-e3/chats")
    traced.caller.post({"event_id": "e4", "user_id": "u-e4", "metadata": {"to": "u-e3"}})
    traced.caller.wait_for("e4", "opened")

    collector.wait_for("e4", 2)
    everything = b"".join(collector.bodies)
    assert b"/v1/users/<user_id>/chats" in everything
    assert not [word for word in (*SECRETS, "u-e3", "u-e4") if word.encode() in everything]


def test_probes_and_what_the_caller_does_not_record_are_no_spans(
    relay: Traced, collector: Collector
) -> None:
    """The trace's origin decides whether it is recorded; load balancers probe each second.

    What waits at the end of a process is sent then, by the name that it was given; to the address
    that is for traces alone, if there is one.
    """
    own = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces"}
    start(relay, "http://127.0.0.1:1", **own, OTEL_SERVICE_NAME="chats", **LATE)
    for path in ("/livez", "/readyz", "/metrics"):
        relay.caller.get(path)
    open_chat(relay, "e5", traceparent=f"00-{'5' * 32}-{'5' * 16}-00")
    open_chat(relay, "e6")

    stop(relay)

    assert 2 == len(collector.wait_for("e6", 2))
    assert [] == collector.of_event("e5")
    ours = [span for span in collector.spans if span.resource["service.name"] == "chats"]
    assert {"POST /v1/events", "GET /v1/events/<event_id>", "open chat"} == {
        span.sent.name for span in ours
    }


def test_without_a_collector_everything_goes_on(relay: Traced) -> None:
    """Its address has no listener: the log reports it, and a stop takes as long as ever."""
    start(relay, f"http://127.0.0.1:{free_port()}", **SOON)

    for number in range(5):
        open_chat(relay, f"away-{number}")

    for process in relay.processes[-2:]:
        log = process.log
        wait_until(lambda log=log: "exporting spans" in log.read_text(), 20, "a line")  # type: ignore[misc]
        assert "Traceback" not in log.read_text()
    assert [(0, True)] * 2 == stop(relay)


def test_a_silent_collector_delays_nothing(relay: Traced) -> None:
    """Not a request, not a call, and not the end of a process."""
    with Collector(is_silent=True) as silent:
        start(relay, silent.url, **SOON)
        open_chat(relay, "silent-1")
        silent.wait_for("silent-1", 2)

        open_chat(relay, "silent-2")

        assert [(0, True)] * 2 == stop(relay)


def test_an_exporting_worker_survives_a_second_sigterm(traced: Traced) -> None:
    """The second SIGTERM ends no thread, and so not the process: its call is settled."""
    traced.channel_io.plan(Behaviour.CREATE_THEN_WAIT)
    traced.caller.post({"event_id": "twice", "user_id": "u-twice"})
    traced.channel_io.wait_for_arrivals()
    worker = traced.worker()

    worker.child.terminate()
    worker.wait_for_line("worker_stopping")
    worker.child.terminate()
    traced.channel_io.release()

    assert 0 == worker.child.wait(30)
    assert "opened" == traced.caller.record("twice")["status"]


def test_opentelemetry_is_imported_only_if_set(traced: Traced, relay: Traced) -> None:
    """Python states what a process imports.

    Where OpenTelemetry is installed, redis imports a part of it by itself, for metrics that no
    switches on. What makes and sends spans is our doing.
    """
    ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf")

    start(relay, "", **SAYS_IMPORTS)

    for process in (*traced.processes, *relay.processes[-2:]):
        text = process.log.read_text()
        assert "app.telemetry.trace_context" in text
        expected = ours if process in traced.processes else ()
        assert [*expected] == [name for name in ours if re.search(rf"\| +{name}", text)]


@pytest.fixture
def without_packages(tmp_path: Path) -> dict[str, str]:
    """Settings under which a process finds none of the packages, wherever it looks."""
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["opentelemetry"] = None\n')
    return {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("name", ["web", "worker"])
def test_missing_packages_end_it_with_what_to_do(
    relay: Traced, collector: Collector, without_packages: dict[str, str], name: str
) -> None:
    """Exit code 2 and one sentence; without the setting the libraries are not needed."""
    process = relay.start(name, **without_packages, **{ENDPOINT: collector.url})

    assert 2 == process.child.wait(30)
    assert [MISSING] == process.log.read_text().splitlines()


def test_switched_off_it_needs_no_packages(relay: Traced, without_packages: dict[str, str]) -> None:
    """OpenTelemetry's own switches turn off an endpoint injected into every container."""
    injected = {**without_packages, ENDPOINT: "collector:4317"}
    worker = relay.start_worker(**injected, OTEL_TRACES_EXPORTER="none")

    relay.start_web(**injected, OTEL_SDK_DISABLED="True").wait_until_ready()

    worker.wait_for_line("worker_started")
