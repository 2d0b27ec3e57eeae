"""Differences between Schemathesis and the contract, each with its reason."""

import json
from itertools import count
from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData

from tests.web.beyond_schemas import BEYOND

KEY = "Idempotency-Key"
NUMBERS = count()
POSTED: dict[str, Any] = {}


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Give each valid event one id, and an id of its own: no schema can express that.

    Else hardly an event would get in, and no record ever be looked up.
    """
    body: Any = case.body
    if case.operation.label != "POST /v1/events" or not _is_valid(case):
        return
    if body.get("event_id") is not None:
        case.headers.pop(KEY, None)
        payload = {name: value for name, value in body.items() if name != "occurred_at"}
        if POSTED.setdefault(body["event_id"], payload) != payload:
            body["event_id"] = f"event-{next(NUMBERS)}"
    elif not case.headers.get(KEY, "").strip('"'):
        case.headers[KEY] = f"event-{next(NUMBERS)}"


@schemathesis.hook
def filter_failure(
    _context: HookContext, failure: Failure, _case: Case[Any], response: Response
) -> bool:
    """Keep each failure, unless a valid event was refused for what no schema can express."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = json.loads(response.content)
    faults = {error["detail"] for error in problem.get("errors", [])}
    return not (problem["type"] in BEYOND or (faults and faults <= BEYOND))


def _is_valid(case: Case[Any]) -> bool:
    is_positive = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    return is_positive and isinstance(case.body, dict)
