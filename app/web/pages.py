"""HTML pages: the API's, and each problem's, at the address that is its ``type``.

A page loads and runs nothing, and its content security policy forbids it.
"""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response, request
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from app.web.code_samples import ADDRESS, code_samples
from app.web.openapi import DOCUMENT, resolve
from app.web.problems import PROBLEMS, ProblemError
from app.web.responses import json_response
from app.web.schema_html import SchemaHtml, render_line, render_paragraphs, strip_code

HERE = Path(__file__).parent
STYLE = (HERE / "pages.css").read_text(encoding="utf-8")

_digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_digest}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)

_ENVIRONMENT = Environment(autoescape=True, loader=FileSystemLoader(HERE))


def _render(template: str, **content: Any) -> bytes:
    # Escaping would change the bytes of the style, and the policy's digest would not match.
    return _ENVIRONMENT.get_template(template).render(style=Markup(STYLE), **content).encode()  # noqa: S704


def _pretty(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, indent=2)


def _describe_access(operation: dict[str, Any]) -> str:
    rights = [name for scheme in operation["security"] for name in scheme]
    return {"submitToken": "Submit token, or signature", "readToken": "Read token"}.get(
        next(iter(rights), ""), "Open to all"
    )


def _slugs(*responses: dict[str, Any]) -> set[str]:
    """Return the slugs of the problems in ``responses``."""
    contents = [resolve(response)["content"] for response in responses]
    problems = [content.get("application/problem+json", {}) for content in contents]
    return {slug for problem in problems for slug in problem.get("examples", ())}


def _common_slugs() -> set[str]:
    """Return the slugs that all operations share; the page shows them once."""
    operations = [one for methods in DOCUMENT["paths"].values() for one in methods.values()]
    return set.intersection(*(_slugs(*one["responses"].values()) for one in operations))


@cache
def _api_page() -> bytes:
    return _render(
        "api_page.html",
        api=DOCUMENT,
        problems=PROBLEMS.values(),
        schemas=SchemaHtml(DOCUMENT["components"]["schemas"]),
        describe_access=_describe_access,
        slugs=_slugs,
        common_slugs=_common_slugs(),
        code_samples=code_samples,
    )


def api_page() -> Response:
    """Return the OpenAPI document as a page, whose examples have the address of the request.

    A load balancer names the scheme of the caller's address; it matters for nothing else here.
    """
    is_https = request.headers.get("X-Forwarded-Proto") == "https"
    address = escape(f"{'https' if is_https else request.scheme}://{request.host}")
    return _page(_api_page().replace(ADDRESS.encode(), address.encode()))


def problem_page(slug: str) -> Response:
    """Explain one kind of problem: as JSON, or as a page where HTML is preferred."""
    problem = PROBLEMS.get(slug)
    if problem is None:
        raise ProblemError("not-found")
    types = request.accept_mimetypes
    if types["text/html"] > types["application/json"]:
        return _page(_render("problem_page.html", problem=problem, problems=PROBLEMS.values()))
    content = {
        "type": f"/problems/{slug}",
        "title": problem.title,
        "status": problem.status,
        "meaning": problem.meaning,
        "remedy": problem.remedy,
    }
    return json_response(content)


_ENVIRONMENT.filters |= {"pretty": _pretty, "resolve": resolve}
_ENVIRONMENT.filters |= {"line": render_line, "paragraphs": render_paragraphs, "plain": strip_code}


def _page(html: bytes) -> Response:
    return Response(html, mimetype="text/html", headers={"Content-Security-Policy": POLICY})
