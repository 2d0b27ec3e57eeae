"""Tests of scopes: each request needs a token that has the right."""

import hmac
import re

import pytest
from flask import Flask, Response
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.web.application import add_routes, respond_with_problem
from app.web.authentication import Authenticator, Scope
from app.web.problems import ProblemError
from app.web.request_context import RelayRequest
from tests.web.service import (
    BOTH_TOKEN,
    EVENT,
    READ_TOKEN,
    SUBMIT_TOKEN,
    TOKENS,
    WebService,
    slug,
)

# The scope that each route needs; none: open to all.
SCOPES = {
    "/v1/events": Scope.SUBMIT,
    "/v1/events/<event_id>": Scope.READ,
    "/v1/users/<user_id>/chats": Scope.READ,
    "/v1/members/<any_path:member_id>/chats": Scope.READ,
    "/v1/chats/<chat_id>": Scope.READ,
    "/livez": None,
    "/readyz": None,
    "/metrics": None,
    "/openapi.json": None,
    "/docs": None,
    "/problems/<slug>": None,
    "/": None,
}
TOKENS_OF = {Scope.SUBMIT: SUBMIT_TOKEN, Scope.READ: READ_TOKEN}
LOOK_UPS = [
    *("/v1/events/refund-7731", "/v1/users/u/chats", "/v1/members/m/chats", "/v1/chats/c"),
]
CHALLENGE = 'Bearer realm="chat-relay"'


def is_challenged(response: TestResponse) -> bool:
    """Return whether a bearer token was requested."""
    return slug(response) == "unauthorized" and response.headers["WWW-Authenticate"] == CHALLENGE


def test_each_route_has_a_scope_or_is_open(service: WebService) -> None:
    """A route that is added has its scope here, or is said here to be open."""
    assert SCOPES.keys() == {rule.rule for rule in rules_of(service.caller.application)}


def rules_of(app: Flask) -> list[Rule]:
    """Return the rules of all routes."""
    return list(app.url_map.iter_rules())


@pytest.mark.parametrize("rule", SCOPES)
def test_the_scope_of_each_route_is_enforced(service: WebService, rule: str) -> None:
    """For each of its methods: 401 without a token, 403 with one that has only another scope."""
    assert_enforced(service.caller.application, rule, SCOPES[rule])


def assert_enforced(app: Flask, rule: str, scope: Scope | None) -> None:
    """Check what each kind of caller gets from the route of ``rule``."""
    (route,) = (known for known in rules_of(app) if known.rule == rule)
    path = re.sub("[<>]", "", rule)
    for method in route.methods or ():
        refused = {
            token: app.test_client()
            .open(path, method=method, headers={"Authorization": f"Bearer {token}"})
            .status_code
            for token in (SUBMIT_TOKEN, READ_TOKEN, BOTH_TOKEN, "wrong")
        }
        refused["none"] = app.test_client().open(path, method=method).status_code

        expected = {token: 403 for known, token in TOKENS_OF.items() if known is not scope}
        expected |= {"wrong": 401, "none": 401}
        assert (expected if scope else {}) == {
            token: status for token, status in refused.items() if status in {401, 403}
        }


@pytest.mark.parametrize("scope", [*Scope, None])
@pytest.mark.parametrize("rule", ["/elsewhere", "/elsewhere/<name>", "/v2/events", "/"])
def test_the_scope_of_a_route_anywhere_is_enforced(rule: str, scope: Scope | None) -> None:
    """Whatever its address: the table alone decides."""

    def view(name: str = "") -> Response:
        return Response(name)

    app = Flask("small")
    app.request_class = RelayRequest
    app.register_error_handler(ProblemError, respond_with_problem)
    add_routes(app, [("GET", rule, scope, view)], Authenticator(TOKENS))

    assert_enforced(app, rule, scope)


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/nowhere", "/v1/events/", "/v1/users/u", "/v1//events"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "PROPFIND"])
def test_below_v1_strangers_learn_nothing(service: WebService, path: str, method: str) -> None:
    """Not even which addresses exist, or which methods they have."""
    response = service.caller.open(path, method=method)

    assert (401, CHALLENGE) == (response.status_code, response.headers["WWW-Authenticate"])
    assert "Allow" not in response.headers


def test_a_submit_token_submits_and_does_not_read(service: WebService) -> None:
    """A submitter sees the record of the event that it posts, and no other."""
    assert service.post().status_code == 202
    assert {"forbidden"} == {slug(service.get(path, SUBMIT_TOKEN)) for path in LOOK_UPS}


def test_a_read_token_reads_and_does_not_submit(service: WebService) -> None:
    """And nothing is stored."""
    refused = service.post(Authorization=f"Bearer {READ_TOKEN}")

    assert slug(refused) == "forbidden"
    assert not service.stored()
    assert service.get("/v1/users/u/chats").status_code == 200


def test_a_token_in_both_lists_does_both(service: WebService) -> None:
    """Rights add up."""
    assert service.post(Authorization=f"Bearer {BOTH_TOKEN}").status_code == 202
    assert service.get("/v1/events/refund-7731", BOTH_TOKEN).status_code == 200


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer  {} "])
def test_the_scheme_is_read_in_any_case(service: WebService, form: str) -> None:
    """RFC 9110 has it so; spaces around the token are not part of it."""
    assert service.post(Authorization=form.format(SUBMIT_TOKEN)).status_code == 202


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "Bearer",
        "Bearer ",
        SUBMIT_TOKEN,
        f"Basic {SUBMIT_TOKEN}",
        f"Token {SUBMIT_TOKEN}",
        f"Bearer: {SUBMIT_TOKEN}",
        f"Bearer\t{SUBMIT_TOKEN}",
        f'Bearer "{SUBMIT_TOKEN}"',
        f"Bearer {SUBMIT_TOKEN},",
        f"Bearer {SUBMIT_TOKEN}, Bearer {SUBMIT_TOKEN}",
        f"Bearer {SUBMIT_TOKEN.upper()}",
        f"Bearer {SUBMIT_TOKEN[:-1]}",
        f"Bearer {SUBMIT_TOKEN}{SUBMIT_TOKEN}",
        f"Bearer {SUBMIT_TOKEN}\xe9",
        "Bearer \xff\xfe\x80",
        "Bearer \x00",
        "Bearer orders",
        f"Bearer orders:{SUBMIT_TOKEN}",
        f"Basic {'A' * 10_000}",
        f"Bearer {'A' * 10_000}",
    ],
)
def test_anything_else_is_no_token(service: WebService, header: str | None) -> None:
    """401 with a challenge; bytes beyond ASCII are no reason to fail."""
    assert is_challenged(service.post(EVENT, Authorization=header))
    assert not service.stored()


def test_a_token_in_the_address_counts_for_nothing(service: WebService) -> None:
    """It would be in every log on the way."""
    path = f"/v1/users/u/chats?token={READ_TOKEN}&access_token={READ_TOKEN}"

    assert is_challenged(service.caller.get(path))


def test_every_token_is_compared_whatever_is_presented(
    service: WebService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither how many tokens there are nor which one matched shows in the time it takes."""
    compared: list[bytes] = []

    def compare(known: bytes, presented: bytes) -> bool:
        compared.append(known)
        return known == presented

    monkeypatch.setattr(hmac, "compare_digest", compare)

    for token in (SUBMIT_TOKEN, BOTH_TOKEN, "wrong"):
        compared.clear()
        service.get("/v1/users/u/chats", token)
        assert len(compared) == 3
