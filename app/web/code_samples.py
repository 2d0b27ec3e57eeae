"""Samples of requests for the API's page: curl, Python and JavaScript."""

import json
from typing import Any
from urllib.parse import urlencode

ADDRESS = "https://relay.invalid"
TOKENS = {"submitToken": "SUBMIT_TOKEN", "readToken": "READ_TOKEN"}


def code_samples(path: str, method: str, operation: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the language and source of each sample; ``ADDRESS`` stands for the service's own.

    ``operation`` is one of OpenAPI's: https://spec.openapis.org/oas/v3.1.0#operation-object
    """
    (curl,) = (sample["source"] for sample in operation["x-codeSamples"])
    url = ADDRESS + _example_path(path, operation)
    scheme = next((name for security in operation["security"] for name in security), "")
    token, body = TOKENS.get(scheme), _example_body(operation)
    return [
        ("curl", curl.replace("$RELAY", ADDRESS)),
        ("Python", _python(url, method, token, body)),
        ("JavaScript", _javascript(url, method, token, body)),
    ]


def _example_path(path: str, operation: dict[str, Any]) -> str:
    parameters = operation.get("parameters", ())
    values = {one["name"]: one["example"] for one in parameters if one["in"] == "path"}
    query = {one["name"]: one["example"] for one in parameters if one["in"] == "query"}
    return path.format(**values) + (f"?{urlencode(query)}" if query else "")


def _example_body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    examples = [media["example"] for media in content.values()]
    wanted = ("event_id", "member_id", "message")
    return json.dumps({name: examples[0][name] for name in wanted}) if examples else ""


def _python(url: str, method: str, token: str | None, body: str) -> str:
    lines = ["import os", "import requests", ""] if token else ["import requests", ""]
    lines += [f"answer = requests.{method}(", f'    "{url}",']
    if token:
        lines.append(f"""    headers={{"Authorization": f"Bearer {{os.environ['{token}']}}"}},""")
    lines += [f"    json={body},"] if body else []
    return "\n".join([*lines, "    timeout=10,", ")", "print(answer.status_code, answer.text)"])


def _javascript(url: str, method: str, token: str | None, body: str) -> str:
    headers = [f'"Authorization": `Bearer ${{process.env.{token}}}`'] if token else []
    headers += ['"Content-Type": "application/json"'] if body else []
    options = ['  method: "POST",'] if method == "post" else []
    options += [f"  headers: {{{', '.join(headers)}}},"] if headers else []
    options += [f"  body: JSON.stringify({body}),"] if body else []
    options.append("  signal: AbortSignal.timeout(10_000),")
    call = "\n".join([f'const answer = await fetch("{url}", {{', *options, "});"])
    return f"{call}\nconsole.log(answer.status, await answer.text());"
