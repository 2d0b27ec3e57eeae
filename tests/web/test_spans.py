"""A span for each request, once its line is written."""

import json

import pytest

from app.telemetry.trace_context import Span
from tests.web.service import WebService, serve
from tools.stack.redis_client import Client


@pytest.fixture
def spans() -> list[Span]:
    """Return the exported spans."""
    return []


@pytest.fixture
def service(client: Client, json_lines: None, spans: list[Span]) -> WebService:
    """The relay, whose spans are kept."""
    return serve(client, export_span=spans.append)


def test_a_span_comes_after_the_line(
    client: Client, json_lines: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log is the record; a span may be lost."""
    logged: list[str] = []
    service = serve(client, export_span=lambda _: logged.append(capfd.readouterr().out))

    service.post()

    (line,) = logged
    assert "request" == json.loads(line)["event"]


def test_a_span_names_no_address_and_no_made_up_method(
    service: WebService, spans: list[Span]
) -> None:
    """Both are a stranger's words, and addresses name users."""
    service.get("/v1/users/u-1/chats")
    service.get("/v1/nowhere")
    service.caller.open("/v1/events", method="SECRET")

    assert [
        ("GET /v1/users/<user_id>/chats", "GET", 200),
        ("HTTP", "GET", 404),
        ("HTTP", "_OTHER", 401),
    ] == [
        (
            span.name,
            span.attributes["http.request.method"],
            span.attributes["http.response.status_code"],
        )
        for span in spans
    ]
    assert "u-1" not in str(spans)
    assert "SECRET" not in str(spans)


def test_probes_are_no_spans(service: WebService, spans: list[Span]) -> None:
    """Probes come every few seconds, and belong to no trace."""
    for path in ("/livez", "/readyz", "/metrics"):
        service.caller.get(path)

    assert not spans


def test_only_server_errors_fail_a_span(
    client: Client, json_lines: None, spans: list[Span], cut_off: WebService
) -> None:
    """As https://opentelemetry.io/docs/specs/semconv/http/http-spans/ has it for servers."""
    away = serve(cut_off.bench.client, export_span=spans.append)

    away.post()
    away.post(b"{broken")

    assert [(503, True, "unavailable"), (400, False, "malformed-json")] == [
        (
            span.attributes["http.response.status_code"],
            span.has_failed,
            span.attributes["relay.outcome"],
        )
        for span in spans
    ]
