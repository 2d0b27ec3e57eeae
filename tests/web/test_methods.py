"""Tests of methods: each path answers its own, and lists them in ``Allow``."""

import re

import pytest

from tests.web.service import BOTH_TOKEN, WebService, slug

ALLOWED = {
    "/v1/events": "POST",
    "/v1/events/e": "GET, HEAD",
    "/v1/users/u/chats": "GET, HEAD",
    "/v1/chats/c": "GET, HEAD",
    "/livez": "GET, HEAD",
    "/readyz": "GET, HEAD",
    "/metrics": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
    "/docs": "GET, HEAD",
    "/problems/not-found": "GET, HEAD",
    "/": "GET, HEAD",
}
# Refused for other reasons than their method: 401, 404, 404, 422, 404.
REFUSED = [
    "/v1/events/unauthorized",
    "/v1/events/none",
    "/v1/nowhere",
    "/v1/users/u/chats?limit=0",
    "/nowhere",
]
# So that two answers have the same id.
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO"]


@pytest.mark.parametrize("path", ALLOWED)
def test_other_methods_are_refused(service: WebService, path: str) -> None:
    """405 with ``Allow``, for those made up as well."""
    for method in METHODS:
        if method not in ALLOWED[path].split(", "):
            response = service.caller.open(
                path, method=method, headers={"Authorization": f"Bearer {BOTH_TOKEN}"}
            )
            assert slug(response) == "method-not-allowed"
            assert response.headers["Allow"] == ALLOWED[path]


@pytest.mark.parametrize("path", [*(path for path in ALLOWED if "HEAD" in ALLOWED[path]), *REFUSED])
def test_head_answers_as_get_without_a_body(service: WebService, path: str) -> None:
    """The same status and headers, of a refusal too."""
    headers = {"traceparent": TRACE}
    if not path.endswith("/unauthorized"):
        headers["Authorization"] = f"Bearer {BOTH_TOKEN}"
    get, head = (service.caller.open(path, method=m, headers=headers) for m in ("GET", "HEAD"))

    if path == "/metrics":  # which counts its requests
        get.headers["Content-Length"] = head.headers["Content-Length"]
    assert get.status_code == head.status_code
    assert get.headers == head.headers
    assert get.data
    assert not head.data


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/events",
        "/v2/events",
        "/livez/",
        "/LIVEZ",
        "/%00",
        "/%ff",
        "/.env",
    ],
)
def test_other_addresses_are_not_found(service: WebService, path: str) -> None:
    """404 outside of ``/v1`` for every caller, and never a redirect."""
    response = service.caller.get(path)

    assert "not-found" == slug(response)
    assert "No route has this path: /docs lists them." == response.get_json(force=True)["detail"]


@pytest.mark.parametrize("path", ["/v1//events", "/v1/events/", "/v1/users//chats", "/v1/users/u/"])
def test_addresses_are_taken_as_they_are(service: WebService, path: str) -> None:
    """A slash too many is another address, and not silently the one that was meant."""
    assert slug(service.get(path)) == "not-found"


def test_the_root_leads_to_the_page(service: WebService) -> None:
    """A browser that opens the service's address finds out what it is."""
    response = service.caller.get("/")

    assert (302, "/docs") == (response.status_code, response.headers["Location"])
    assert 200 == service.caller.get(response.headers["Location"]).status_code


@pytest.mark.parametrize("path", [*ALLOWED, *REFUSED])
def test_every_answer_has_the_id_of_its_request(service: WebService, path: str) -> None:
    """The trace's that the caller names; else one of its own."""
    answers = [
        service.caller.get(path, headers={"traceparent": trace}) for trace in (TRACE, "", "", "x")
    ]

    first, *others = [answer.headers["Request-Id"] for answer in answers]
    assert TRACE.split("-")[1] == first
    assert 3 == len({*others} - {first})
    assert all(re.fullmatch("[0-9a-f]{32}", other) for other in others)
    for answer in answers:
        if answer.mimetype == "application/problem+json":
            assert answer.get_json()["request_id"] == answer.headers["Request-Id"]
