"""The page of each problem: what its ``type`` address answers."""

import json

from flask import Response, render_template_string, request

from app.web.problems import PROBLEMS, Refusal

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ problem.title }}</title>
<style>body{max-width:40em;margin:3em auto;padding:0 1em;font:16px/1.5 system-ui,sans-serif}</style>
<h1>{{ problem.title }}</h1>
<p><code>{{ problem.status }}</code> <code>/problems/{{ problem.slug }}</code></p>
<h2>What it means</h2><p>{{ problem.meaning }}</p>
<h2>What to do</h2><p>{{ problem.remedy }}</p>
</html>
"""


def problem_page(slug: str) -> Response:
    """Explain one kind of problem: as JSON, or as a page to whoever prefers HTML."""
    problem = PROBLEMS.get(slug)
    if problem is None:
        raise Refusal("not-found")
    types = request.accept_mimetypes
    if types["text/html"] > types["application/json"]:
        return Response(render_template_string(PAGE, problem=problem), mimetype="text/html")
    content = {
        "type": f"/problems/{slug}",
        "title": problem.title,
        "status": problem.status,
        "meaning": problem.meaning,
        "remedy": problem.remedy,
    }
    return Response(json.dumps(content), mimetype="application/json")
