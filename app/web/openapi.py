"""The OpenAPI document, and the answer at ``/openapi.json``.

``openapi.yaml`` is written by hand: https://spec.openapis.org/oas/v3.1.0
"""

import json
from pathlib import Path
from typing import Any

import yaml
from flask import Response

DOCUMENT: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("openapi.yaml").read_text(encoding="utf-8")
)
_BODY = json.dumps(DOCUMENT).encode()


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Return the component that ``part`` refers to, or ``part`` itself."""
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].split("/")[-2:]
    component: dict[str, Any] = DOCUMENT["components"][kind][name]
    return component


def openapi_json() -> Response:
    """Answer with the document."""
    return Response(_BODY, mimetype="application/json")
