"""JSON answers."""

from typing import Any

from flask import Response
from pydantic_core import to_json


def json_response(content: Any) -> Response:
    """Return ``content`` as a JSON answer that ends with a line break."""
    return Response(to_json(content) + b"\n", content_type="application/json")
