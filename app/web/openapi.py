"""The OpenAPI document, and the answer at ``/openapi.json``.

``openapi.yaml`` is written by hand: https://spec.openapis.org/oas/v3.1.0
"""

from pathlib import Path
from typing import Any

import yaml
from flask import Response

from app.web.responses import json_response

DOCUMENT: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("openapi.yaml").read_text(encoding="utf-8")
)


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Return the component that ``part`` refers to, or ``part`` itself."""
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].split("/")[-2:]
    component: dict[str, Any] = DOCUMENT["components"][kind][name]
    return component


class OpenapiView:
    """View of the document, with the release's version."""

    def __init__(self, version: str) -> None:
        self._document = {**DOCUMENT, "info": {**DOCUMENT["info"], "version": version}}

    def openapi_json(self) -> Response:
        """Answer with the document."""
        return json_response(self._document)
