"""The OpenAPI document agrees with the routes, their rights and the answers of the service."""

import json
import re
import shlex
from string import Template
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app.chats.outcome import Done, Outcome, Resolved
from app.telemetry.trace_context import Trace
from app.web.openapi import DOCUMENT
from app.web.signatures import HEADERS as SIGNATURE_HEADERS
from tests.chats.test_any_event import FIELDS, JSON
from tests.web.beyond_schemas import BEYOND
from tests.web.described import OPERATIONS, Json, assert_described, problems_of, validator
from tests.web.service import (
    BOTH_TOKEN,
    EVENT,
    READ_TOKEN,
    SUBMIT_TOKEN,
    VERSION,
    WebService,
    serve,
)
from tests.web.test_signatures import signed
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN
from tools.stack.redis_client import Client

EVENT_SCHEMA = validator({"$ref": "#/components/schemas/OpenChatEvent"})
POST = OPERATIONS["POST", "/v1/events"]
KEY = next(part for part in POST["parameters"] if part["name"] == "Idempotency-Key")
EVENT_EXAMPLE = POST["requestBody"]["content"]["application/json"]["example"]
METRICS = OPERATIONS["GET", "/metrics"]["responses"]["200"]["content"]["text/plain"]
OLD = "2001-01-01T00:00:00Z"
BEARER = {"Authorization": f"Bearer {BOTH_TOKEN}"}
LOOK_UPS = [
    *("/v1/events/e1", "/v1/chats/chat-1", "/v1/users/user-1/chats", "/v1/members/m1/chats"),
]
OPEN = ["/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/problems/not-found", "/"]

# Mostly valid fields, so that events with a single invalid field occur too.
EXAMPLES_OF_FIELDS = {**EVENT_EXAMPLE, "user_id": EVENT["user_id"]}
ALMOST = {name: st.just(EXAMPLES_OF_FIELDS[name]) | FIELDS[name] for name in FIELDS}

every_operation = pytest.mark.parametrize(("method", "path"), OPERATIONS)


def test_it_is_served_to_all(service: WebService) -> None:
    """The document is unchanged except for the release's version, and is not cached."""
    response = service.caller.get("/openapi.json")

    assert (200, "application/json") == (response.status_code, response.content_type)
    assert response.headers["Cache-Control"] == "no-store"
    served = response.get_json()
    assert VERSION == served["info"].pop("version")
    written = json.loads(json.dumps(DOCUMENT))
    written["info"].pop("version")
    assert written == served


def test_every_route_is_described(service: WebService) -> None:
    """The document has exactly the routes and methods; it describes HEAD once, for all GETs."""
    routes = {
        (method, re.sub("<(?:any_path:)?([a-z_]+)>", r"{\1}", rule.rule))
        for rule in service.caller.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }

    assert OPERATIONS.keys() == routes
    assert "HEAD" in DOCUMENT["info"]["description"]


@every_operation
def test_security_matches_the_rights(service: WebService, method: str, path: str) -> None:
    """Each token and a signature admit exactly the operations that list them."""
    tokens = {"submitToken": SUBMIT_TOKEN, "readToken": READ_TOKEN}
    schemes = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}

    def admits(headers: dict[str, str]) -> bool:
        response = service.caller.open(path, method=method, headers=headers, data=json.dumps(EVENT))
        return response.status_code not in {401, 403}

    opens: list[Json] = [{name: []} for name, headers in schemes.items() if admits(headers)]
    opens += [{header: [] for header in SIGNATURE_HEADERS}] if admits(signed()) else []
    assert ([] if admits({}) else opens) == OPERATIONS[method, path]["security"]


def test_the_example_metric_exists(service: WebService) -> None:
    """The example's metric exists, with that type."""
    assert METRICS["example"].splitlines()[0] in service.get("/metrics").text.splitlines()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.fixed_dictionaries({}, optional={**ALMOST, "other": JSON}))
def test_the_schema_of_events_agrees_with_the_service(service: WebService, content: Any) -> None:
    """The schema refuses what the service refuses, except rules that no schema can express."""
    try:
        body = json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        assume(False)  # noqa: FBT003 - no JSON, or no Unicode: no schema applies
    service.bench.client.flushall()

    response = service.post(body)

    if response.status_code == 202:
        assert EVENT_SCHEMA.is_valid(content)
    elif EVENT_SCHEMA.is_valid(content):
        assert is_refused_beyond_schemas(response)


def is_refused_beyond_schemas(response: TestResponse) -> bool:
    """Return whether an event was refused only by rules that no schema can express."""
    problem = response.get_json()
    faults = {error["detail"] for error in problem.get("errors", ())}
    return problem["type"] in BEYOND or (bool(faults) and faults <= BEYOND)


EDGES: dict[str, list[Any]] = {
    "event_id": ["a", "a" * 128, "a" * 129, "", ".", "..", "a/b", "a\n", 7],
    "user_id": ["a", "a" * 64, "a" * 65, "", "a.b", "a\n", None, 7],
    "member_id": ["a", None],
    "message": [
        *({"text": "a"}, {"text": "a" * 4000}, {"text": "a" * 4001}, {"text": ""}, [], None),
        *({"text": "a", "private": one} for one in (True, False, None, 1)),
        *({"text": "a", "bot_name": one} for one in ("a", "a" * 30, "a" * 31, "", "a@b", None)),
        {"text": "a", "other": 1},
    ],
    "open": [True, False, None, 1, "true"],
    "occurred_at": [
        *("2026-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01T00:00:00.123456789+23:59"),
        *("2026-01-01", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+00:60"),
        *("2026-01-01T00:00:00.1234567890Z", None, "", 7),
    ],
    "on_unknown": ["hold", "recreate", "other", "", None, True],
    "metadata": [
        *({}, {"": "a" * 1017}, {"a" * 1017: ""}, {"a": 1}, [], None),
        *({f"{key}": "" for key in range(size)} for size in (10, 11)),
    ],
    "other": [None],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in EDGES.items() for value in values]
)
def test_the_schema_of_events_has_the_limits_of_the_service(
    service: WebService, field: str, value: Any
) -> None:
    """At each limit, and one step beyond it."""
    content = {**EVENT, field: value}

    response = service.post(content)

    assert response.status_code in {202, 422}
    is_taken = response.status_code == 202 or is_refused_beyond_schemas(response)
    assert is_taken == EVENT_SCHEMA.is_valid(content)


@pytest.mark.parametrize(
    "key", ["a", '"a"', "", '""', "a" * 128, "a b", '"', '"a', "a/b", "a" * 129, "a,a", '"a""b"']
)
def test_the_schema_of_the_key_agrees_with_the_service(service: WebService, key: str) -> None:
    """An empty key counts as no key."""
    event = EVENT if not key.strip('"') and len(key) != 1 else {"user_id": "u"}

    response = service.post(event, Idempotency_Key=key)

    assert validator(KEY["schema"]).is_valid(key) == (response.status_code == 202)


@pytest.mark.parametrize("example", OPERATIONS.values(), ids=lambda one: one["operationId"])
def test_curl_lines_work(service: WebService, example: Json) -> None:
    """Each curl line gets the described answer."""
    variables = {"RELAY": "", "SUBMIT_TOKEN": SUBMIT_TOKEN, "READ_TOKEN": READ_TOKEN}
    (sample,) = example["x-codeSamples"]
    words = shlex.split(Template(sample["source"]).substitute(variables).replace("\\\n", ""))
    headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1] if "-d" in words else None
    (path,) = [word for word in words if word.startswith("/")]
    if not body:  # what is looked up
        service.post()

    response = service.caller.open(
        path, method="POST" if body else "GET", headers=headers, data=body
    )

    statuses = {"/": {302}, "/v1/chats/6606508eaa71575f1e8d": {404}}
    assert response.status_code in statuses.get(path, {200, 202})
    assert_described(response)


def test_every_kind_of_record_is_as_described(service: WebService) -> None:
    """Posts, look-ups and examples of each status match the document."""
    bench, worker = service.bench, service.bench.worker()
    bench.open_gate()
    event = {
        "member_id": "m1",
        "message": {"text": "Hello.", "bot_name": "Refunds"},
        "open": True,
        "metadata": {"a": "b"},
    }
    outcomes: dict[str, Outcome] = {"e1": CREATED, "e2": REFUSED, "e3": UNKNOWN}
    for event_id, outcome in outcomes.items():
        bench.client.unlink(bench.key("member:m1"))
        worker.settle(bench.granted(event_id, **event), Resolved("user-1"))
        worker.settle(bench.grant(), outcome)
        if event_id == "e1":
            worker.settle(bench.grant(), Done(has_acted=True, message_id="m-1"))
            worker.settle(bench.grant(), Done(has_acted=True))
    bench.granted("e4", **event)  # the user id is kept
    bench.client.unlink(bench.key("member:m1"))
    bench.accept("e5", **event)

    for event_id in ("e1", "e2", "e3", "e4", "e5"):
        found = service.get(f"/v1/events/{event_id}")
        posted = service.post({"event_id": event_id, **event})
        assert found.get_json() == posted.get_json()
        example = DOCUMENT["components"]["examples"][found.get_json()["status"]]["value"]
        assert outline(example) == outline(found.get_json())
        assert_described(found)
        assert_described(posted)
    for path in LOOK_UPS:
        assert_described(service.get(path))


def outline(record: Json) -> list[Any]:
    """Return the parts of a record that depend only on its status."""
    same = [record[name] for name in ("created", "attempts", "possible_orphan", "complete")]
    settled = [record[name] for name in record if name not in {"occurred_at", "on_unknown"}]
    return same + [value is None or value == [] for value in settled]


def test_examples_of_headers_are_followed(service: WebService) -> None:
    """The example of each header has an effect, here for a settled event."""
    headers = {part["name"]: part["example"] for part in POST["parameters"]}
    service.bench.open_gate()
    grant = service.bench.granted(headers["Idempotency-Key"])
    service.bench.worker().settle(grant, CREATED)

    response = service.post({"user_id": "u1"}, **headers)

    assert 200 == response.status_code
    assert headers["Prefer"] == response.headers["Preference-Applied"]
    assert Trace.from_traceparent(headers["traceparent"]).trace_id in headers["traceparent"]


def test_answers_while_it_waits_are_as_described(service: WebService) -> None:
    """Answers to ``Prefer: wait`` match the document."""
    assert_described(service.post(Prefer="wait=1"))
    look_up = {**BEARER, "Prefer": "wait=1"}
    assert_described(service.caller.get("/v1/events/refund-7731", headers=look_up))


REFUSED_POSTS: list[tuple[int, dict[str, Any]]] = [
    (401, {"Authorization": None}),
    (403, {"Authorization": f"Bearer {READ_TOKEN}"}),
    (415, {"Content_Type": "text/plain"}),
    (413, {"body": b"{" * 65_537}),
    (400, {"body": b"{"}),
    (422, {"body": {"user_id": 7, "metadata": {"a": 1}, "other": 1}}),
    (422, {"Idempotency_Key": "other"}),
    (422, {"body": {**EVENT, "user_id": "other"}}),
    (422, {"body": {"event_id": "e", "user_id": "u", "occurred_at": OLD}}),
    (429, {"body": {"event_id": "e", "user_id": "u"}}),
]


@pytest.mark.parametrize(("status", "parts"), REFUSED_POSTS)
def test_refused_posts_are_as_described(client: Client, status: int, parts: dict[str, Any]) -> None:
    """Each refusal matches the document; one event fills the backlog."""
    service = serve(client, max_backlog=1)
    service.post(EVENT)

    response = service.post(**parts)

    assert status == response.status_code
    assert_described(response)


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (404, "/v1/events/none"),
        (404, "/v1/chats/none"),
        (422, "/v1/users/u/chats?limit=0"),
        (404, "/problems/none"),
        (422, "/v1/users/a.b/chats"),
        (422, "/v1/events/e1?other=1"),
        (422, "/v1/chats/c1?other=1"),
        *((302 if path == "/" else 200, path) for path in OPEN),
    ],
)
def test_other_answers_are_as_described(service: WebService, status: int, path: str) -> None:
    """Look-ups without a result and open routes match the document."""
    response = service.get(path)

    assert status == response.status_code
    assert_described(response)


def test_a_post_with_a_parameter_is_as_described(service: WebService) -> None:
    """A query parameter alone makes a post invalid."""
    response = service.caller.post("/v1/events?other=1", json=EVENT, headers=BEARER)

    assert 422 == response.status_code
    assert_described(response)


def test_null_is_no_event_id(service: WebService) -> None:
    """``Idempotency-Key`` may replace the body's ``event_id``."""
    content = {**EVENT, "event_id": None}

    assert 202 == service.post(content, Idempotency_Key="e").status_code
    assert EVENT_SCHEMA.is_valid(content)


def test_examples_of_faults_are_answered(service: WebService, cut_off: WebService) -> None:
    """The examples of ``errors`` are real answers, word for word."""
    answered = {
        ("POST", "/v1/events", "invalid-event"): service.post(
            {"event_id": "e", "on_unknwon": "hold"}
        ),
        ("GET", "/v1/users/{user_id}/chats", "invalid-parameter"): service.get(
            "/v1/users/u/chats?limit=0"
        ),
        ("GET", "/readyz", "not-ready"): cut_off.get("/readyz"),
    }

    for (method, path, slug), response in answered.items():
        described = OPERATIONS[method, path]["responses"][str(response.status_code)]
        assert response.get_json()["errors"] == problems_of(described)[slug]["value"]["errors"]


@pytest.mark.parametrize("path", [*LOOK_UPS, *OPEN])
def test_other_methods_are_as_described(service: WebService, path: str) -> None:
    """A 405 names the methods of the address."""
    assert_described(service.caller.open(path, method="PUT", headers=BEARER))


@pytest.mark.parametrize("path", [*LOOK_UPS, "/readyz"])
def test_answers_without_redis_are_as_described(cut_off: WebService, path: str) -> None:
    """The answer has ``Retry-After``."""
    for response in (cut_off.get(path), cut_off.post()):
        assert response.status_code == 503
        assert_described(response)
