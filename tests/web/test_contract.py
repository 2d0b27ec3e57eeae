"""The OpenAPI document agrees with the code: fields, enums, limits and problems, one by one."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate
from pydantic import TypeAdapter, ValidationError

from app.chats.event import (
    MAX_CLOCK_SKEW,
    MAX_METADATA_BYTES,
    MAX_METADATA_PAIRS,
    MAX_TEXT_CHARACTERS,
    BotName,
    EventId,
    FirstMessage,
    MemberId,
    OnUnknown,
    OpenChatEvent,
    UserId,
)
from app.chats.record import (
    MAX_CHAT_ID_CHARACTERS,
    Chat,
    Failure,
    FailureCode,
    Record,
    Session,
    Status,
    TaskState,
    TaskStatus,
    as_json,
    time_as_json,
)
from app.web import openapi
from app.web.authentication import CHALLENGE
from app.web.openapi import DOCUMENT
from app.web.parameters import DEFAULT_LIMIT, MAX_LIMIT
from app.web.prefer import MAX_WAIT_SECONDS
from app.web.problems import PROBLEMS, ProblemError, problem_response
from app.web.reading import KEY_HEADER, MAX_BODY_BYTES
from app.web.signatures import HEADERS as SIGNATURE_HEADERS
from tests.web.described import OPERATIONS, Json, assert_is, problems_of, validator

DOCS = Path(__file__).parents[2] / "docs"
SOURCE = Path(openapi.__file__).with_suffix(".yaml").read_text()
COMPONENTS = DOCUMENT["components"]
SCHEMAS = COMPONENTS["schemas"]
BY_ID = {operation["operationId"]: operation for operation in OPERATIONS.values()}
OBJECTS = {name: schema for name, schema in SCHEMAS.items() if "properties" in schema}
REF = "#/components/schemas/{}"

# The problems that an operation can answer with: on any request, below /v1, and its own.
ON_ANY_REQUEST = {
    *("bad-request", "method-not-allowed", "uri-too-long", "expectation-failed"),
    *("headers-too-large", "internal-error", "not-implemented"),
}
BELOW_V1 = {"unauthorized", "forbidden", "invalid-parameter", "unavailable"}
OWN_PROBLEMS = {
    "postEvent": {
        *BELOW_V1,
        *("unsupported-media-type", "too-large", "body-timeout", "malformed-json"),
        *("invalid-event", "event-id-reused", "event-too-old", "backlog-full"),
    },
    "getEvent": {*BELOW_V1, "not-found"},
    "getChatsOfUser": {*BELOW_V1, "not-found"},
    "getChatsOfMember": {*BELOW_V1, "not-found"},
    "getChat": {*BELOW_V1, "not-found"},
    "getLivez": set(),
    "getReadyz": {"not-ready"},
    "getMetrics": set(),
    "getOpenapi": set(),
    "getDocs": set(),
    "getProblem": {"not-found"},
    "getRoot": set(),
}
ALWAYS = {"Cache-Control", "Request-Id"}
PROBLEM_HEADERS = {"unauthorized": "WWW-Authenticate", "method-not-allowed": "Allow"}

# The schema of each other answer, and the headers beside those of every answer.
ANSWERS = {
    ("postEvent", "200", "application/json"): "Record",
    ("postEvent", "202", "application/json"): "Record",
    ("getEvent", "200", "application/json"): "Record",
    ("getChatsOfUser", "200", "application/json"): "ChatsOfUser",
    ("getChatsOfMember", "200", "application/json"): "ChatsOfMember",
    ("getChat", "200", "application/json"): "Record",
    ("getLivez", "200", "application/json"): "Alive",
    ("getReadyz", "200", "application/json"): "Ready",
    ("getMetrics", "200", "text/plain"): "string",
    ("getOpenapi", "200", "application/json"): "object",
    ("getDocs", "200", "text/html"): "string",
    ("getProblem", "200", "application/json"): "ProblemPage",
    ("getProblem", "200", "text/html"): "string",
    ("getRoot", "302", "text/html"): "string",
}
ANSWERED_STATUSES = {
    ("postEvent", "200"): [status for status in Status if not status.is_open],
    ("postEvent", "202"): [Status.ACCEPTED, Status.CALLING, Status.OPENED],
    ("getEvent", "200"): [*Status],
    ("getChat", "200"): [Status.OPENED],
}
ANSWER_HEADERS = {
    ("postEvent", "200"): {"Location", "Idempotent-Replayed", "Preference-Applied"},
    ("postEvent", "202"): {
        *("Location", "Idempotent-Replayed", "Preference-Applied", "Retry-After")
    },
    ("getEvent", "200"): {"Preference-Applied", "Retry-After"},
    ("getRoot", "302"): {"Location"},
}
LINKS = {
    ("postEvent", "200"): ["getEvent", "getChatsOfUser", "getChatsOfMember", "getChat"],
    ("postEvent", "202"): ["getEvent", "getChatsOfMember"],
    ("getEvent", "200"): ["getChatsOfMember"],
    ("getChat", "200"): ["getEvent"],
}

FULL = Record(
    event_id="refund-7731",
    user_id="6606508eaa71575f1e8c",
    status=Status.OPENED,
    created=True,
    chat=Chat("chat-1", "6263", "initial", Session("s-1", "key"), Session("s-2", "key")),
    failure=Failure(FailureCode.REJECTED, "No.", 422),
    attempts=1,
    possible_orphan=False,
    duplicate_chat_ids=("chat-2",),
    accepted_at=datetime(2026, 11, 22, tzinfo=UTC),
    settled_at=datetime(2026, 11, 22, tzinfo=UTC),
    completed_at=datetime(2026, 11, 22, tzinfo=UTC),
    member_id="customer-8841",
    tasks={
        "message": TaskState("failed", 1, "m-1", Failure(FailureCode.REJECTED, "No.", 422)),
        "open": TaskState("skipped"),
    },
    expires_at=datetime(2026, 12, 22, tzinfo=UTC),
    occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
    on_unknown=OnUnknown.HOLD,
    metadata={"order": "7731"},
)
INSTANTS = st.datetimes(timezones=st.just(UTC))
CHAT_IDS = st.from_regex(r"\A[A-Za-z0-9-]{1,256}\Z")
ANY_RECORD = st.builds(
    Record,
    event_id=st.from_regex(r"\A[A-Za-z0-9_:~-]{1,128}\Z"),
    user_id=st.none() | st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"),
    member_id=st.none() | st.from_regex(r"\A[!-~]{1,64}\Z"),
    tasks=st.none() | st.fixed_dictionaries({"message": st.builds(TaskState, st.text())}),
    chat=st.none() | st.builds(Chat, id=CHAT_IDS),
    attempts=st.integers(0, 1000),
    duplicate_chat_ids=st.lists(CHAT_IDS, max_size=2).map(tuple),
    accepted_at=INSTANTS,
    settled_at=st.none() | INSTANTS,
    completed_at=st.none() | INSTANTS,
    expires_at=st.none() | INSTANTS,
    metadata=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=10),
)

each_operation = pytest.mark.parametrize("name", BY_ID)


def parameters(operation: str) -> dict[str, Json]:
    """Return the parameters of an operation by their names."""
    return {one["name"]: one for one in BY_ID[operation].get("parameters", ())}


def examples(media_type: Json) -> dict[str, Any]:
    """Return the examples of a body by their names."""
    found = {name: example["value"] for name, example in media_type.get("examples", {}).items()}
    return found | ({"": media_type["example"]} if "example" in media_type else {})


def bodies(operation: str) -> Iterator[tuple[str, Json]]:
    """Return each body that an operation takes or answers with, with its media type."""
    described = BY_ID[operation]
    yield from described.get("requestBody", {}).get("content", {}).items()
    for response in described["responses"].values():
        yield from response["content"].items()


# The file itself.


def test_the_document_is_valid() -> None:
    """As OpenAPI 3.1 and the JSON Schema of 2020-12 have it."""
    validate(DOCUMENT)


def test_the_document_is_json() -> None:
    """YAML reads a status without quotes as a number, and a time as a date."""
    assert DOCUMENT == json.loads(json.dumps(DOCUMENT))


def test_the_document_is_of_the_service_that_serves_it() -> None:
    """Under whatever name: addresses begin at its root."""
    assert [{"url": "/"}] == DOCUMENT["servers"]


def test_no_key_is_written_twice() -> None:
    """PyYAML would take the last one, and not complain."""
    for mapping in mappings(yaml.compose(SOURCE, Loader=yaml.SafeLoader)):
        keys = [key.value for key, _ in mapping.value]
        assert len(keys) == len(set(keys)), mapping.start_mark


def mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Return every mapping in ``node``."""
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from mappings(value)


def test_references_and_components_are_the_same() -> None:
    """No reference leads nowhere, and no component is unused."""
    kinds = ("schemas", "examples", "responses", "headers")

    addresses = {f"#/components/{kind}/{name}" for kind in kinds for name in COMPONENTS[kind]}
    assert addresses == set(re.findall(r'"\$ref": "(.*?)"', json.dumps(DOCUMENT)))


def test_everything_is_explained() -> None:
    """Parameters, headers, security schemes, objects and their fields, tags and the whole."""
    parts = [DOCUMENT["info"], *DOCUMENT["tags"], BY_ID["postEvent"]["requestBody"]]
    parts += [one for operation in BY_ID for one in parameters(operation).values()]
    parts += [*COMPONENTS["headers"].values(), *COMPONENTS["securitySchemes"].values()]
    parts += [*OBJECTS.values()]
    parts += [field for schema in OBJECTS.values() for field in schema["properties"].values()]

    assert [] == [part for part in parts if not part.get("description")]
    assert all(operation["summary"] for operation in BY_ID.values())


def test_tags_are_those_of_operations() -> None:
    """Each operation has one, and no other is declared."""
    used = [tag for operation in BY_ID.values() for tag in operation["tags"]]

    assert [tag["name"] for tag in DOCUMENT["tags"]] == [*dict.fromkeys(used)]
    assert len(BY_ID) == len(used)


# Examples and links.


@each_operation
def test_everything_has_an_example(name: str) -> None:
    """Each parameter, and each body but pages."""
    assert all("example" in parameter for parameter in parameters(name).values())
    for media_type, body in bodies(name):
        assert examples(body) or media_type == "text/html"


@each_operation
def test_examples_match_their_schemas(name: str) -> None:
    """Without a field that the schema does not name."""
    for parameter in parameters(name).values():
        assert_is(parameter["schema"], parameter["example"])
    for _, body in bodies(name):
        for example in examples(body).values():
            assert_is(body["schema"], example)


def test_examples_of_schemas_match_them() -> None:
    """The ids that Schemathesis and other tools begin with."""
    for schema in SCHEMAS.values():
        for example in schema.get("examples", ()):
            assert validator(schema).is_valid(example)


def test_examples_of_records_are_named_by_their_status() -> None:
    """Each status has one, all of the event that is posted in the example."""
    posted = BY_ID["postEvent"]["requestBody"]["content"]["application/json"]["example"]
    same = ("event_id", "member_id", "on_unknown", "metadata")

    for status in Status:
        record = COMPONENTS["examples"][status]["value"]
        assert status == record["status"]
        assert [posted[name] for name in same] == [record[name] for name in same]
    opened = COMPONENTS["examples"]["opened"]["value"]
    found = {"chats": [opened], "has_more": False}
    for name, field in (("one-chat", "user_id"), ("one-chat-of-member", "member_id")):
        assert {field: opened[field]} | found == COMPONENTS["examples"][name]["value"]


def test_the_example_of_this_document_is_its_beginning() -> None:
    """Shortened, and not made up."""
    body = BY_ID["getOpenapi"]["responses"]["200"]["content"]["application/json"]

    assert DOCUMENT["openapi"] == body["example"]["openapi"]
    assert body["example"]["info"].items() <= DOCUMENT["info"].items()


def test_the_example_of_a_problems_page_is_one() -> None:
    """Word by word."""
    path = parameters("getProblem")["slug"]["example"]
    page = BY_ID["getProblem"]["responses"]["200"]["content"]["application/json"]["example"]
    problem = PROBLEMS[path]

    assert page == {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "meaning": problem.meaning,
        "remedy": problem.remedy,
    }


def test_answers_have_their_links() -> None:
    """From a record to what can be looked up next; to a chat only where there may be one."""
    linked = {
        (name, status): [link["operationId"] for link in response["links"].values()]
        for name, operation in BY_ID.items()
        for status, response in operation["responses"].items()
        if "links" in response
    }

    assert linked == LINKS


@each_operation
def test_links_lead_from_the_answer_to_an_operation(name: str) -> None:
    """From what the first example has to the parameters in the path."""
    for response in BY_ID[name]["responses"].values():
        for link in response.get("links", {}).values():
            needed = parameters(link["operationId"]).values()
            first, *_ = examples(response["content"]["application/json"]).values()
            assert link["parameters"].keys() == {
                one["name"] for one in needed if one.get("required")
            }
            for pointer in link["parameters"].values():
                assert follow(pointer, first)


def follow(expression: str, content: Any) -> Any:
    """Return what a runtime expression finds in the body of an answer."""
    for key in expression.removeprefix("$response.body#/").split("/"):
        content = content[key]
    return content


# Fields, enums and limits.


def test_events_have_the_fields_of_the_model() -> None:
    """No other is allowed; a header may stand for the id, and one of two names the user."""
    schema, model = SCHEMAS["OpenChatEvent"], OpenChatEvent.model_json_schema()

    assert BY_ID["postEvent"]["requestBody"]["required"] is True
    assert [*model["properties"]] == [*schema["properties"]]
    assert ["event_id"] == model["required"]
    assert [["user_id"], ["member_id"]] == [one["required"] for one in schema["oneOf"]]
    assert model["additionalProperties"] is schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "model"), [("EventId", EventId), ("UserId", UserId), ("BotName", BotName)]
)
def test_ids_have_the_limits_of_the_model(name: str, model: Any) -> None:
    """The same pattern and lengths."""
    described = TypeAdapter(model).json_schema()
    limits = ("type", "pattern", "minLength", "maxLength")

    assert [described.get(one) for one in limits] == [SCHEMAS[name].get(one) for one in limits]


@given(st.text(max_size=70) | st.text(st.characters(categories=["Z", "C", "L"]), max_size=3))
def test_member_ids_have_the_limits_of_the_model(text: str) -> None:
    """Written another way, since not every reader of a pattern has classes of characters."""
    try:
        TypeAdapter(MemberId).validate_python(text)
        is_taken = True
    except ValidationError:
        is_taken = False

    try:
        text.encode()
    except UnicodeEncodeError:
        assert not is_taken
    else:
        assert is_taken == validator(SCHEMAS["MemberId"]).is_valid(text)


def test_messages_have_the_limits_of_the_model() -> None:
    """Their fields, and the length of their text."""
    schema = SCHEMAS["Message"]

    assert [*FirstMessage.model_fields] == [*schema["properties"]]
    assert MAX_TEXT_CHARACTERS == schema["properties"]["text"]["maxLength"]


def test_enums_have_the_values_of_the_code() -> None:
    """Callers send these alone."""
    schema = SCHEMAS["OnUnknown"]

    assert ("string", [*OnUnknown]) == (schema["type"], schema["enum"])


@pytest.mark.parametrize("values", [Status, FailureCode, TaskStatus])
def test_statuses_and_codes_are_those_of_the_code_and_of_later_releases(
    values: type[Status | FailureCode | TaskStatus],
) -> None:
    """All are named, in their order, and another one is no breach: a replica may be newer."""
    schema = SCHEMAS[values.__name__]

    assert ("string", [*values]) == (schema["type"], schema["examples"])
    assert "A later release may add others." in schema["description"]
    assert validator(schema).is_valid("made_up_later")


@pytest.mark.parametrize("values", [Status, FailureCode, TaskStatus])
def test_each_status_and_code_is_explained(
    values: type[Status | FailureCode | TaskStatus],
) -> None:
    """With its meaning and a remedy, here and in the guide for callers."""
    schema = SCHEMAS[values.__name__]
    guide = (DOCS / "integrating.md").read_text()

    assert [*values] == [*schema["x-meanings"]]
    for value, entry in schema["x-meanings"].items():
        assert {"meaning", "remedy"} == entry.keys()
        assert all(text.endswith(".") for text in entry.values())
        assert f"`{value}`" in schema["description"]
        assert f"| `{value}` | {entry['meaning']} | {entry['remedy']} |" in guide


def test_records_have_the_fields_of_the_answer() -> None:
    """In their order, each always there."""
    answered = as_json(FULL)
    objects = {name: answered[name.lower()] for name in ("Chat", "Session", "Failure")}
    objects["Task"] = answered["tasks"]["message"]

    for name, content in {**objects, "Record": answered}.items():
        assert [*content] == SCHEMAS[name]["required"] == [*SCHEMAS[name]["properties"]]


def test_every_schema_has_a_type() -> None:
    """JSON Schema lets everything through where nothing is said, as of objects in another type."""
    for schema in schemas_in(DOCUMENT):
        assert schema.keys() & {"type", "enum", "const", "anyOf", "$ref"}, schema
        assert "items" in schema or schema.get("type") != "array", schema
    assert {"object"} == {schema["type"] for schema in OBJECTS.values()}


def schemas_in(part: Any) -> Iterator[Json]:
    """Return every schema in ``part`` of the document."""
    if isinstance(part, list):
        for one in part:
            yield from schemas_in(one)
    if isinstance(part, dict):
        for key, value in part.items():
            if key in {"schema", "items", "propertyNames", "additionalProperties"}:
                yield from [value] if isinstance(value, dict) else []
            elif key in {"schemas", "properties"}:
                yield from value.values()
            elif key == "anyOf":
                yield from value
            yield from schemas_in(value)


def test_answers_have_all_their_fields() -> None:
    """But for faults, which a problem need not have, and which are of several kinds."""
    optional = {
        name: {*schema["properties"]} - {*schema.get("required", ())}
        for name, schema in OBJECTS.items()
    }

    assert OBJECTS.keys() == {
        *("OpenChatEvent", "Message", "Record", "Tasks", "Task", "Chat", "Session", "Failure"),
        *("ChatsOfUser", "ChatsOfMember", "Problem", "Fault", "ProblemPage", "Alive", "Ready"),
    }
    with_optional = {"OpenChatEvent", "Message", "Tasks", "Problem", "Fault"}
    assert with_optional == {name for name in optional if optional[name]}
    assert {"errors"} == optional["Problem"]


@pytest.mark.parametrize("place", ["pointer", "header", "parameter"])
def test_a_fault_has_one_place(place: str) -> None:
    """With a detail; or it is a check, which says all itself."""
    fault = validator(SCHEMAS["Fault"])

    assert fault.is_valid({place: "", "detail": ""})
    assert fault.is_valid({"check": ""})
    for other in ("pointer", "header", "parameter", "check"):
        assert other == place or not fault.is_valid({place: "", other: "", "detail": ""})
    assert not any(fault.is_valid(one) for one in ({place: ""}, {"detail": ""}, {}))


def test_times_are_in_one_form() -> None:
    """As they are answered."""
    time = validator(SCHEMAS["Time"])

    assert time.is_valid(time_as_json(FULL.accepted_at))
    assert not any(
        time.is_valid(f"2026-11-22{rest}")
        for rest in ("", "T10:00:00Z", "T10:00:00.123", "T10:00:00.123+00:00", " 10:00:00.123Z")
    )


def test_fields_have_the_types_of_the_code() -> None:
    """``null`` where, and only where, the record can have none."""
    record: Json = TypeAdapter(Record).json_schema(mode="serialization")
    models = {**record["$defs"], "Record": record}
    # The answer shows the sessions beside their chat.
    chat = models["Chat"]["properties"]
    for name in ("session", "user_session"):
        models["Record"]["properties"][name] = chat.pop(name)

    names = ("Record", "Tasks", "Task", "Chat", "Session", "Failure")
    described = {name: types(SCHEMAS[name], SCHEMAS) for name in names}
    # A property of the record, and an object whose keys the answer names.
    assert {"boolean"} == described["Record"].pop("complete")
    assert {"Tasks", "null"} == described["Record"].pop("tasks")
    assert {"Task"} == set.union(*described.pop("Tasks").values())
    models["Record"]["properties"].pop("tasks")
    models["Task"] = TypeAdapter(TaskState).json_schema(mode="serialization")
    assert described == {name: types(models[name], models) for name in described}


def types(schema: Json, known: Json) -> dict[str, set[str]]:
    """Return the types of each field of an object."""
    return {name: set(types_of(field, known)) for name, field in schema["properties"].items()}


def types_of(schema: Json, known: Json) -> Iterator[str]:
    """Return the types that a schema allows, objects by their names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from [name] if "properties" in known[name] else types_of(known[name], known)
    elif "anyOf" in schema:
        for choice in schema["anyOf"]:
            yield from types_of(choice, known)
    elif schema["type"] == "array":
        yield from (f"list of {one}" for one in types_of(schema["items"], known))
    else:
        yield from schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


@given(ANY_RECORD)
def test_any_record_is_as_described(record: Record) -> None:
    """As the answer shows it."""
    assert_is({"$ref": REF.format("Record")}, json.loads(json.dumps(as_json(record))))


def test_chats_have_the_limits_of_the_code() -> None:
    """One character to as many as are kept, without a slash."""
    chat_id = validator(SCHEMAS["ChatId"])

    longest = "a" * MAX_CHAT_ID_CHARACTERS
    assert all(chat_id.is_valid(one) for one in ("a", longest, "a b", "é"))
    assert not any(chat_id.is_valid(one) for one in ("", longest + "a", "a/b", "/", 7, None))


def test_metadata_has_the_limits_of_the_code() -> None:
    """Of pairs, and of the longest string that fits beside an empty one."""
    string = {"type": "string", "maxLength": MAX_METADATA_BYTES - len('{"":""}')}

    assert SCHEMAS["Metadata"] == {
        "type": "object",
        "maxProperties": MAX_METADATA_PAIRS,
        "propertyNames": string,
        "additionalProperties": string,
    }


def test_parameters_are_those_of_the_code() -> None:
    """With their names, and their limits."""
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}

    posted = parameters("postEvent")
    assert [KEY_HEADER, "Prefer", "traceparent"] == [*posted]
    assert ["event_id", "Prefer"] == [*parameters("getEvent")]
    assert {"type": "string"} == parameters("getEvent")["Prefer"]["schema"]
    assert {"type": "string"} == posted["Prefer"]["schema"] == posted["traceparent"]["schema"]
    assert {"$ref": REF.format("EventId")} == parameters("getEvent")["event_id"]["schema"]
    assert {"$ref": REF.format("ChatId")} == parameters("getChat")["chat_id"]["schema"]
    assert limit == parameters("getChatsOfUser")["limit"]["schema"]
    user_id = parameters("getChatsOfUser")["user_id"]["schema"]
    assert {"$ref": REF.format("UserId")} == user_id
    assert {"enum": [*PROBLEMS]} == parameters("getProblem")["slug"]["schema"]


def test_the_wait_has_the_limit_of_the_code() -> None:
    """As it is applied, from one second on."""
    applied = validator(COMPONENTS["headers"]["Preference-Applied"]["schema"])

    seconds = range(MAX_WAIT_SECONDS * 10)
    assert [*range(1, MAX_WAIT_SECONDS + 1)] == [
        n for n in seconds if applied.is_valid(f"wait={n}")
    ]
    for name in ("postEvent", "getEvent"):
        assert f" {MAX_WAIT_SECONDS} at most" in parameters(name)["Prefer"]["description"]


def test_words_have_the_limits_of_the_code() -> None:
    """Those that a schema cannot have."""
    described = SCHEMAS["OpenChatEvent"]["properties"]

    body = f" {MAX_BODY_BYTES // 1024} KiB"
    assert body in BY_ID["postEvent"]["requestBody"]["description"]
    assert body in COMPONENTS["responses"]["TooLarge"]["description"]
    assert body in PROBLEMS["too-large"].meaning
    assert f" {MAX_CLOCK_SKEW.seconds // 60} minutes " in described["occurred_at"]["description"]
    assert f" {MAX_METADATA_PAIRS} pairs " in described["metadata"]["description"]
    assert f" {MAX_METADATA_BYTES} bytes " in described["metadata"]["description"]


def test_security_schemes_are_those_of_the_code() -> None:
    """Two kinds of bearer tokens, the headers of a signature, and the challenge."""
    schemes = COMPONENTS["securitySchemes"]
    parts = {name: {**scheme, "description": ""} for name, scheme in schemes.items()}
    bearer = {"type": "http", "scheme": "bearer", "description": ""}
    header = {"type": "apiKey", "in": "header", "description": ""}

    tokens = {"submitToken": bearer, "readToken": bearer}
    assert tokens | {name: {**header, "name": name} for name in SIGNATURE_HEADERS} == parts
    challenge = COMPONENTS["headers"]["WWW-Authenticate"]["schema"]
    assert {"const": CHALLENGE["WWW-Authenticate"]} == challenge


# Answers and problems.


def test_headers_are_there_or_may_be() -> None:
    """Some depend on more than the status."""
    headers = COMPONENTS["headers"].items()

    optional = {"Idempotent-Replayed", "Preference-Applied", "Retry-After"}
    assert optional == {name for name, header in headers if header["required"] is False}
    assert all(header["required"] is True for name, header in headers if name not in optional)


@each_operation
def test_each_operation_has_its_answers(name: str) -> None:
    """Those that are no problem: by status and media type, with schema and headers."""
    described = {}
    for status, response in BY_ID[name]["responses"].items():
        if not problems_of(response):
            headers = ANSWER_HEADERS.get((name, status), set())
            assert references({*ALWAYS, *headers}) == response["headers"]
            for media_type, body in response["content"].items():
                schema = body["schema"]
                described[name, status, media_type] = schema.get("type") or schema["$ref"]

    assert described == {
        answer: kind if kind in {"string", "object"} else REF.format(kind)
        for answer, kind in ANSWERS.items()
        if answer[0] == name
    }


@pytest.mark.parametrize(("answer", "statuses"), ANSWERED_STATUSES.items())
def test_answered_records_have_these_statuses(
    answer: tuple[str, str], statuses: list[Status]
) -> None:
    """An event is over with 200, and under way with 202; with an example of each status."""
    name, status = answer
    body = BY_ID[name]["responses"][status]["content"]["application/json"]

    assert {"status": {"type": "string", "examples": statuses}} == body["schema"]["properties"]
    assert statuses == [*body["examples"]]


@each_operation
def test_each_operation_has_its_problems(name: str) -> None:
    """Those of any request, and its own."""
    described = [slug for one in BY_ID[name]["responses"].values() for slug in problems_of(one)]

    assert sorted(ON_ANY_REQUEST | OWN_PROBLEMS[name]) == sorted(described)


def test_problems_are_those_of_the_list() -> None:
    """All of them, and each is one that an operation has."""
    types = [f"/problems/{slug}" for slug in PROBLEMS]

    assert types == SCHEMAS["Problem"]["properties"]["type"]["enum"]
    assert types == SCHEMAS["ProblemPage"]["properties"]["type"]["enum"]
    assert PROBLEMS.keys() == ON_ANY_REQUEST.union(*OWN_PROBLEMS.values())


@each_operation
def test_problems_stand_under_their_status(name: str) -> None:
    """With their types, their headers, and what is answered by the code as the example."""
    for status, response in BY_ID[name]["responses"].items():
        if slugs := problems_of(response):
            (content,) = response["content"].values()
            assert content["schema"] == {
                "$ref": REF.format("Problem"),
                "properties": {
                    "type": {"enum": [f"/problems/{slug}" for slug in slugs]},
                    "status": {"const": int(status)},
                },
            }
            headers = {*ALWAYS}
            for slug, example in slugs.items():
                headers |= {PROBLEM_HEADERS[slug]} if slug in PROBLEM_HEADERS else set()
                headers |= {"Retry-After"} if PROBLEMS[slug].retry_after_seconds else set()
                value = example["value"]
                refusal = ProblemError(slug, errors=value.get("errors"))
                answered = problem_response(refusal, value["request_id"])
                assert int(status) == answered.status_code
                assert json.loads(answered.data) == value
            assert references(headers) == response["headers"]


def references(headers: set[str]) -> Json:
    """Return headers as a response lists them."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
