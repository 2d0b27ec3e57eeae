"""What bodies look like as JSON Schema, from the models that validate them and are answered.

The models know more than pydantic tells of them: what it leaves out is added here.
https://spec.openapis.org/oas/v3.1.0#schema-object
"""

from typing import Any

from pydantic import TypeAdapter

from app.chats.event import MAX_METADATA_BYTES, MAX_METADATA_PAIRS, OpenChatEvent
from app.chats.record import MAX_CHAT_ID_CHARACTERS, Record
from app.web.openapi.meanings import MEANINGS
from app.web.problems import PROBLEMS

Schema = dict[str, Any]

TEXT = {"type": "string"}
NULL = {"type": "null"}
TEMPLATE = "#/components/schemas/{model}"

# RFC 3339 as `app.chats.event` reads it, and as `time_as_json` writes it.
GIVEN_TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
ANSWERED_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"

# The longest string that metadata can hold: alone, beside an empty one.
MAX_METADATA_CHARACTERS = MAX_METADATA_BYTES - len('{"":""}')


def schemas() -> dict[str, Schema]:
    """All of ``components/schemas``, what is posted and answered most first."""
    found = _event_schemas() | _record_schemas() | _other_schemas()
    for name, meanings in MEANINGS.items():
        found[name]["description"] = meanings[""]
        for field, schema in found[name].get("properties", {}).items():
            if field in meanings:
                schema["description"] = meanings[field]
    return {name: found[name] for name in dict.fromkeys((*MEANINGS, *found))}


def ref(name: str) -> Schema:
    """A reference to one of them."""
    return {"$ref": TEMPLATE.format(model=name)}


def answered(properties: Schema) -> Schema:
    """An object with at least these fields: more may be added one day."""
    return {"type": "object", "required": [*properties], "properties": properties}


def _event_schemas() -> dict[str, Schema]:
    event = _bare(OpenChatEvent.model_json_schema(ref_template=TEMPLATE))
    fields = event["properties"]
    event_id = {**fields["event_id"], "not": {"enum": [".", ".."]}, "examples": ["refund-7731"]}
    user_id = {**fields["user_id"], "examples": ["6606508eaa71575f1e8c"]}
    # The header may stand for the id, and null is absent.
    event["required"] = ["user_id"]
    fields["event_id"] = _or_null(ref("EventId"))
    fields["user_id"] = ref("UserId")
    fields["occurred_at"] = _or_null(_time(GIVEN_TIME))
    text = {**TEXT, "maxLength": MAX_METADATA_CHARACTERS}
    metadata: Schema = {"type": "object", "maxProperties": MAX_METADATA_PAIRS}
    metadata |= {"additionalProperties": text, "propertyNames": text}
    fields["metadata"] = _or_null(ref("Metadata"))
    own = {"OpenChatEvent": event, "EventId": event_id, "UserId": user_id, "Metadata": metadata}
    return {**event.pop("$defs"), **own}


def _record_schemas() -> dict[str, Schema]:
    record = _bare(TypeAdapter(Record).json_schema(mode="serialization", ref_template=TEMPLATE))
    found: dict[str, Schema] = record.pop("$defs")
    kept, chat = record["properties"], found["Chat"]["properties"]
    sessions = {name: chat.pop(name) for name in ("session", "user_session")}
    chat["id"] = chat_id()
    kept["duplicate_chat_ids"]["items"] = chat_id()
    kept["attempts"]["minimum"] = 0
    # The answer shows the sessions beside their chat, and times in one form.
    fields: Schema = {}
    for name, schema in kept.items():
        fields |= {name: schema} | (sessions if name == "chat" else {})
    fields |= {"event_id": ref("EventId"), "user_id": ref("UserId"), "metadata": ref("Metadata")}
    fields["accepted_at"] = _time(ANSWERED_TIME)
    fields |= {name: _or_null(_time(ANSWERED_TIME)) for name in ("settled_at", "expires_at")}
    objects = {"Record": fields} | {
        n: found[n]["properties"] for n in ("Chat", "Session", "Failure")
    }
    return {**found, **{name: answered(properties) for name, properties in objects.items()}}


def _other_schemas() -> dict[str, Schema]:
    chats = {"user_id": TEXT, "chats": {"type": "array", "items": ref("Record")}}
    parts = [
        answered({place: TEXT, "detail": TEXT}) for place in ("pointer", "header", "parameter")
    ]
    parts.append(answered({"check": TEXT}))
    types = [f"/problems/{slug}" for slug in PROBLEMS]
    problem = {"type": {"enum": types}, "title": TEXT, "status": {"type": "integer"}}
    page = {**problem, "meaning": TEXT, "remedy": TEXT}
    refusal = answered({**problem, "detail": TEXT})
    refusal["properties"]["errors"] = {"type": "array", "items": {"oneOf": parts}}
    ready = {"status": {"const": "ok"}, "warnings": {"type": "array", "items": TEXT}}
    return {
        "ChatsOfUser": answered(chats),
        "Problem": refusal | {"description": "https://www.rfc-editor.org/rfc/rfc9457"},
        "ProblemPage": answered(page),
        "Alive": answered({"status": {"const": "ok"}}),
        "Ready": answered(ready),
    }


def chat_id() -> Schema:
    """The schema of a chat's id."""
    return {
        **TEXT,
        "pattern": "^[^/]+$",
        "minLength": 1,
        "maxLength": MAX_CHAT_ID_CHARACTERS,
        "examples": ["6606508eaa71575f1e8d"],
    }


def _time(pattern: str) -> Schema:
    return {**TEXT, "format": "date-time", "pattern": pattern}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}


def _bare(schema: Any) -> Any:
    """``schema`` without pydantic's titles and defaults, which only repeat names and say null."""
    if isinstance(schema, list):
        return [_bare(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _bare(part) for name, part in schema.items() if name not in {"title", "default"}}
