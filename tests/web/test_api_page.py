"""The pages for people: complete, readable in a browser, without a network."""

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

from app.chats.record import FailureCode, Status, TaskStatus
from app.web.code_samples import ADDRESS, code_samples
from app.web.openapi import DOCUMENT
from app.web.pages import api_page
from app.web.problems import PROBLEMS
from app.web.schema_html import render_line
from tests.web.browser import Browser
from tests.web.described import OPERATIONS, problems_of
from tests.web.service import WebService

WIDTHS = (360, 899, 900, 1280)
SAMPLE = "<summary>(curl|Python|JavaScript)</summary><pre[^>]*>(.*?)</pre>"
FRAME = '<iframe style="border: 0; height: 1500px; width: {}px" srcdoc="{}"></iframe>'
# Measured from outside of the frames: the policy of a page allows no script in it.
MEASURE = """<script>
const measure = (frame) => {
  const page = frame.contentDocument, width = frame.clientWidth;
  const style = (one) => frame.contentWindow.getComputedStyle(one);
  const right = (one) => one.getBoundingClientRect().right;
  const box = (name) => page.querySelector(name).getBoundingClientRect();
  page.querySelectorAll("details").forEach((one) => { one.open = true });
  const all = [...page.body.querySelectorAll("*")];
  const code = [...page.querySelectorAll("pre")].filter((one) => one.scrollWidth > one.clientWidth);
  const [first, ...links] = page.querySelectorAll("nav a");
  return {
    width,
    content: page.documentElement.scrollWidth,
    wider: all.filter((one) => right(one) > width + 1).map((one) => one.outerHTML),
    wrapped: links.filter((one) => one.offsetHeight > first.offsetHeight).map((one) => one.text),
    is_beside: box("nav").right <= box("main").left,
    wide_code: code.length,
    fixed_code: code.filter((one) => style(one).overflowX !== "auto").length,
  };
};
onload = () => {
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
};
</script>"""


def test_it_shows_what_the_document_has(service: WebService) -> None:
    """The page has every route, parameter, field and problem."""
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
    """Each operation has samples for curl, Python and JavaScript."""
    page = html.unescape(service.caller.get("/docs", headers={"Host": host}).text)

    for (method, path), operation in OPERATIONS.items():
        section = dict(sections(page))[operation["operationId"]]
        samples = re.findall(SAMPLE, section, re.DOTALL)
        assert ["curl", "Python", "JavaScript"] == [language for language, _ in samples]
        prefix = path.partition("{")[0]
        assert all(f'"http://{host}{prefix}' in source for _, source in samples), (method, path)
    assert ADDRESS not in page


def test_samples_are_https_behind_a_balancer_with_tls(service: WebService) -> None:
    """The balancer reports the scheme; any other value of the header has no effect."""
    pages = [
        service.caller.get("/docs", headers={"Host": "relay.test", "X-Forwarded-Proto": proto}).text
        for proto in ("https", "javascript")
    ]

    assert ["https://relay.test/v1", "http://relay.test/v1"] == [
        re.findall("[a-z]+://relay.test/v1", page)[0] for page in pages
    ]


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


@pytest.mark.parametrize("values", [Status, TaskStatus, FailureCode])
def test_it_explains_each_status_and_code(
    service: WebService, values: type[Status | TaskStatus | FailureCode]
) -> None:
    """One table has the meaning and the remedy of each value."""
    meanings = dict(sections(service.caller.get("/docs").text))["meanings"]

    for value in values:
        entry = DOCUMENT["components"]["schemas"][values.__name__]["x-meanings"][value]
        meaning, remedy = render_line(entry["meaning"]), render_line(entry["remedy"])
        assert f"<code>{value}</code>\n<td>{meaning} {remedy}\n" in meanings


def test_it_names_the_problems_of_each_operation(service: WebService) -> None:
    """Problems of any request are named once, beside the list of all."""
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
    """Yield the id and the HTML of each section."""
    for section in page.split("<section ")[1:]:
        yield section.split('"')[1], section


def test_its_links_lead_somewhere(service: WebService) -> None:
    """Each link leads to a part of the page, or to a route with status 200."""
    page = service.caller.get("/docs").text

    links, ids = set(re.findall('href="([^"]*)"', page)), re.findall('id="([^"]*)"', page)

    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    for link in links:
        assert link.startswith("#") or service.caller.get(link).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/problems/not-found"])
def test_pages_can_load_and_run_nothing(service: WebService, path: str) -> None:
    """The policy allows only the page's own style: no script, file or form."""
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
    """Return the tags of a page: the text between them loads nothing."""
    return "".join(re.findall("<[^>]*>", page))


def test_fields_of_several_kinds_are_plain(service: WebService) -> None:
    """The page names the header that replaces ``event_id``, and links the kinds of faults."""
    bodies = dict(sections(service.caller.get("/docs").text))["bodies"]

    event_id, errors = (
        bodies.split(f"<tr><td><code>{field}</code>")[1] for field in ("event_id", "errors")
    )
    assert event_id.startswith("<br><small>required, or the header Idempotency-Key</small>")
    assert 'list of <a href="#Fault">Fault</a>' in errors.partition("<tr>")[0]


@pytest.mark.parametrize("path", ["/docs", *(f"/problems/{slug}" for slug in PROBLEMS)])
def test_pages_have_no_bare_backtick(service: WebService, path: str) -> None:
    """Backticks become code; only samples in JavaScript have their own."""
    page = service.caller.get(path, headers={"Accept": "text/html"}).text

    assert "`" not in re.sub("<pre.*?</pre>", "", page, flags=re.DOTALL)


def test_pages_fit_the_window(service: WebService, tmp_path: Path) -> None:
    """Only code scrolls; the navigation is beside the text from 900 pixels on, a line a route."""
    paths = ("/docs", "/problems/event-id-reused")
    framed = [html.escape(page_with_its_policy(service, path)) for path in paths]
    frames = tmp_path / "frames.html"
    frames.write_text(
        MEASURE + "".join(FRAME.format(width, page) for page in framed for width in WIDTHS)
    )
    browser = Browser(tmp_path)

    document = browser.open(frames.as_uri())

    (title,) = re.findall("<title>(.*?)</title>", document, re.DOTALL)
    measured = json.loads(html.unescape(title))
    assert [] == browser.complaints
    assert [*WIDTHS] * len(paths) == [frame["width"] for frame in measured]
    for frame in measured:
        assert frame["content"] <= frame["width"]
        assert ([], 0) == (frame["wider"], frame["fixed_code"])
        assert (frame["width"] >= 900) == frame["is_beside"]
        assert frame["wrapped"] == [] or not frame["is_beside"]
    # Otherwise nothing was wide enough to scroll.
    assert measured[0]["wide_code"] > 0


def page_with_its_policy(service: WebService, path: str) -> str:
    """Return a page with its policy inside, except the part that only a header can have."""
    response = service.caller.get(path, headers={"Accept": "text/html"})
    policy = response.headers["Content-Security-Policy"].partition("; frame-ancestors")[0]
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return response.text.replace("<meta charset", f"{meta}<meta charset", 1)
