"""From the bytes of a request to an ``OpenChatEvent``, or to a refusal that names what is wrong."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from flask import Request
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.chats.event import OpenChatEvent
from app.web.problems import Refusal

MAX_BODY_BYTES = 64 * 1024
JSON = "application/json"
KEY_HEADER = "Idempotency-Key"
SIGNED_ID_HEADER = "webhook-id"
CUT_OFF = "The body ended early, or its chunks are broken, or too many and small."
CLOSE = {"Connection": "close"}

# What the caller is told of pydantic's faults, by their type; the others have words of ours.
DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "dict_type": "must be an object of strings",
    "string_type": "must be a string",
    "string_unicode": "must be Unicode without lone surrogates",
}
# And by the field, where a string is not as it must be.
RULES = {
    "event_id": "must be 1 to 128 characters of A-Z a-z 0-9 . _ : ~ -",
    "user_id": "must be 1 to 64 characters of A-Z a-z 0-9 _ -",
}


OpenChatEvent.model_rebuild()  # now, and not while the first events come


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys came more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: list[str] = []
        if len(self) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self.repeated = [key for key, count in counts.items() if count > 1]


def read_event(request: Request, prove: Callable[[bytes], None] | None = None) -> OpenChatEvent:
    """Return the event that ``request`` posts, after ``prove`` of its body if it is signed.

    Raises ``Refusal``.
    """
    _check_media_type(request)
    body = _read_body(request)
    if prove is not None:
        prove(body)
    content = _parse(body)
    if not isinstance(content, _Object):
        _refuse([{"pointer": "", "detail": "must be an object"}])
    return _validate(content, request, is_signed=prove is not None)


def _check_media_type(request: Request) -> None:
    # Looked for where the server put it: this way is that of nearly all requests, and shorter.
    given = request.environ
    if given.get("CONTENT_TYPE") == JSON and "HTTP_CONTENT_ENCODING" not in given:
        return
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if request.mimetype != JSON or charset != "utf-8" or encoding != "identity":
        raise Refusal("unsupported-media-type")


def _read_body(request: Request) -> bytes:
    # A length that is too large is refused unread; without one at most one byte too many is read.
    announced_bytes = request.content_length or 0
    if announced_bytes > MAX_BODY_BYTES:
        raise Refusal("too-large")
    body = _read_stream(request)
    if len(body) > MAX_BODY_BYTES:
        raise Refusal("too-large")
    if len(body) < announced_bytes:
        raise Refusal("malformed-json", CUT_OFF, headers=CLOSE)
    return body


def _read_stream(request: Request) -> bytes:
    # From the server itself: the framework's stream passes off the beginning of a body that is too
    # large or ends early as the whole, and a time-out as a broken connection.
    try:
        body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    except (TimeoutError, BlockingIOError) as error:
        raise Refusal("body-timeout", headers=CLOSE) from error
    except (OSError, ParseException) as error:
        raise Refusal("malformed-json", CUT_OFF, headers=CLOSE) from error
    return body


def _parse(body: bytes) -> Any:
    try:
        return _JSON.decode(body.decode())
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8 at byte {error.start}."
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        detail = f"{what} at line {error.lineno}, column {error.colno}."
    except RecursionError:
        detail = "The body is nested too deeply."
    raise Refusal("malformed-json", detail)


def _refuse_constant(name: str) -> NoReturn:
    raise Refusal("malformed-json", f"{name} is not JSON.")


# No number is wanted, and as a float none is too large to read.
_JSON = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=float, parse_constant=_refuse_constant
)


def _idempotency_key(request: Request) -> str | None:
    """The header's value, bare or as a quoted string; absent and empty are the same."""
    value = request.environ.get("HTTP_IDEMPOTENCY_KEY", "").strip()
    quoted = value and re.fullmatch(r'"(.*)"', value)
    return (quoted.group(1) if quoted else value) or None


def _validate(content: _Object, request: Request, *, is_signed: bool) -> OpenChatEvent:
    errors = _repeated_keys(content)
    header = None
    if content.get("event_id") is None:
        content.pop("event_id", None)  # null is none, also where no header has one
        header = _take_event_id(content, request, is_signed=is_signed)
    if _idempotency_key(request) not in (None, content.get("event_id")):
        differs = f"differs from {header or 'event_id in the body'}"
        errors.append({"header": KEY_HEADER, "detail": differs})
    try:
        event = OpenChatEvent.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        errors += [_describe(fault, header) for fault in faults]
    if errors:
        _refuse(errors)
    return event


def _take_event_id(content: _Object, request: Request, *, is_signed: bool) -> str | None:
    """Take the ``event_id`` from a header, and return the header's name, if there is one.

    Of a signed request only what is signed can name the event: a replay under another key would be
    another event.
    """
    if is_signed:
        content["event_id"] = request.headers[SIGNED_ID_HEADER]
        return SIGNED_ID_HEADER
    key = _idempotency_key(request)
    if key is None:
        return None
    content["event_id"] = key
    return KEY_HEADER


def _repeated_keys(content: _Object) -> list[dict[str, str]]:
    metadata = content.get("metadata")
    pointers = [_pointer(key) for key in content.repeated]
    if isinstance(metadata, _Object):
        pointers += [_pointer("metadata", key) for key in metadata.repeated]
    return [{"pointer": pointer, "detail": "must not be repeated"} for pointer in pointers]


def _describe(error: ErrorDetails, header: str | None) -> dict[str, str]:
    """Say what is wrong and where; ``header`` is where the event_id came from, if not the body."""
    location = [str(part) for part in error["loc"]]
    if location == ["event_id"] and header is not None:
        return {"header": header, "detail": _detail(error)}
    return {"pointer": _pointer(*location), "detail": _detail(error)}


def _detail(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in DETAILS:
        return DETAILS[kind]
    return RULES[str(error["loc"][0])] if kind.startswith("string_") else error["msg"]


def _pointer(*path: str) -> str:
    """A JSON pointer, https://www.rfc-editor.org/rfc/rfc6901"""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _refuse(errors: list[dict[str, str]]) -> NoReturn:
    detail = "The event is not valid; errors names every fault."
    raise Refusal("invalid-event", detail, errors=errors)
