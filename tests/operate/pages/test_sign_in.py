"""Sign-in to the operator's pages: tokens, cookies, and forms of other sites."""

import re
import time
from itertools import pairwise

import pytest
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from app.operate.pages.blueprint import register_pages
from app.operate.pages.session import Operators
from tests.operate.operator import NAME, Operator
from tests.operate.pages.site import (
    OTHER_TOKEN,
    TOKEN,
    TOKENS,
    Site,
    csrf_token,
    open_site,
    plain,
)
from tests.web.service import serve

PAGES = ("", "/held", "/failed", "/waiting", "/events/e1", "/find?event_id=e1", "/no-such-page")
FORMS = ("/held", "/failed", "/waiting", "/events/e1", "/pause", "/resume", "/sign-out")
ELSEWHERE = (
    "https://evil.example/operate",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/v1/events",
    "/operateevil",
    "/operate\r\nSet-Cookie: a=b",
    "javascript:alert(1)",
    "operate",
)


def cookie_of(response: TestResponse) -> str:
    """The one cookie that a response sets."""
    (cookie,) = response.headers.getlist("Set-Cookie")
    return cookie


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_a_sign_in(strangers: Site, path: str) -> None:
    """A stranger is led to the sign-in, and from there to the page that was asked for."""
    strangers.operator.hold("e1")

    response = strangers.get(path)
    signed_in = strangers.sign_in(next=f"/operate{path}")

    assert 303 == response.status_code
    assert response.headers["Location"].startswith("/operate/sign-in?next=/operate")
    assert (303, f"/operate{path}") == (signed_in.status_code, signed_in.headers["Location"])


@pytest.mark.parametrize("path", FORMS)
def test_a_form_needs_a_sign_in(strangers: Site, path: str) -> None:
    """A stranger's decision changes nothing, with a right form as well."""
    strangers.operator.hold("e1")
    before = strangers.operator.bench.fields()

    response = strangers.post(path, action="give-up", confirmed="yes", limit="1")

    assert (303, "/operate/sign-in?next=/operate") == (
        response.status_code,
        response.headers["Location"],
    )
    assert before == strangers.operator.bench.fields()
    assert "paused_at" not in strangers.operator.bench.gate()


def test_each_route_is_closed_but_the_sign_in(strangers: Site) -> None:
    """A page that is added later is closed, too."""
    application = strangers.browser.application
    rules = [r for r in application.url_map.iter_rules() if r.rule.startswith("/operate")]

    open_to_all = {rule.endpoint for rule in rules if "sign-in" in rule.rule}

    assert {"operate.show_sign_in", "operate.sign_in"} == open_to_all
    for rule in rules:
        path = re.sub(r"<[^>]*>", "e1", rule.rule)
        for method in rule.methods or ():
            answer = strangers.browser.open(path, method=method)
            is_open = rule.endpoint in open_to_all
            assert is_open or 303 == answer.status_code, (method, path)


@pytest.mark.parametrize(
    "token", ["", TOKEN[:-1], f"{TOKEN}x", f"x{TOKEN}", TOKEN.upper(), NAME * 4, "é" * 16]
)
def test_a_wrong_token_is_refused(strangers: Site, token: str) -> None:
    """The attempt is logged, the token is not."""
    with capture_logs() as lines:
        response = strangers.sign_in(token)

    assert 401 == response.status_code
    assert "not one of OPERATE_TOKENS" in plain(response)
    assert 303 == strangers.get().status_code
    assert ["operator_refused"] == [line["event"] for line in lines if line["event"] != "request"]
    assert not token or token not in str(lines)


def test_a_wrong_token_is_answered_late(operator: Operator) -> None:
    """A guess takes its time, a right token none."""
    browser = serve(operator.bench.client).caller
    seconds = 0.3
    register_pages(
        browser.application, operator.operations, Operators(TOKENS), wrong_token_seconds=seconds
    )
    site = Site(browser, operator)
    instants = [time.monotonic()]
    for token in ("wrong", TOKEN):
        site.sign_in(token)
        instants.append(time.monotonic())

    wrong, right = (later - earlier for earlier, later in pairwise(instants))
    assert wrong >= seconds
    assert right < wrong


@pytest.mark.parametrize(("token", "name"), [(TOKEN, NAME), (OTHER_TOKEN, "ben")])
def test_decisions_carry_the_name_of_the_token(strangers: Site, token: str, name: str) -> None:
    """The record's history and the log have who decided."""
    strangers.operator.hold("e1")
    strangers.sign_in(f" {token}\n")  # as pasted

    with capture_logs() as lines:
        strangers.decide("e1", "give-up")

    assert name == strangers.operator.history()[-1]["by"]
    decided = [line for line in lines if line["event"] == "operator_decided"]
    assert [(name, "give-up", "e1")] == [
        (line["by"], line["action"], line["event_id"]) for line in decided
    ]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_the_sign_in_leads_to_no_other_site(strangers: Site, address: str) -> None:
    """A link with an address of its own leads to the overview."""
    shown = strangers.browser.get("/operate/sign-in", query_string={"next": address})
    response = strangers.sign_in(next=address)

    assert (303, "/operate") == (response.status_code, response.headers["Location"])
    assert "evil" not in shown.text


@pytest.mark.parametrize("is_tls", [True, False])
def test_the_cookie_has_its_flags(strangers: Site, is_tls: bool) -> None:  # noqa: FBT001 - a case
    """No script reads it, no other site sends it, and behind TLS it is for TLS alone."""
    headers = {"X-Forwarded-Proto": "https"} if is_tls else {}
    token = csrf_token(strangers.get("/sign-in").text)

    response = strangers.browser.post(
        "/operate/sign-in", data={"csrf_token": token, "token": TOKEN}, headers=headers
    )

    flags = set(cookie_of(response).split("; ")[1:])
    assert {"HttpOnly", "Path=/operate", "SameSite=Strict"} <= flags
    assert is_tls == ("Secure" in flags)
    assert TOKEN not in cookie_of(response)


def test_a_sign_in_ends_after_eight_hours(site: Site) -> None:
    """However often its pages were used, or its cookie was written anew."""
    assert 200 == site.get().status_code

    with site.browser.session_transaction(path="/operate") as session:
        hours = (session["until"] - time.time()) / 3600
        session["until"] = time.time() - 1

    assert 7.9 < hours <= 8
    assert 303 == site.get().status_code
    assert 303 == site.decide("e1", "give-up").status_code


@pytest.mark.parametrize(
    "tokens",
    [
        [(NAME, OTHER_TOKEN)],
        [("eve", TOKEN)],
        [*TOKENS, ("cleo", "operate-cccccccccccc")],
    ],
    ids=["another-token", "another-name", "one-more"],
)
def test_other_tokens_end_every_sign_in(site: Site, tokens: list[tuple[str, str]]) -> None:
    """The key of the cookies is made of the tokens: rotating one ends a stolen cookie, too."""
    cookie = site.browser.get_cookie("relay_operator", path="/operate")
    assert cookie is not None
    same, other = open_site(site.operator), open_site(site.operator, tokens=tokens)
    for each in (same, other):
        each.browser.set_cookie("relay_operator", cookie.value, path="/operate")

    assert 200 == same.get().status_code  # of another replica
    assert 303 == other.get().status_code


def test_a_changed_cookie_is_none(site: Site) -> None:
    """A name cannot be written into it."""
    cookie = site.browser.get_cookie("relay_operator", path="/operate")
    assert cookie is not None
    payload, _, signature = cookie.value.partition(".")
    for value in (f"{payload}x.{signature}", payload, "", "x.y.z", f"{cookie.value}A"):
        site.browser.set_cookie("relay_operator", value, path="/operate")

        assert 303 == site.get().status_code


def test_a_sign_out_ends_the_sign_in(site: Site) -> None:
    """The browser forgets the cookie."""
    response = site.post("/sign-out")

    assert (303, "/operate/sign-in") == (response.status_code, response.headers["Location"])
    assert 303 == site.get().status_code


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("kind", ["none", "empty", "another-browser's"])
def test_a_form_of_another_site_does_nothing(site: Site, path: str, kind: str) -> None:
    """A form without the token of this session is refused before it is read."""
    site.operator.hold("e1")
    before = site.operator.bench.fields()
    other = open_site(site.operator)
    other.sign_in()
    token = {"none": {}, "empty": {"csrf_token": ""}}.get(
        kind, {"csrf_token": csrf_token(other.get().text)}
    )

    response = site.browser.post(
        f"/operate{path}",
        data={**token, "action": "give-up", "confirmed": "yes", "limit": "1"},
    )

    assert 400 == response.status_code
    assert "Nothing was done." in plain(response)
    assert before == site.operator.bench.fields()
    assert "paused_at" not in site.operator.bench.gate()
    assert 200 == site.get().status_code


def test_a_forged_sign_in_is_refused(strangers: Site) -> None:
    """A form of another site signs no browser in under another's name."""
    response = strangers.browser.post("/operate/sign-in", data={"token": TOKEN})

    assert 400 == response.status_code
    assert 303 == strangers.get().status_code


def test_a_sign_in_keeps_nothing_of_the_session_before(strangers: Site) -> None:
    """A token against forgery that a stranger saw is none afterwards."""
    before = csrf_token(strangers.get("/sign-in").text)
    strangers.sign_in()

    response = strangers.browser.post("/operate/pause", data={"csrf_token": before})

    assert 400 == response.status_code


def test_a_large_form_is_refused(strangers: Site) -> None:
    """Nothing of a form is larger than an id."""
    response = strangers.post("/sign-in", token="x" * 10_000)

    assert 413 == response.status_code


@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/events/no-such-event", "/events/%ff"])
def test_each_answer_has_the_policy(site: Site, path: str) -> None:
    """Nothing is loaded, run or framed, and nothing unsafe is permitted."""
    headers = site.get(path).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert "DENY" == headers["X-Frame-Options"]
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "no-store" == headers["Cache-Control"]


def test_without_tokens_there_are_no_pages(operator: Operator) -> None:
    """The relay has them where OPERATE_TOKENS is set, and sets no cookie elsewhere."""
    caller = serve(operator.bench.client).caller

    assert 404 == caller.get("/operate").status_code
    assert 404 == caller.get("/operate/sign-in").status_code


def test_the_api_is_as_it_was(site: Site) -> None:
    """Its forms need no token against forgery, and its answers set no cookie."""
    response = site.browser.post("/v1/events", json={"event_id": "e1", "user_id": "u1"})

    assert 401 == response.status_code
    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers
