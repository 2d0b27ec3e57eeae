"""What each operation answers: statuses, headers, bodies, and the problems of the one list."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from app.chats.record import Status
from app.web.callers import CHALLENGE
from app.web.openapi import examples
from app.web.openapi.schemas import TEXT, Schema, ref
from app.web.problems import PROBLEMS, Problem

Json = dict[str, Any]

NATURAL = {"type": "integer", "minimum": 0}
HEADERS: dict[str, tuple[str, Schema]] = {
    "Cache-Control": ("Every answer is of its moment.", {"const": "no-store"}),
    "Location": ("Where the record is looked up.", {**TEXT, "pattern": "^/v1/events/"}),
    "Retry-After": ("After how many seconds to ask or to send again.", NATURAL),
    "Idempotent-Replayed": ("There where the event was known already.", {"const": "true"}),
    "Preference-Applied": (
        "There where `Prefer: wait` was followed, with the seconds as applied.",
        {**TEXT, "pattern": "^wait=([1-9]|[12][0-9]|30)$"},
    ),
    "WWW-Authenticate": ("How to authenticate.", {"const": CHALLENGE["WWW-Authenticate"]}),
    "Allow": ("The methods that the address has.", TEXT),
}
OPTIONAL = {"Idempotent-Replayed", "Preference-Applied"}

# Whatever is asked for.
ALWAYS = ("bad-request", "method-not-allowed", "internal-error")
OF_PROBLEM = {"unauthorized": "WWW-Authenticate", "method-not-allowed": "Allow"}
SETTLED_OR_HELD = (Status.OPENED, Status.FAILED, Status.UNKNOWN)
UNDER_WAY = (Status.ACCEPTED, Status.CALLING)

EVENT_LINK = {"operationId": "getEvent", "parameters": {"event_id": "$response.body#/event_id"}}
USER_LINK = {"operationId": "getChatsOfUser", "parameters": {"user_id": "$response.body#/user_id"}}
CHAT_LINK = {"operationId": "getChat", "parameters": {"chat_id": "$response.body#/chat/id"}}


def headers() -> Json:
    """All of ``components/headers``."""
    return {
        name: {"description": meaning, "required": name not in OPTIONAL, "schema": schema}
        for name, (meaning, schema) in HEADERS.items()
    }


def found(description: str, media_types: Mapping[str, Json], *names: str, **parts: Json) -> Json:
    """An answer that is no problem: its headers, and its bodies by media type."""
    wanted = ("Cache-Control", *names)
    listed = {name: {"$ref": f"#/components/headers/{name}"} for name in wanted}
    return {"description": description, "headers": listed, "content": dict(media_types), **parts}


def json_of(schema: Schema, shown: Any = None) -> dict[str, Json]:
    """A body of JSON, with what it may look like."""
    return {"application/json": {"schema": schema} | ({"example": shown} if shown else {})}


def records_of(*statuses: Status) -> dict[str, Json]:
    """A record in one of these statuses."""
    schema = ref("Record") | {"properties": {"status": {"enum": list(statuses)}}}
    return {"application/json": {"schema": schema, "examples": examples.records(*statuses)}}


def problems(*slugs: str) -> dict[str, Json]:
    """These problems, and those that any request can meet, by status."""
    wanted = sorted((PROBLEMS[slug] for slug in (*slugs, *ALWAYS)), key=lambda p: p.status)
    return {
        str(status): _refused(status, list(listed))
        for status, listed in groupby(wanted, key=lambda p: p.status)
    }


def _refused(status: int, listed: list[Problem]) -> Json:
    schema = ref("Problem") | {
        "properties": {
            "type": {"enum": [f"/problems/{problem.slug}" for problem in listed]},
            "status": {"const": status},
        }
    }
    shown = {problem.slug: examples.problem(problem.slug) for problem in listed}
    content = {"application/problem+json": {"schema": schema, "examples": shown}}
    description = "; or ".join(problem.title for problem in listed) + "."
    return found(description, content, *_headers_of(listed))


def _headers_of(listed: Iterable[Problem]) -> list[str]:
    repeatable = {"Retry-After" for problem in listed if problem.retry_after_seconds}
    return sorted(repeatable | {OF_PROBLEM[p.slug] for p in listed if p.slug in OF_PROBLEM})
