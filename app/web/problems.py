"""Problems, as RFC 9457 has them: https://www.rfc-editor.org/rfc/rfc9457

``problems.yaml`` lists them. The business has no HTTP statuses: one table here maps its errors.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from flask import Response

from app.chats.errors import (
    BacklogFull,
    EventIdReused,
    EventTooOld,
    RelayError,
    StoreUnavailable,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem: its status, its meaning, and what the reader can do."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str
    retry_after_seconds: int | None = None


_LISTED: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("problems.yaml").read_text(encoding="utf-8")
)
PROBLEMS = {slug: Problem(slug, **fields) for slug, fields in _LISTED.items()}

PROBLEM_OF_ERROR: dict[type[RelayError], str] = {
    EventIdReused: "event-id-reused",
    EventTooOld: "event-too-old",
    BacklogFull: "backlog-full",
    StoreUnavailable: "unavailable",
}

# The whole detail of a field that differs: the stored payload may be another caller's.
DIFFERS = "differs from the accepted event"

PROBLEM_OF_STATUS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    408: "body-timeout",
    413: "too-large",
    414: "uri-too-long",
    415: "unsupported-media-type",
    417: "expectation-failed",
    431: "headers-too-large",
    500: "internal-error",
    501: "not-implemented",
}


class ProblemError(Exception):
    """Ends a request with a problem; ``errors`` and ``headers`` go with the answer."""

    def __init__(
        self,
        slug: str,
        detail: str | None = None,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(slug)
        self.problem = PROBLEMS[slug]
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}


def problem_for(error: RelayError) -> ProblemError:
    """Return the problem for an error of the business or the store."""
    slug = next(PROBLEM_OF_ERROR[kind] for kind in type(error).__mro__ if kind in PROBLEM_OF_ERROR)
    if isinstance(error, StoreUnavailable):
        # Redis' own words are for the log.
        return ProblemError(slug)
    errors = None
    if isinstance(error, EventIdReused):
        errors = [{"pointer": pointer, "detail": DIFFERS} for pointer in error.pointers]
    return ProblemError(slug, f"{error}.", errors=errors)


def problem_body(error: ProblemError, request_id: str) -> bytes:
    """Return the problem as ``application/problem+json``."""
    problem = error.problem
    content: dict[str, Any] = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail or problem.remedy,
        "request_id": request_id,
    }
    if error.errors:
        content["errors"] = error.errors
    return json.dumps(content).encode() + b"\n"


def problem_response(error: ProblemError, request_id: str) -> Response:
    """Return the response to a refused request."""
    problem = error.problem
    response = Response(
        problem_body(error, request_id),
        status=problem.status,
        mimetype="application/problem+json",
    )
    if problem.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(problem.retry_after_seconds)
    response.headers.update(error.headers)
    return response
