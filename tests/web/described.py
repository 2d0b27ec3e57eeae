"""The OpenAPI document for tests, and checks of responses against it."""

import json
import re
from copy import deepcopy
from typing import Any

import jsonschema_rs
from werkzeug.test import TestResponse

from app.web.openapi import DOCUMENT

Json = dict[str, Any]


def _inline(part: Any) -> Any:
    """Return ``part`` with the responses and examples that it refers to in their places."""
    if isinstance(part, list):
        return [_inline(one) for one in part]
    if not isinstance(part, dict):
        return part
    kind, _, name = part.get("$ref", "").removeprefix("#/components/").partition("/")
    if kind in {"responses", "examples"}:
        return _inline(DOCUMENT["components"][kind][name])
    return {key: _inline(value) for key, value in part.items()}


OPERATIONS: dict[tuple[str, str], Json] = {
    (method.upper(), path): _inline(operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def problems_of(response: Json) -> Json:
    """Return the examples of problems that a described response has, by their slugs."""
    content: Json = response["content"].get("application/problem+json", {})
    examples: Json = content.get("examples", {})
    return examples


def validator(schema: Json, components: Json = DOCUMENT["components"]) -> jsonschema_rs.Validator:
    """Return a validator for ``schema``, with its references and formats."""
    return jsonschema_rs.Draft202012Validator(
        {**schema, "components": components}, validate_formats=True
    )


def operation_of(method: str, path: str) -> Json:
    """Return the described operation of an address. Raises KeyError."""
    for (described, template), operation in OPERATIONS.items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if described == method and re.fullmatch(pattern, path):
            return operation
    raise KeyError(path)


def assert_described(response: TestResponse) -> None:
    """Check that the document describes a response: status, headers, type and body."""
    request = response.request
    # The document lists the 405 under the method that the address supports.
    method = request.method if response.status_code != 405 else "POST"
    try:
        operation = operation_of(method, request.path)
    except KeyError:
        operation = operation_of("GET", request.path)
    described = operation["responses"][str(response.status_code)]
    for name, header in DOCUMENT["components"]["headers"].items():
        is_described = name in described["headers"]
        assert name in response.headers or not (is_described and header["required"]), name
        if name in response.headers:
            assert is_described, name
            assert validator(header["schema"]).is_valid(_read(header, response.headers[name]))
    media_type = described["content"][response.mimetype]
    if response.is_json:
        assert response.data.endswith(b"}\n")
        assert_is(media_type["schema"], json.loads(response.data))


def assert_is(schema: Json, content: Any) -> None:
    """Check ``content`` against the schema, without unknown fields."""
    strict = validator(schema, _closed(deepcopy(DOCUMENT["components"])))
    errors = [f"{error.instance_path}: {error.message}" for error in strict.iter_errors(content)]
    assert not errors


def _read(header: Json, value: str) -> Any:
    return int(value) if header["schema"].get("type") == "integer" else value


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        for part in schema:
            _closed(part)
    elif isinstance(schema, dict):
        for part in schema.values():
            _closed(part)
        if schema.get("type") == "object" and "properties" in schema:
            schema["additionalProperties"] = False
    return schema
