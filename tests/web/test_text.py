"""The text of a message is a person's: web shows it nowhere, however a request ends."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from app.store.audit import Auditor, Readiness
from app.store.events import EventStore
from app.telemetry.trace_context import Span
from app.web.application import create_app
from app.web.authentication import Authenticator
from app.web.metrics import WebMetrics
from tests.web.service import (
    BOTH_TOKEN,
    READ_TOKEN,
    TOKENS,
    VERSION,
    WEBHOOK_SECRETS,
    Body,
    WebService,
    serve,
)
from tests.web.test_signatures import signed
from tools.stack.redis_client import Client

Captured = pytest.CaptureFixture[str]

TEXT = "M70689098"
MESSAGE = {"text": TEXT, "bot_name": "Bell"}
EVENT: dict[str, Any] = {"event_id": "e1", "user_id": "u1", "message": MESSAGE}
ENCODED = json.dumps(EVENT).encode()


class BrokenStore(EventStore):
    """Events of a store with a fault of its own, whose error shows all that it has."""

    def __init__(self) -> None:
        """Connect to nothing."""

    def accept(self, event: Any, **_: Any) -> NoReturn:
        """Fail as a line of the relay's own might."""
        raise RuntimeError(f"{event} {event!r} {event.message!r}")


@pytest.fixture
def spans() -> list[Span]:
    """Return the exported spans."""
    return []


@pytest.fixture
def service(client: Client, json_lines: None, spans: list[Span]) -> Iterator[WebService]:
    """The relay, whose spans are kept; the text was nowhere in spans and metrics in the end."""
    service = serve(client, export_span=spans.append)
    yield service
    assert spans
    assert TEXT not in repr(spans)
    assert TEXT not in service.caller.get("/metrics").text


def assert_silent(service: WebService, status: int, captured: Captured, response: Any) -> None:
    """Check the status, and that neither answer nor log has the text."""
    assert status == response.status_code
    assert TEXT not in response.text + str(response.headers)
    logged = captured.readouterr()
    assert '"request"' in logged.out
    assert TEXT not in logged.out + logged.err


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, ENCODED, {"Authorization": "Bearer unknown"}),
        (403, ENCODED, {"Authorization": f"Bearer {READ_TOKEN}"}),
        (415, ENCODED, {"Content-Type": "text/plain"}),
        (413, ENCODED.ljust(65_537), {}),
        (401, ENCODED, {"Authorization": None, **signed(EVENT, age_seconds=1000)}),
        (401, ENCODED, {"Authorization": None, **signed(b"other")}),
        (400, ENCODED[:-1], {}),
        (400, ENCODED.replace(b'"}', b'\\q"}'), {}),
        (400, ENCODED + b"\xff", {}),
        (400, ENCODED + TEXT.encode(), {}),
        (400, b"[" * 60_000 + ENCODED, {}),
        (422, [EVENT], {}),
        (422, {**EVENT, "event_id": "a/b"}, {}),
        (422, {**EVENT, "event_id": None}, {}),
        (422, {**EVENT, "user_id": None}, {}),
        (422, {**EVENT, "member_id": "m1"}, {}),
        (422, {**EVENT, "message": TEXT}, {}),
        (422, {**EVENT, "message": [MESSAGE]}, {}),
        (422, {**EVENT, "message": {**MESSAGE, "text": TEXT * 1000}}, {}),
        (422, {**EVENT, "message": {**MESSAGE, "text": TEXT + "\ud800"}}, {}),
        (422, {**EVENT, "message": {**MESSAGE, "text": [TEXT]}}, {}),
        (422, {**EVENT, "message": {**MESSAGE, "bot_name": TEXT + "@"}}, {}),
        (422, {**EVENT, "message": {**MESSAGE, "private": TEXT}}, {}),
        (422, {**EVENT, "message": {**MESSAGE, "html": TEXT}}, {}),
        (422, {**EVENT, "message": {"text": TEXT}, "open": True}, {}),
        (422, {**EVENT, "message": MESSAGE, "metadata": {"text": [TEXT]}}, {}),
        (422, {**EVENT, "occurred_at": TEXT, "on_unknown": TEXT, "open": TEXT}, {}),
        (422, ENCODED.replace(b'"text":', b'"text": "a", "text":'), {}),
        (422, {**EVENT, "occurred_at": "2001-01-01T00:00:00Z"}, {}),
        (422, EVENT, {"Idempotency-Key": "e2"}),
    ],
)
def test_no_refusal_shows_the_text(
    service: WebService, capfd: Captured, status: int, body: Any, headers: dict[str, str | None]
) -> None:
    """Neither to the caller, which may not be its author, nor to readers of the log."""
    content: Body = body if isinstance(body, bytes) else json.dumps(body).encode()

    response = service.post(content, **{key.replace("-", "_"): headers[key] for key in headers})

    assert_silent(service, status, capfd, response)
    assert not service.stored()


def test_a_parameter_refuses_it_in_silence(service: WebService, capfd: Captured) -> None:
    """The event was read by then."""
    response = service.caller.post(
        "/v1/events?other=1", json=EVENT, headers={"Authorization": f"Bearer {BOTH_TOKEN}"}
    )

    assert_silent(service, 422, capfd, response)


def test_a_full_backlog_refuses_it_in_silence(
    client: Client, service: WebService, capfd: Captured
) -> None:
    """Nor is the text kept."""
    response = serve(client, max_backlog=0).post(EVENT)

    assert_silent(service, 429, capfd, response)
    assert not service.stored()
    service.post(EVENT)


@pytest.mark.parametrize("key", ["due", "event:e1"])
def test_a_script_that_fails_refuses_it_in_silence(
    service: WebService, capfd: Captured, key: str
) -> None:
    """The error that Redis replies with is logged."""
    service.bench.client.set(service.bench.key(key), "neither a set nor JSON")

    assert_silent(service, 503, capfd, service.post(EVENT))


def test_a_newer_record_refuses_it_in_silence(service: WebService, capfd: Captured) -> None:
    """It cannot be compared with the event."""
    service.post({"event_id": "e1", "user_id": "u1"})
    service.bench.set_fields("e1", v=99)
    capfd.readouterr()

    assert_silent(service, 503, capfd, service.post(EVENT))


def test_a_full_redis_refuses_it_in_silence(
    client: Client, service: WebService, capfd: Captured
) -> None:
    """Its refusal is logged in its own words."""
    client.config_set("maxmemory", 1)
    try:
        response = service.post(EVENT)
    finally:
        client.config_set("maxmemory", 0)

    assert_silent(service, 503, capfd, response)


def test_without_redis_it_is_refused_in_silence(
    service: WebService, cut_off: WebService, capfd: Captured, spans: list[Span]
) -> None:
    """The request that was not answered is not logged."""
    away = serve(cut_off.bench.client, export_span=spans.append)

    assert_silent(away, 503, capfd, away.post(EVENT))


def test_a_fault_of_the_relay_shows_no_text(
    client: Client, service: WebService, capfd: Captured, spans: list[Span]
) -> None:
    """The traceback may show an event and its message."""
    bench = service.bench
    auditor = Auditor(client.relay, bench.keys)
    app = create_app(
        BrokenStore(),
        Authenticator(TOKENS, WEBHOOK_SECRETS),
        Readiness(auditor, allow_unsafe=False, standing_seconds=0),
        service.notices,
        WebMetrics(bench.operations(), VERSION),
        version=VERSION,
        export_span=spans.append,
    )
    broken = WebService(app.test_client(), bench, service.notices)

    response = broken.post(EVENT)

    logged = capfd.readouterr().out
    assert 500 == response.status_code
    assert "RuntimeError" in logged
    assert "FirstMessage(text=SecretStr" in logged
    assert TEXT not in logged + response.text
