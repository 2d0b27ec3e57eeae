"""Tests of the request lines: caller, request and result, without secrets."""

import json
import re
from typing import Any

import pytest

from tests.web.service import EVENT, READ_TOKEN, SUBMIT_TOKEN, WebService, serve
from tools.model.outcomes import CREATED
from tools.stack.redis_client import Client

Captured = pytest.CaptureFixture[str]


def lines(captured: Captured) -> list[dict[str, Any]]:
    """Return the logged lines without fields that vary."""
    entries = [json.loads(line) for line in captured.readouterr().out.splitlines()]
    for entry in entries:
        assert entry.pop("timestamp").endswith("Z")
        assert 0 <= entry.pop("duration_ms", 0) < 10_000
        assert re.fullmatch("[0-9a-f]{32}", entry.pop("trace_id", "0" * 32))
    return entries


def line(**parts: Any) -> dict[str, Any]:
    """The line of a request."""
    return {"event": "request", "level": "info", "logger": "relay.web", **parts}


def posted(status: int, **parts: Any) -> dict[str, Any]:
    """The line of a post."""
    return line(method="POST", route="/v1/events", status=status, **parts)


def test_a_post_logs_its_event_and_result(service: WebService, capfd: Captured) -> None:
    """New, duplicate, and reused under the same name; the caller by its name."""
    service.post()
    service.post()
    service.post({**EVENT, "user_id": "other"})

    known = {"caller": "orders", "event_id": "refund-7731"}
    assert lines(capfd) == [
        posted(202, result="accepted", **known),
        posted(202, result="duplicate", **known),
        posted(422, problem="event-id-reused", **known),
    ]


def test_a_refused_post_logs_its_problem(client: Client, capfd: Captured) -> None:
    """And who sent it, once that is known."""
    service = serve(client, max_backlog=0)

    service.post(Authorization="Bearer wrong")
    service.post(Authorization=f"Bearer {READ_TOKEN}")
    service.post(b"{broken")
    service.post({"event_id": "not-an-event"})
    service.post()

    assert lines(capfd) == [
        posted(401, problem="unauthorized"),
        posted(403, problem="forbidden", caller="crm"),
        posted(400, problem="malformed-json", caller="orders"),
        posted(422, problem="invalid-event", caller="orders"),
        posted(429, problem="backlog-full", caller="orders", event_id="refund-7731"),
    ]


def test_a_look_up_logs_its_route(service: WebService, capfd: Captured) -> None:
    """The rule, not the address: a stranger writes the address."""
    service.get("/v1/users/u/chats?limit=3")
    service.get("/v1/chats/c")
    service.get("/v1/nowhere")
    service.caller.get("/anywhere")

    assert lines(capfd) == [
        line(method="GET", route="/v1/users/<user_id>/chats", status=200, caller="crm"),
        line(
            method="GET", route="/v1/chats/<chat_id>", status=404, caller="crm", problem="not-found"
        ),
        line(method="GET", route=None, status=404, caller="crm", problem="not-found"),
        line(method="GET", route=None, status=404, problem="not-found"),
    ]


def test_probes_leave_no_line(service: WebService, capfd: Captured) -> None:
    """They come every few seconds, and report nothing new."""
    service.caller.get("/livez")
    service.caller.get("/readyz")

    assert not lines(capfd)


def test_all_lines_of_a_request_have_the_id_of_its_answer(
    cut_off: WebService, capfd: Captured
) -> None:
    """An operator who is given the id finds what happened."""
    response = cut_off.post()

    logged = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {response.headers["Request-Id"]} == {line["trace_id"] for line in logged}


def test_an_outage_logs_the_words_of_redis(cut_off: WebService, capfd: Captured) -> None:
    """For the operator; the caller learns only that nothing is confirmed."""
    cut_off.post()

    warning, request = lines(capfd)
    assert ("redis_unavailable", "warning") == (warning["event"], warning["level"])
    assert "refused" in warning["reason"]
    assert request == posted(503, problem="unavailable", caller="orders", event_id="refund-7731")


def test_no_token_key_or_body_is_logged(service: WebService, capfd: Captured) -> None:
    """Neither of an accepted request nor of a refused one."""
    service.bench.open_gate()
    secret = {**EVENT, "metadata": {"secret-name": "secret-value"}}

    service.post(secret)
    service.bench.worker().settle(service.bench.grant(), CREATED)
    service.post(secret)
    service.post({**secret, "event_id": "secret id"}, Idempotency_Key="secret-key")
    service.post(b'{"secret": ')
    service.post(Authorization="Bearer secret-token")
    service.get("/v1/events/secret?secret=1", SUBMIT_TOKEN)

    logged = capfd.readouterr().out
    assert len(logged.splitlines()) == 6
    assert not [word for word in ("secret", SUBMIT_TOKEN, READ_TOKEN, "s-1") if word in logged]


def test_a_line_is_in_the_trace_of_its_caller(service: WebService, capfd: Captured) -> None:
    """And in one of its own, where the caller names none that can be read."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    service.post(traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    service.post(traceparent="nonsense")
    service.post()

    entries = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    trace_ids = [entry["trace_id"] for entry in entries]
    assert trace_id == trace_ids[0]
    assert 3 == len(set(trace_ids))


def test_a_trace_is_kept_with_the_event_that_began_it(service: WebService) -> None:
    """A duplicate's is not, and none is shown in the record."""
    traces = [f"00-{digit * 32}-{digit * 16}-01" for digit in "ab"]

    first, again = [service.post(traceparent=trace) for trace in traces]

    kept = service.bench.fields("refund-7731")["traceparent"]
    assert kept.startswith(f"00-{'a' * 32}-")
    assert "a" * 16 not in kept.rsplit("-", 2)[1]
    assert first.data == again.data
    assert "traceparent" not in first.get_json()
