"""Every ``type`` of a problem is an address that the service answers."""

import json

import pytest

from app.web.problems import PROBLEM_OF_ERROR, PROBLEM_OF_STATUS, PROBLEMS, Problem
from app.web.schema_html import render_line
from tests.web.service import WebService, serve, slug
from tools.stack.redis_client import Client

ALL = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@ALL
def test_its_page_explains_it_to_programs(service: WebService, problem: Problem) -> None:
    """As JSON, unless HTML is preferred."""
    for accept in (
        None,
        "*/*",
        "application/json",
        "application/json, text/html;q=0.5",
        "\xff;q=x",
    ):
        response = service.caller.get(
            f"/problems/{problem.slug}", headers={"Accept": accept} if accept else {}
        )

        assert (200, "application/json") == (response.status_code, response.content_type)
        assert response.headers["Cache-Control"] == "no-store"
        assert json.loads(response.data) == {
            "type": f"/problems/{problem.slug}",
            "title": problem.title,
            "status": problem.status,
            "meaning": problem.meaning,
            "remedy": problem.remedy,
        }


@ALL
def test_its_page_explains_it_to_people(service: WebService, problem: Problem) -> None:
    """As HTML, to a browser."""
    response = service.caller.get(f"/problems/{problem.slug}", headers={"Accept": HTML})

    assert (200, "text/html; charset=utf-8") == (response.status_code, response.content_type)
    assert response.headers["Cache-Control"] == "no-store"
    assert "`" not in response.text
    for text in (problem.title, problem.meaning, problem.remedy, str(problem.status)):
        assert render_line(text) in response.text


@ALL
def test_its_words_are_whole(problem: Problem) -> None:
    """A title without a full stop, sentences with one, an error's status."""
    assert not problem.title.endswith(".")
    assert problem.meaning.endswith(".")
    assert problem.remedy.endswith(".")
    assert 400 <= problem.status < 600


def test_retry_after_goes_with_what_passes_by_itself() -> None:
    """The caller need not guess for how long."""
    waiting = {slug for slug, problem in PROBLEMS.items() if problem.retry_after_seconds}

    assert waiting == {"backlog-full", "unavailable", "not-ready"}


def test_the_tables_name_problems_that_exist() -> None:
    """A status or an error never leads to a missing page."""
    assert {*PROBLEM_OF_ERROR.values(), *PROBLEM_OF_STATUS.values()} <= PROBLEMS.keys()
    assert all(PROBLEMS[slug].status == status for status, slug in PROBLEM_OF_STATUS.items())


@pytest.mark.parametrize("name", ["nothing", "Unauthorized", "%00", "..", "%ff", "x" * 3000])
def test_other_pages_do_not_exist(service: WebService, name: str) -> None:
    """404, as a problem."""
    assert slug(service.caller.get(f"/problems/{name}")) == "not-found"


def test_an_internal_error_is_answered_and_logged(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    """A 500 is a problem without details; the log has the place, and the next request is served."""
    service = serve(client)
    service.post()
    service.bench.set_fields("refund-7731", accepted_ms="not a number")

    response = service.get("/v1/events/refund-7731")

    failed, request = map(json.loads, capfd.readouterr().out.splitlines()[-2:])
    assert slug(response) == "internal-error"
    assert "not a number" not in response.text
    assert ("request_failed", "error") == (failed["event"], failed["level"])
    assert "read_record" in failed["exception"]
    assert (500, "internal-error") == (request["status"], request["problem"])
    assert response.headers["Request-Id"] == failed["trace_id"] == request["trace_id"]
    assert service.get("/v1/users/u/chats").status_code == 200
