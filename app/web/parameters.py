"""Parameters in the query and the path of a request below ``/v1``, checked."""

from flask import Request
from pydantic import TypeAdapter, ValidationError
from werkzeug.routing import BaseConverter

from app.chats.event import MemberId, UserId
from app.web.problems import ProblemError
from app.web.reading import RULES

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
NOT_UTF8 = "must be percent-encoded UTF-8"

_IDS: dict[str, TypeAdapter[str]] = {
    "user_id": TypeAdapter(UserId),
    "member_id": TypeAdapter(MemberId),
}


class AnyPathConverter(BaseConverter):
    """A part of the path that may have slashes, also at its beginning and its end.

    https://werkzeug.palletsprojects.com/en/stable/routing/#custom-converters
    """

    regex = "(?s:.+)"
    part_isolating = False


def reject_parameters(request: Request) -> None:
    """Check that the query is empty. Raises ``ProblemError``: invalid-parameter."""
    _refuse(_query_errors(request, known=set()))


def read_limit(request: Request, **ids: str) -> int:
    """Return the query's limit, and check the path's ids with it. Raises ``ProblemError``."""
    errors = _query_errors(request, known={"limit"})
    limit = _parse_limit(request.args.get("limit", str(DEFAULT_LIMIT)))
    if limit is None:
        errors.append(_error("limit", f"must be a number from 1 to {MAX_LIMIT}"))
    if _is_utf8(request):
        wrong = [name for name, text in ids.items() if not _is_id(name, text)]
        errors += [_error(name, RULES[name]) for name in wrong]
    else:
        errors += [_error(name, NOT_UTF8) for name in ids]
    _refuse(errors)
    return limit or DEFAULT_LIMIT


def _query_errors(request: Request, known: set[str]) -> list[dict[str, str]]:
    unknown = [name for name in request.args if name not in known]
    errors = [_error(name, "is not a known parameter") for name in unknown]
    repeated = [name for name in known if len(request.args.getlist(name)) > 1]
    return errors + [_error(name, "must not be repeated") for name in repeated]


def _parse_limit(text: str) -> int | None:
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_LIMIT)):
        limit = int(text)
        if 1 <= limit <= MAX_LIMIT:
            return limit
    return None


def _is_utf8(request: Request) -> bool:
    """Check the path as it came: Werkzeug puts U+FFFD, which an id may have, for other bytes.

    WSGI's strings have a byte in each character: https://peps.python.org/pep-3333/#unicode-issues
    """
    try:
        request.environ["PATH_INFO"].encode("latin-1").decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_id(name: str, text: str) -> bool:
    try:
        _IDS[name].validate_python(text)
    except ValidationError:
        return False
    return True


def _error(parameter: str, detail: str) -> dict[str, str]:
    return {"parameter": parameter, "detail": detail}


def _refuse(errors: list[dict[str, str]]) -> None:
    if errors:
        detail = "A parameter is not valid; errors names every fault."
        raise ProblemError("invalid-parameter", detail, errors=errors)
