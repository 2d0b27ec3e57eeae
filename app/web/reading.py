"""Reading of a posted event: from bytes to an ``OpenChatEvent``, or to a refusal with reasons."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from flask import Request
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.chats.event import WRONG_USER, OpenChatEvent
from app.web.problems import ProblemError

MAX_BODY_BYTES = 64 * 1024
MAX_BODIES_BYTES = 32 * 1024 * 1024
JSON = "application/json"
KEY_HEADER = "Idempotency-Key"
SIGNED_ID_HEADER = "webhook-id"
BYTE_ORDER_MARK = "\ufeff"
CUT_OFF = "The body ended early, or its chunks are broken."

# Sentences for pydantic's faults, by type; for the others pydantic's own.
DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "dict_type": "must be an object of strings",
    "string_type": "must be a string",
    "string_unicode": "must be Unicode without lone surrogates",
    "bool_type": "must be true or false",
    "model_type": "must be an object",
}
# And by the field, where a string is not as it must be.
RULES = {
    "event_id": "must be 1 to 128 characters of A-Z a-z 0-9 . _ : ~ -",
    "user_id": "must be 1 to 64 characters of A-Z a-z 0-9 _ -",
    "member_id": "must be 1 to 64 characters, none of them white space or a control character",
    "bot_name": "must be 1 to 30 characters, none of @ # $ % : /",
}


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys came more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: list[str] = []
        if len(self) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self.repeated = [key for key, count in counts.items() if count > 1]


class BodyMemory:
    """The memory of bodies that are being read, of one process: ``limit_bytes`` in all."""

    def __init__(self, limit_bytes: int = MAX_BODIES_BYTES) -> None:
        self._free_bytes = limit_bytes

    @contextmanager
    def reserve(self, size_bytes: int) -> Iterator[None]:
        """Reserve memory for reading a body. Raises ``ProblemError``: unavailable."""
        if size_bytes > self._free_bytes:
            raise ProblemError("unavailable", "Too many bodies are being read; repeat the request.")
        self._free_bytes -= size_bytes
        try:
            yield
        finally:
            self._free_bytes += size_bytes


def check_head(request: Request) -> None:
    """Refuse a body by its head, before any of it is read. Raises ``ProblemError``."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    # JSON has no charset parameter, and one has no effect: RFC 8259, section 11.
    if request.mimetype != JSON or encoding != "identity":
        raise ProblemError("unsupported-media-type")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise ProblemError("too-large")


def read_body(request: Request, memory: BodyMemory) -> bytes:
    """Read the whole body, at most ``MAX_BODY_BYTES``. Raises ``ProblemError``."""
    announced_bytes = request.content_length
    with memory.reserve(MAX_BODY_BYTES if announced_bytes is None else announced_bytes):
        body = _read_stream(request)
    if len(body) > MAX_BODY_BYTES:
        raise ProblemError("too-large")
    if len(body) < (announced_bytes or 0):
        raise ProblemError("malformed-json", CUT_OFF)
    return body


def parse_event(
    request: Request, body: bytes, *, is_signed: bool, bot_name: str | None
) -> OpenChatEvent:
    """Return the event in ``body``; the head may name its id. Raises ``ProblemError``.

    ``bot_name`` is for an open of an event without one of its own.
    """
    content = _parse(body)
    if not isinstance(content, _Object):
        _refuse([{"pointer": "", "detail": "must be an object"}])
    return _validate(content, request, is_signed=is_signed, bot_name=bot_name)


def _read_stream(request: Request) -> bytes:
    # From the server itself: the framework's stream takes the beginning of a body that is too large
    # or ends early for the whole, and a time-out for a broken connection.
    try:
        body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    except (TimeoutError, BlockingIOError) as error:
        raise ProblemError("body-timeout") from error
    except (OSError, ParseException) as error:
        raise ProblemError("malformed-json", CUT_OFF) from error
    return body


def _parse(body: bytes) -> Any:
    try:
        # A byte order mark may be passed over: RFC 8259, section 8.1.
        return _JSON.decode(body.decode().removeprefix(BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8 at byte {error.start}."
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        detail = f"{what} at line {error.lineno}, column {error.colno}."
    except RecursionError:
        detail = "The body is nested too deeply."
    raise ProblemError("malformed-json", detail)


def _refuse_constant(name: str) -> NoReturn:
    raise ProblemError("malformed-json", f"{name} is not JSON.")


# No number is wanted, and as a float none is too large to read.
_JSON = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=float, parse_constant=_refuse_constant
)


def _idempotency_key(request: Request) -> str | None:
    """The header's value, bare or as a quoted string; absent and empty are the same."""
    value = request.headers.get(KEY_HEADER, "").strip()
    quoted = value and re.fullmatch(r'"(.*)"', value)
    return (quoted.group(1) if quoted else value) or None


def _validate(
    content: _Object, request: Request, *, is_signed: bool, bot_name: str | None
) -> OpenChatEvent:
    errors = [*_repeated_keys(content), *_contradictions(content, bot_name)]
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
        # Both users or none: that is described already, beside the other faults.
        errors += [_describe(fault, header) for fault in faults if fault["type"] != WRONG_USER]
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


def _contradictions(content: _Object, bot_name: str | None) -> list[dict[str, str]]:
    """Return the faults of fields that are right by themselves."""
    errors = []
    user_id, member_id = content.get("user_id"), content.get("member_id")
    if user_id is None and member_id is None:
        errors.append({"pointer": "/user_id", "detail": "is required, unless there is a member_id"})
    if user_id is not None and member_id is not None:
        errors.append({"pointer": "/member_id", "detail": "must not be there beside user_id"})
    message = content.get("message")
    own_name = message.get("bot_name") if isinstance(message, _Object) else None
    if content.get("open") is True and own_name is None and bot_name is None:
        detail = "needs a bot name: message.bot_name, or the relay's BOT_NAME"
        errors.append({"pointer": "/open", "detail": detail})
    return errors


def _repeated_keys(content: _Object) -> list[dict[str, str]]:
    pointers = [_pointer(key) for key in content.repeated]
    for name in ("message", "metadata"):
        part = content.get(name)
        if isinstance(part, _Object):
            pointers += [_pointer(name, key) for key in part.repeated]
    return [{"pointer": pointer, "detail": "must not be repeated"} for pointer in pointers]


def _describe(error: ErrorDetails, header: str | None) -> dict[str, str]:
    """Return a fault and its place; ``header`` is the source of the event_id, if not the body."""
    location = [str(part) for part in error["loc"]]
    if location == ["event_id"] and header is not None:
        return {"header": header, "detail": _detail(error)}
    return {"pointer": _pointer(*location), "detail": _detail(error)}


def _detail(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in DETAILS:
        return DETAILS[kind]
    if kind.startswith("string_"):
        return RULES.get(str(error["loc"][-1]), error["msg"])
    return error["msg"]


def _pointer(*path: str) -> str:
    """A JSON pointer, https://www.rfc-editor.org/rfc/rfc6901"""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _refuse(errors: list[dict[str, str]]) -> NoReturn:
    detail = "The event is not valid; errors names every fault."
    raise ProblemError("invalid-event", detail, errors=errors)
