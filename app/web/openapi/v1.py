"""The routes below ``/v1``: post an event, and look up what became of it."""

import json

from app.chats.record import Status
from app.web.events import DEFAULT_LIMIT, MAX_LIMIT
from app.web.openapi.answers import (
    CHAT_LINK,
    EVENT_LINK,
    SETTLED_OR_HELD,
    UNDER_WAY,
    USER_LINK,
    Json,
    found,
    json_of,
    problems,
    records_of,
)
from app.web.openapi.examples import CHAT_ID, EVENT, EVENT_ID, USER_ID, records
from app.web.openapi.operations import operation, parameter
from app.web.openapi.schemas import TEXT, chat_id, ref
from app.web.reading import KEY_HEADER
from app.web.signatures import HEADERS as SIGNATURE_HEADERS
from app.web.waiting import MAX_WAIT_SECONDS

SUBMIT: list[Json] = [{"submitToken": []}, {name: [] for name in SIGNATURE_HEADERS}]
READ: list[Json] = [{"readToken": []}]

SUBMITTED = (
    "-H \"Authorization: Bearer $SUBMIT_TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n"
)
POSTED = json.dumps({"event_id": EVENT_ID, "user_id": USER_ID})
READING = '-H "Authorization: Bearer $READ_TOKEN"'
LOOK_UP = ("unauthorized", "forbidden", "unavailable")
KEY = "[A-Za-z0-9._:~-]{0,128}"

POST_EVENT = operation(
    "Post an event",
    f"-i \"$RELAY/v1/events\" {SUBMITTED}  -d '{POSTED}'",
    SUBMIT,
    operationId="postEvent",
    tags=["events"],
    description="202 means: it is stored, it will not be lost, and it is under way. A repeat with"
    " the same `event_id` and payload is answered with the record as it stands. After 503, or no"
    " answer at all, repeat it with the same `event_id`.",
    parameters=[
        parameter(
            "header",
            KEY_HEADER,
            "May stand for `event_id`, bare or quoted. Where both are there they must be the same."
            " Of a signed event whose body has none, `webhook-id` is the id, and this header, if"
            " there, must be the same.",
            {**TEXT, "pattern": f'^({KEY}|"{KEY}")$'},
            EVENT_ID,
        ),
        parameter(
            "header",
            "Prefer",
            f"`wait=N` waits up to N seconds, {MAX_WAIT_SECONDS} at most, until the event is"
            " settled or held: one round trip from event to ids. What is not understood is"
            " ignored.",
            TEXT,
            "wait=5",
        ),
        parameter(
            "header",
            "traceparent",
            "The trace that the event belongs to (https://www.w3.org/TR/trace-context/). It is kept"
            " with the event, and goes on to the call of Channel.io. What is not understood is"
            " ignored.",
            TEXT,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ],
    requestBody={
        "required": True,
        "description": "At most 64 KiB, in UTF-8, unencoded.",
        "content": json_of(ref("OpenChatEvent"), EVENT),
    },
    responses={
        "200": found(
            "The event is settled or held.",
            records_of(*SETTLED_OR_HELD),
            *("Location", "Idempotent-Replayed", "Preference-Applied"),
            links={"event": EVENT_LINK, "chatsOfUser": USER_LINK, "chat": CHAT_LINK},
        ),
        "202": found(
            "The event is stored, and under way.",
            records_of(*UNDER_WAY),
            *("Location", "Retry-After", "Idempotent-Replayed", "Preference-Applied"),
            links={"event": EVENT_LINK, "chatsOfUser": USER_LINK},
        ),
        **problems(
            *("unauthorized", "forbidden", "unsupported-media-type", "too-large"),
            *("malformed-json", "body-timeout", "invalid-event", "event-id-reused"),
            *("event-too-old", "backlog-full", "unavailable"),
        ),
    },
)

GET_EVENT = operation(
    "Look an event up",
    f'"$RELAY/v1/events/{EVENT_ID}" {READING}',
    READ,
    operationId="getEvent",
    tags=["look-ups"],
    parameters=[parameter("path", "event_id", "As it was posted.", ref("EventId"), EVENT_ID)],
    responses={
        "200": found("Its record.", records_of(*Status), links={"chatsOfUser": USER_LINK}),
        **problems(*LOOK_UP, "not-found"),
    },
)

GET_CHATS_OF_USER = operation(
    "Look a user's chats up",
    f'"$RELAY/v1/users/{USER_ID}/chats?limit=5" {READING}',
    READ,
    operationId="getChatsOfUser",
    tags=["look-ups"],
    description="The events that opened a chat for the user, newest first. A user of whom nothing"
    " is known has none.",
    parameters=[
        parameter("path", "user_id", "Any id.", {**TEXT, "pattern": "^[^/]+$"}, USER_ID),
        parameter(
            "query",
            "limit",
            "How many at most.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            5,
        ),
    ],
    responses={
        "200": found(
            "Their records.",
            json_of(
                ref("ChatsOfUser"),
                {"user_id": USER_ID, "chats": [records(Status.OPENED)["opened"]["value"]]},
            ),
        ),
        **problems(*LOOK_UP, "not-found", "invalid-parameter"),
    },
)

GET_CHAT = operation(
    "Look a chat up",
    f'"$RELAY/v1/chats/{CHAT_ID}" {READING}',
    READ,
    operationId="getChat",
    tags=["look-ups"],
    description="The event that opened the chat: its published id leads here, a duplicate's not.",
    parameters=[parameter("path", "chat_id", "As a record has it.", chat_id(), CHAT_ID)],
    responses={
        "200": found("The event's record.", records_of(Status.OPENED), links={"event": EVENT_LINK}),
        **problems(*LOOK_UP, "not-found"),
    },
)

PATHS: Json = {
    "/v1/events": {"post": POST_EVENT},
    "/v1/events/{event_id}": {"get": GET_EVENT},
    "/v1/users/{user_id}/chats": {"get": GET_CHATS_OF_USER},
    "/v1/chats/{chat_id}": {"get": GET_CHAT},
}
