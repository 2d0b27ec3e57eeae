"""Tests of the order of checks: the first fault by the contract is answered."""

from typing import Any

import pytest

from tests.web.service import EVENT, READ_TOKEN, SUBMIT_TOKEN, serve, slug
from tools.stack.redis_client import Client

SUBMITS = f"Bearer {SUBMIT_TOKEN}"
READS = f"Bearer {READ_TOKEN}"
OLD = "2001-01-01T00:00:00Z"
HUGE = b"{" * 65_537

# Each request has every fault of the requests below it.
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("unauthorized", {"path": "/v1/nowhere", "method": "PUT", "data": HUGE}),
    ("unauthorized", {"method": "PUT", "data": HUGE}),
    ("unauthorized", {"data": HUGE, "type": "text/plain"}),
    ("forbidden", {"token": READS, "data": HUGE, "type": "text/plain"}),
    ("not-found", {"token": READS, "path": "/v1/nowhere", "method": "PUT", "data": HUGE}),
    ("not-found", {"token": SUBMITS, "path": "/v1/nowhere", "method": "PUT", "data": HUGE}),
    ("method-not-allowed", {"token": READS, "method": "PUT", "data": HUGE, "type": "text/plain"}),
    ("method-not-allowed", {"token": SUBMITS, "method": "PUT", "data": HUGE, "type": "text/plain"}),
    ("unsupported-media-type", {"token": SUBMITS, "data": HUGE, "type": "text/plain"}),
    ("too-large", {"token": SUBMITS, "data": HUGE}),
    ("malformed-json", {"token": SUBMITS, "data": b"{" * 10}),
    ("invalid-event", {"token": SUBMITS, "json": {**EVENT, "user_id": 7, "occurred_at": OLD}}),
    ("event-id-reused", {"token": SUBMITS, "json": {**EVENT, "user_id": "v", "occurred_at": OLD}}),
    (
        "event-too-old",
        {"token": SUBMITS, "json": {"event_id": "e", "user_id": "u", "occurred_at": OLD}},
    ),
    ("backlog-full", {"token": SUBMITS, "json": {"event_id": "e", "user_id": "u"}}),
]


@pytest.mark.parametrize(("expected", "request_parts"), REQUESTS)
def test_the_first_fault_is_the_answer(
    client: Client, expected: str, request_parts: dict[str, Any]
) -> None:
    """The backlog is full all the time, with one event in it."""
    service = serve(client, max_backlog=1)
    service.post(EVENT)
    parts = dict(request_parts)
    headers = {"Content-Type": parts.pop("type", "application/json")}
    if token := parts.pop("token", None):
        headers["Authorization"] = token

    response = service.caller.open(
        **{"path": "/v1/events", "method": "POST", "headers": headers, **parts}
    )

    assert slug(response) == expected
