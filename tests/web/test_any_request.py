"""Tests of arbitrary requests: no failure, nothing stored or logged of a refused one."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from app.web.problems import PROBLEMS
from tests.chats.test_any_event import FIELDS, JSON
from tests.web.service import BOTH_TOKEN, EVENT, SUBMIT_TOKEN, WebService

# What a server may hand on: a header is any Latin-1 text on one line.
HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"))
AUTHORIZATION = HEADER | HEADER.map("Bearer {}".format) | st.just(f"Bearer {SUBMIT_TOKEN}")
CONTENT_TYPE = HEADER | HEADER.map("application/json;{}".format) | st.just("application/json")
BODY = (
    st.binary()
    | JSON.map(json.dumps).map(str.encode)
    | st.fixed_dictionaries({}, optional={**FIELDS, "\ud800": JSON}).map(json.dumps).map(str.encode)
)
PREFIX = st.sampled_from(
    ["/", "/v1/", "/v1/events/", "/v1/chats/", "/v1/users/", "/v1/members/", "/problems/"]
)
SUFFIX = st.sampled_from(["", "/chats"])
PATH = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

ROUTE = {"event": {"request"}, "level": {"info"}, "logger": {"relay.web"}}
LOGGED = {
    **ROUTE,
    "method": {"POST"},
    "route": {"/v1/events"},
    "caller": {"orders"},
    "problem": PROBLEMS.keys(),
}

# The fixtures last over all examples of a test; each example looks at its own traces only.
hostile = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def post(service: WebService, body: bytes, *headers: tuple[str, str]) -> TestResponse:
    """Post anything."""
    return service.caller.post("/v1/events", data=body, headers=Headers(headers))


def assert_refused_without_trace(service: WebService, response: TestResponse, logged: str) -> None:
    """Nothing is stored, and the one line holds nothing but words and numbers of our own."""
    assert not service.stored()
    (line,) = map(json.loads, logged.splitlines())
    assert response.status_code == line.pop("status")
    assert isinstance(line.pop("duration_ms"), float)
    assert line.pop("timestamp")
    assert 32 == len(line.pop("trace_id"))  # a new one: the caller named none
    assert all(value in LOGGED[name] for name, value in line.items())


@hostile
@given(body=BODY, key=st.none() | HEADER)
def test_any_body(
    service: WebService, capfd: pytest.CaptureFixture[str], body: bytes, key: str | None
) -> None:
    """Any body is accepted, or refused with a problem that has the reason."""
    headers = [("Authorization", f"Bearer {SUBMIT_TOKEN}"), ("Content-Type", "application/json")]
    if key is not None:
        headers.append(("Idempotency-Key", key))

    response = post(service, body, *headers)

    logged = capfd.readouterr().out
    if response.status_code != 202:
        assert response.status_code in {400, 422}
        assert_refused_without_trace(service, response, logged)
    else:
        service.bench.client.flushall()


@hostile
@given(authorization=AUTHORIZATION, content_type=CONTENT_TYPE, encoding=st.just("") | HEADER)
def test_any_header(
    service: WebService,
    capfd: pytest.CaptureFixture[str],
    authorization: str,
    content_type: str,
    encoding: str,
) -> None:
    """Only the right token with the right type gets an event in."""
    response = post(
        service,
        json.dumps(EVENT).encode(),
        ("Authorization", authorization),
        ("Content-Type", content_type),
        *([("Content-Encoding", encoding)] if encoding else []),
    )

    logged = capfd.readouterr().out
    if response.status_code != 202:
        assert response.status_code in {401, 415}
        assert_refused_without_trace(service, response, logged)
    else:
        service.bench.client.flushall()


@hostile
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "OPTIONS"]) | st.from_regex(r"\A[!-~]{1,9}\Z"),
    # Flask's test client would take what stands behind two slashes for a host.
    path=st.tuples(PREFIX, PATH.map(quote), SUFFIX)
    .map("".join)
    .filter(lambda path: not path.startswith("//")),
    query=st.dictionaries(st.just("limit") | PATH, PATH),
    accept=HEADER,
)
def test_any_address(
    service: WebService, method: str, path: str, query: dict[str, Any], accept: str
) -> None:
    """Found, or refused; never a failure, never kept by a cache, and one redirect alone."""
    response = service.caller.open(
        path,
        method=method,
        query_string=query,
        headers=Headers([("Authorization", f"Bearer {BOTH_TOKEN}"), ("Accept", accept)]),
    )

    assert response.status_code in {200, 404, 405, 415, 422} | ({302} if path == "/" else set())
    assert response.headers["Cache-Control"] == "no-store"
