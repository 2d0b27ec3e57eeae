"""The OpenAPI document is valid, and says how things are."""

import json
import shlex
from string import Template
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from app.chats.outcome import Outcome
from app.store.client import Client
from app.web.openapi.examples import EVENT as EVENT_EXAMPLE
from app.web.openapi.meanings import MEANINGS
from app.web.problems import PROBLEMS
from tests.chats.test_any_event import FIELDS, JSON
from tests.store.outcomes import CREATED, REFUSED, UNKNOWN
from tests.web.beyond_schemas import BEYOND
from tests.web.described import DOCUMENT, OPERATIONS, Json, assert_described, validator
from tests.web.service import BOTH_TOKEN, EVENT, READ_TOKEN, SUBMIT_TOKEN, Service, serve

EVENT_SCHEMA = validator({"$ref": "#/components/schemas/OpenChatEvent"})
POST = OPERATIONS["POST", "/v1/events"]
KEY = next(part for part in POST["parameters"] if part["name"] == "Idempotency-Key")
OLD = "2001-01-01T00:00:00Z"
BEARER = {"Authorization": f"Bearer {BOTH_TOKEN}"}
LOOK_UPS = ["/v1/events/e1", "/v1/chats/chat-1", "/v1/users/u1/chats"]
OPEN = ["/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/problems/not-found"]

# Mostly right, so that one wrong field among four is met as well.
ALMOST = {name: st.just(EVENT_EXAMPLE[name]) | FIELDS[name] for name in FIELDS}

every_operation = pytest.mark.parametrize(("method", "path"), OPERATIONS)


def test_the_document_is_valid() -> None:
    """As OpenAPI 3.1 and the JSON Schema of 2020-12 have it."""
    validate(json.loads(json.dumps(DOCUMENT)))


def test_it_is_served_to_all(service: Service) -> None:
    """As it is, and not to be kept."""
    response = service.caller.get("/openapi.json")

    assert (200, "application/json") == (response.status_code, response.content_type)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.get_json() == json.loads(json.dumps(DOCUMENT))


def test_every_route_is_described(service: Service) -> None:
    """With its method, and none that is not there. HEAD goes with GET, and is said once."""
    routes = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in service.caller.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }

    assert OPERATIONS.keys() == routes
    assert "HEAD" in DOCUMENT["info"]["description"]


@every_operation
def test_its_security_is_who_may_use_it(service: Service, method: str, path: str) -> None:
    """Each token opens what it is listed for, and nothing else."""
    listed = {name for scheme in OPERATIONS[method, path]["security"] for name in scheme}
    tokens = {"submitToken": SUBMIT_TOKEN, "readToken": READ_TOKEN}

    for name, token in tokens.items():
        headers = {"Authorization": f"Bearer {token}"}
        status = service.caller.open(path, method=method, headers=headers).status_code
        assert (status == 403) == bool(listed and name not in listed)
    assert (service.caller.open(path, method=method).status_code == 401) == bool(listed)


def test_every_problem_is_described() -> None:
    """Somewhere; and wherever one is, so are those that any request can meet."""
    described = {
        slug
        for operation in OPERATIONS.values()
        for response in operation["responses"].values()
        for slug in response["content"].get("application/problem+json", {}).get("examples", {})
    }

    assert described == PROBLEMS.keys()


def test_every_field_is_explained() -> None:
    """Of events and records, and no field that is not there."""
    for name, meanings in MEANINGS.items():
        fields = DOCUMENT["components"]["schemas"][name].get("properties", {})
        assert {"", *fields} == meanings.keys()


@every_operation
def test_examples_are_as_their_schemas_say(method: str, path: str) -> None:
    """Of parameters, bodies and answers."""
    operation = OPERATIONS[method, path]
    bodies = [*operation.get("requestBody", {}).get("content", {}).values()]
    for response in operation["responses"].values():
        bodies += response["content"].values()
    shown = [(part["schema"], part["example"]) for part in operation.get("parameters", ())]
    for body in bodies:
        examples = [example["value"] for example in body.get("examples", {}).values()]
        examples += [body["example"]] if "example" in body else []
        shown += [(body["schema"], json.loads(json.dumps(example))) for example in examples]

    for schema, example in shown:
        assert validator(schema).is_valid(example), example


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.fixed_dictionaries({}, optional={**ALMOST, "other": JSON}))
def test_the_schema_of_events_agrees_with_the_service(service: Service, content: Any) -> None:
    """What it refuses is refused; what it lets through is accepted, but for what it cannot say."""
    try:
        body = json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        assume(False)  # noqa: FBT003 - no JSON, or no Unicode: nothing that a schema is asked about
    service.bench.client.flushall()

    response = service.post(body)

    if response.status_code == 202:
        assert EVENT_SCHEMA.is_valid(content)
    elif EVENT_SCHEMA.is_valid(content):
        problem = response.get_json()
        faults = {error["detail"] for error in problem.get("errors", ())}
        assert faults <= BEYOND
        assert faults or problem["type"] in BEYOND


@pytest.mark.parametrize(
    "key", ["a", '"a"', "", '""', "a" * 128, "a b", '"', '"a', "a/b", "a" * 129, "a,a", '"a""b"']
)
def test_the_schema_of_the_key_agrees_with_the_service(service: Service, key: str) -> None:
    """An empty one is none."""
    event = EVENT if not key.strip('"') and len(key) != 1 else {"user_id": "u"}

    response = service.post(event, Idempotency_Key=key)

    assert validator(KEY["schema"]).is_valid(key) == (response.status_code == 202)


@pytest.mark.parametrize("example", OPERATIONS.values(), ids=lambda one: one["operationId"])
def test_curl_lines_work(service: Service, example: Json) -> None:
    """They are answered with what was asked for, as soon as there is something to find."""
    variables = {"RELAY": "", "SUBMIT_TOKEN": SUBMIT_TOKEN, "READ_TOKEN": READ_TOKEN}
    (sample,) = example["x-codeSamples"]
    words = shlex.split(Template(sample["source"]).substitute(variables).replace("\\\n", ""))
    headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1] if "-d" in words else None
    (path,) = [word for word in words if word.startswith("/")]
    service.post()

    response = service.caller.open(
        path, method="POST" if body else "GET", headers=headers, data=body
    )

    assert response.status_code in ({404} if path.startswith("/v1/chats/") else {200, 202})
    assert_described(response)


def test_every_kind_of_record_is_as_described(service: Service) -> None:
    """Posted and looked up: under way, opened, failed, held; no field is left unsaid."""
    bench = service.bench
    bench.open_gate()
    outcomes: dict[str, Outcome] = {"e1": CREATED, "e2": REFUSED, "e3": UNKNOWN}
    for event_id, outcome in outcomes.items():
        bench.worker().settle(bench.granted(event_id, metadata={"a": "b"}), outcome)
    bench.granted("e4")
    bench.accept("e5")

    for event_id in ("e1", "e2", "e3", "e4", "e5"):
        found = service.get(f"/v1/events/{event_id}")
        metadata = found.get_json()["metadata"]
        posted = service.post({"event_id": event_id, "user_id": "u1", "metadata": metadata})
        assert found.get_json() == posted.get_json()
        assert_described(found)
        assert_described(posted)
    for path in LOOK_UPS:
        assert_described(service.get(path))


def test_answers_while_it_waits_are_as_described(service: Service) -> None:
    """With the preference as applied."""
    assert_described(service.post(Prefer="wait=1"))


REFUSED_POSTS: list[tuple[int, dict[str, Any]]] = [
    (401, {"Authorization": None}),
    (403, {"Authorization": f"Bearer {READ_TOKEN}"}),
    (415, {"Content_Type": "text/plain"}),
    (413, {"body": b"{" * 65_537}),
    (400, {"body": b"{"}),
    (422, {"body": {"user_id": 7, "metadata": {"a": 1}, "other": 1}}),
    (422, {"body": {**EVENT, "user_id": "other"}}),
    (422, {"body": {"event_id": "e", "user_id": "u", "occurred_at": OLD}}),
    (429, {"body": {"event_id": "e", "user_id": "u"}}),
]


@pytest.mark.parametrize(("status", "parts"), REFUSED_POSTS)
def test_refused_posts_are_as_described(client: Client, status: int, parts: dict[str, Any]) -> None:
    """The backlog is full all the time, with one event in it."""
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
        *((200, path) for path in OPEN),
    ],
)
def test_other_answers_are_as_described(service: Service, status: int, path: str) -> None:
    """Of look-ups that find nothing, and of what is open to all."""
    response = service.get(path)

    assert status == response.status_code
    assert_described(response)


@pytest.mark.parametrize("path", [*LOOK_UPS, *OPEN])
def test_other_methods_are_as_described(service: Service, path: str) -> None:
    """With the methods that there are."""
    assert_described(service.caller.open(path, method="PUT", headers=BEARER))


@pytest.mark.parametrize("path", [*LOOK_UPS, "/readyz"])
def test_answers_without_redis_are_as_described(cut_off: Service, path: str) -> None:
    """With the time after which to ask again."""
    for response in (cut_off.get(path), cut_off.post()):
        assert response.status_code == 503
        assert_described(response)
