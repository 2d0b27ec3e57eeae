"""Every problem that the service answers with, as RFC 9457 has it: https://www.rfc-editor.org/rfc/rfc9457

One list: the answers, the pages at ``/problems/<slug>`` and ``docs/problems.md`` come from it.
"""

import json
from dataclasses import dataclass
from typing import Any

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
    """One kind of problem: its status, what it means, and what the reader can do."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str
    retry_after_seconds: int | None = None


PROBLEMS = {
    problem.slug: problem
    for problem in (
        Problem(
            "unauthorized",
            401,
            "The caller is not known",
            "The request carries no bearer token, or one that the relay does not know.",
            "Send `Authorization: Bearer <token>` with a token from SUBMIT_TOKENS or READ_TOKENS.",
        ),
        Problem(
            "forbidden",
            403,
            "The caller may not do this",
            "The token is known, but not for this: submitting takes a token from SUBMIT_TOKENS,"
            " looking up one from READ_TOKENS.",
            "Use a token with that right, or ask the relay's operators for one.",
        ),
        Problem(
            "not-found",
            404,
            "There is no such thing here",
            "No route has this address; or no event or chat with this id is kept. Records go when"
            " the deduplication window after their settling is over.",
            "Check the id and the address. An event answered with 202 or 200 is found until its"
            " `expires_at`.",
        ),
        Problem(
            "method-not-allowed",
            405,
            "The method is not served here",
            "The address exists, but not for this method.",
            "Use one of the methods in the `Allow` header.",
        ),
        Problem(
            "unsupported-media-type",
            415,
            "The body is not declared as plain JSON",
            "An event is posted as `Content-Type: application/json` in UTF-8, without a"
            " `Content-Encoding`.",
            "Send `Content-Type: application/json`, and the body unencoded.",
        ),
        Problem(
            "too-large",
            413,
            "The body is too large",
            "A body may have 64 KiB. Nothing was stored.",
            "Send less; `metadata` may have at most 1 KiB anyway.",
        ),
        Problem(
            "malformed-json",
            400,
            "The body is not JSON",
            "The body is not valid JSON in UTF-8, or is nested too deeply. Nothing was stored.",
            "Send one JSON object; `detail` says where reading it failed.",
        ),
        Problem(
            "body-timeout",
            408,
            "The body did not come",
            "The request announced a body that did not arrive in time. Nothing was stored.",
            "Send the request again, with the same `event_id`.",
        ),
        Problem(
            "invalid-event",
            422,
            "The event is not valid",
            "Fields are missing, unknown, repeated, or not as they must be; `errors` names every"
            " one. Nothing was stored.",
            "Correct what `errors` names, and post again.",
        ),
        Problem(
            "invalid-parameter",
            422,
            "A parameter is not valid",
            "A part of the address is not as it must be; `errors` names it.",
            "Correct what `errors` names, and ask again.",
        ),
        Problem(
            "event-id-reused",
            422,
            "The event_id stands for another event",
            "An event with this `event_id` was accepted before, with another `user_id`,"
            " `on_unknown` or `metadata`. The first one stands; nothing of this one was stored.",
            "Give a new event a new `event_id`; repeat an event exactly as it was first sent.",
        ),
        Problem(
            "event-too-old",
            422,
            "The event is older than the relay's memory",
            "`occurred_at` lies before the deduplication window (RECORD_TTL_SECONDS), and the id is"
            " not known: the event may have been done and forgotten, so it is not done again.",
            "If a chat is really wanted now, post a new event with a new `event_id`.",
        ),
        Problem(
            "backlog-full",
            429,
            "Too many events wait",
            "MAX_BACKLOG events are waiting for their call. Nothing was stored.",
            "Wait as long as `Retry-After` says, and repeat with the same `event_id`.",
            retry_after_seconds=10,
        ),
        Problem(
            "unavailable",
            503,
            "Not confirmed",
            "The relay could not confirm it with Redis. An event that was posted may have been"
            " accepted, or not.",
            "Repeat with the same `event_id`: it is accepted once, however often it is sent.",
            retry_after_seconds=1,
        ),
        Problem(
            "not-ready",
            503,
            "The relay cannot accept events now",
            "A check of `/readyz` fails; `errors` names each one.",
            "See that Redis is reachable, and that its maxmemory-policy is noeviction.",
            retry_after_seconds=1,
        ),
        Problem(
            "bad-request",
            400,
            "The request cannot be read",
            "The request is broken in a way that no other problem describes.",
            "Check how the request is made; `detail` may say more.",
        ),
        Problem(
            "internal-error",
            500,
            "The relay failed",
            "This is a fault of the relay, and it is in its log.",
            "Repeat with the same `event_id`; tell the relay's operators if it happens again.",
        ),
    )
}

OF_ERROR: dict[type[RelayError], str] = {
    EventIdReused: "event-id-reused",
    EventTooOld: "event-too-old",
    BacklogFull: "backlog-full",
    StoreUnavailable: "unavailable",
}

OF_STATUS = {
    404: "not-found",
    405: "method-not-allowed",
}


class Refusal(Exception):
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


def refusal_of(error: RelayError) -> Refusal:
    """The answer to what the business refused or Redis did not confirm."""
    slug = next(OF_ERROR[kind] for kind in type(error).__mro__ if kind in OF_ERROR)
    # What Redis said is for the log; the caller needs to know only that it is not confirmed.
    return Refusal(slug, None if isinstance(error, StoreUnavailable) else f"{error}.")


def answer(refusal: Refusal) -> Response:
    """The problem as the response to this request."""
    problem = refusal.problem
    content: dict[str, Any] = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": refusal.detail or problem.remedy,
    }
    if refusal.errors is not None:
        content["errors"] = refusal.errors
    response = Response(
        json.dumps(content), status=problem.status, mimetype="application/problem+json"
    )
    if problem.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(problem.retry_after_seconds)
    response.headers.update(refusal.headers)
    return response
