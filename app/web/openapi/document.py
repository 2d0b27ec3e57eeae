"""The whole document, and the answer at ``/openapi.json``."""

import json
from functools import cache
from typing import Any

from flask import Response

from app.web.openapi import service, v1
from app.web.openapi.answers import headers
from app.web.openapi.schemas import schemas
from app.web.signatures import HEADERS as SIGNATURE_HEADERS

DESCRIPTION = """\
Post an event, "open a chat for this user": the relay accepts each event once, has Channel.io make\
 the chat, and keeps the ids for look-ups.

Channel.io makes a new chat at every call. So the relay calls a second time only where the first\
 call surely did nothing, or where somebody consented; and where nobody can know what a call did,\
 the record says `unknown`.

Every GET is answered to HEAD as well, without the body. Below `/v1` the caller is asked for\
 first: to strangers everything is 401, whatever is there. Errors are problems as in RFC 9457;\
 their `type` is an address of this service. Only what is no HTTP, or more of it than is read, is\
 answered otherwise, with a bare 400, 414, 417, 431 or 501."""

WEBHOOKS = "https://www.standardwebhooks.com"
SECURITY_SCHEMES = {
    "submitToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of SUBMIT_TOKENS. A token may be in both lists.",
    },
    "readToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of READ_TOKENS. A token may be in both lists.",
    },
} | {
    name: {
        "type": "apiKey",
        "in": "header",
        "name": name,
        "description": f"A part of a signature by Standard Webhooks ({WEBHOOKS}), made with a"
        " secret of WEBHOOK_SECRETS. A bearer token, when there is one, decides instead.",
    }
    for name in SIGNATURE_HEADERS
}


@cache
def document() -> dict[str, Any]:
    """The document, which is the same for as long as the process lives; nobody may change it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "chat-relay", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "events", "description": "Post an event."},
            {"name": "look-ups", "description": "Find what became of it."},
            {"name": "service", "description": "Open to all."},
        ],
        "paths": v1.PATHS | service.PATHS,
        "components": {
            "schemas": schemas(),
            "headers": headers(),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


@cache
def _body() -> bytes:
    return json.dumps(document()).encode()


def openapi_json() -> Response:
    """Answer with the document."""
    return Response(_body(), mimetype="application/json")
