"""Addresses answer the methods that they have, and say which those are."""

import pytest

from tests.web.service import BOTH_TOKEN, Service, slug

ALLOWED = {
    "/v1/events": "POST",
    "/v1/events/e": "GET, HEAD",
    "/v1/users/u/chats": "GET, HEAD",
    "/v1/chats/c": "GET, HEAD",
    "/livez": "GET, HEAD",
    "/readyz": "GET, HEAD",
    "/problems/not-found": "GET, HEAD",
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO"]


@pytest.mark.parametrize("path", ALLOWED)
def test_other_methods_are_refused(service: Service, path: str) -> None:
    """405 with ``Allow``, for those made up as well."""
    for method in METHODS:
        if method not in ALLOWED[path].split(", "):
            response = service.caller.open(
                path, method=method, headers={"Authorization": f"Bearer {BOTH_TOKEN}"}
            )
            assert slug(response) == "method-not-allowed"
            assert response.headers["Allow"] == ALLOWED[path]


@pytest.mark.parametrize("path", [path for path in ALLOWED if "HEAD" in ALLOWED[path]])
def test_head_answers_as_get_without_a_body(service: Service, path: str) -> None:
    """The same status and headers."""
    headers = {"Authorization": f"Bearer {BOTH_TOKEN}"}
    get, head = (service.caller.open(path, method=m, headers=headers) for m in ("GET", "HEAD"))

    assert get.status_code == head.status_code
    assert get.headers == head.headers
    assert get.data
    assert not head.data


@pytest.mark.parametrize(
    "path",
    [
        "/",
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
def test_other_addresses_are_not_found(service: Service, path: str) -> None:
    """404 outside of ``/v1`` for everybody, and never a redirect."""
    assert slug(service.caller.get(path)) == "not-found"


@pytest.mark.parametrize("path", ["/v1//events", "/v1/events/", "/v1/users//chats", "/v1/users/u/"])
def test_addresses_are_taken_as_they_are(service: Service, path: str) -> None:
    """A slash too many is another address, and not silently the one that was meant."""
    assert slug(service.get(path)) == "not-found"
