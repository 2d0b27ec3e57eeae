"""The API's page is for people: readable in a real browser, complete without a network."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import create_environ

from app.chats.record import FailureCode, Status
from app.web.code_samples import ADDRESS, code_samples
from app.web.openapi import DOCUMENT
from app.web.pages import api_page
from app.web.schema_html import render_line
from tests.web.browser import Browser
from tests.web.described import OPERATIONS, problems_of
from tests.web.raw import RELAY, Web, serve
from tests.web.service import WebService

# A page with nothing on it is a picture of a few kilobytes.
BLANK_BYTES = 50_000
PARTS = ("glossary", "bodies", "meanings", "problems")
SAMPLE = "<summary>(curl|Python|JavaScript)</summary><pre>(.*?)</pre>"
# Appended to the copy of a page in a frame: the page's own policy allows neither.
MEASURE = """<script>
const box = (name) => document.querySelector(name).getBoundingClientRect();
parent.document.title += JSON.stringify([
  window.innerWidth, document.documentElement.scrollWidth, box("nav").right, box("main").left,
]) + ";"
</script>"""
FRAME = '<iframe style="border: 0; height: 1500px; width: {}px" srcdoc="{}"></iframe>'


def test_it_shows_what_the_document_has(service: WebService) -> None:
    """Every route, status, field and problem."""
    page = html.unescape(service.caller.get("/docs").text)

    for (method, path), operation in OPERATIONS.items():
        assert f"<b>{method.lower()}</b> <code>{path}</code>" in page
        assert all(parameter["name"] in page for parameter in operation.get("parameters", ()))
    for schema in DOCUMENT["components"]["schemas"].values():
        assert all(f"<code>{field}</code>" in page for field in schema.get("properties", ()))
    for slug in DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]:
        assert f'href="{slug}"' in page


@pytest.mark.parametrize("host", ["relay.internal.example", "127.0.0.1:8010", "[::1]:8000"])
def test_samples_have_the_address_of_the_request(service: WebService, host: str) -> None:
    """For curl, Python and JavaScript, in each operation."""
    page = html.unescape(service.caller.get("/docs", headers={"Host": host}).text)

    for (method, path), operation in OPERATIONS.items():
        section = dict(sections(page))[operation["operationId"]]
        samples = re.findall(
            "<summary>(curl|Python|JavaScript)</summary><pre>(.*?)</pre>", section, re.DOTALL
        )
        assert ["curl", "Python", "JavaScript"] == [language for language, _ in samples]
        prefix = path.partition("{")[0]
        assert all(f'"http://{host}{prefix}' in source for _, source in samples), (method, path)
    assert ADDRESS not in page


def test_the_address_of_a_request_is_escaped() -> None:
    """A Host that reaches the application cannot put markup into the page."""
    environ = create_environ(base_url="http://relay/") | {"HTTP_HOST": '"><script>x'}

    with Flask("test").request_context(environ):
        page = api_page().get_data(as_text=True)

    assert "<script" not in page


def test_samples_can_be_pasted(tmp_path: Path) -> None:
    """The Python and JavaScript of each operation compile."""
    samples = [
        dict(code_samples(path, method.lower(), operation))
        for (method, path), operation in OPERATIONS.items()
    ]
    script = tmp_path / "samples.mjs"
    script.write_text("\n".join(f"{{\n{sample['JavaScript']}\n}}" for sample in samples))

    for sample in samples:
        compile(sample["Python"], "sample", "exec")
    node = shutil.which("node")
    assert node is None or 0 == subprocess.run([node, "--check", script], check=False).returncode


@pytest.mark.parametrize("values", [Status, FailureCode])
def test_it_explains_each_status_and_code(
    service: WebService, values: type[Status | FailureCode]
) -> None:
    """In one table: the meaning, and what to do."""
    meanings = dict(sections(service.caller.get("/docs").text))["meanings"]

    for value in values:
        entry = DOCUMENT["components"]["schemas"][values.__name__]["x-meanings"][value]
        meaning, remedy = render_line(entry["meaning"]), render_line(entry["remedy"])
        assert f"<code>{value}</code>\n<td>{meaning} {remedy}\n" in meanings


def test_it_names_the_problems_of_each_operation(service: WebService) -> None:
    """With those of any request once, at the list of all."""
    page = html.unescape(service.caller.get("/docs").text)

    named = {name: set(re.findall('href="#([a-z-]+)"', part)) for name, part in sections(page)}
    slugs = {
        operation["operationId"]: {
            slug for response in operation["responses"].values() for slug in problems_of(response)
        }
        for operation in OPERATIONS.values()
    }
    common = set.intersection(*slugs.values())
    assert common == named["problems"]
    for name, described in slugs.items():
        # A status is shown whole: bad-request is named beside malformed-json.
        assert described - common == named[name] - common
        assert (named[name] & common) == ({"bad-request"} if name == "postEvent" else set())


def sections(page: str) -> Iterator[tuple[str, str]]:
    """Return the sections of a page with their ids."""
    for section in page.split("<section ")[1:]:
        yield section.split('"')[1], section


def test_its_links_lead_somewhere(service: WebService) -> None:
    """Within the page, or to what the service answers."""
    page = service.caller.get("/docs").text

    links, ids = set(re.findall('href="([^"]*)"', page)), re.findall('id="([^"]*)"', page)

    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    for link in links:
        assert link.startswith("#") or service.caller.get(link).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/problems/not-found"])
def test_pages_can_load_and_run_nothing(service: WebService, path: str) -> None:
    """No script, no file, no form; only the very style that is in the page."""
    response = service.caller.get(path, headers={"Accept": "text/html"})

    (style,) = re.findall("<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(
        part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; ")
    )
    assert policy.pop("style-src") == f"'sha256-{digest}'"
    assert policy.keys() == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert set(policy.values()) == {"'none'"}
    assert (response.mimetype, response.headers["Cache-Control"]) == ("text/html", "no-store")
    assert not re.search(
        "<script|<link|<img|<iframe|src=|style=|://(?!127)", _without_text(response.text)
    )


def _without_text(page: str) -> str:
    """The tags of a page only: what is written between them loads nothing."""
    return "".join(re.findall("<[^>]*>", page))


def test_a_browser_opens_it(redis_url: str, tmp_path: Path) -> None:
    """And has nothing to complain of, asks for nothing else, and shows it in its style."""
    browser, picture = Browser(tmp_path), tmp_path / "docs.png"
    with serve(RELAY, redis_url, tmp_path) as web:
        document = browser.open(f"{web.url}/docs", picture)
        asked = _addresses(web)

    assert browser.complaints == []
    assert asked == {"/docs"}
    assert document.count("<section") == len(OPERATIONS) + len(PARTS)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > BLANK_BYTES


def test_pages_fit_the_window(service: WebService, tmp_path: Path) -> None:
    """Nothing is wider than the window; from 900 pixels on the navigation is beside the text."""
    pages = [
        html.escape(service.caller.get(path, headers={"Accept": "text/html"}).text + MEASURE)
        for path in ("/docs", "/problems/event-id-reused")
    ]
    frames = tmp_path / "frames.html"
    widths = (360, 899, 900)
    frames.write_text("".join(FRAME.format(width, page) for page in pages for width in widths))

    document = Browser(tmp_path).open(frames.as_uri(), tmp_path / "frames.png")

    (title,) = re.findall("<title>(.*?)</title>", document)
    measured = [json.loads(part) for part in title.split(";")[:-1]]
    assert len(pages) * len(widths) == len(measured)
    for width, content, navigation_right, main_left in measured:
        assert content <= width
        assert (width >= 900) == (navigation_right <= main_left)


def _addresses(web: Web) -> set[str]:
    lines = map(json.loads, web.log.read_text().splitlines())
    return {line["route"] for line in lines if line["event"] == "request"}
