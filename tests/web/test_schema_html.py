"""HTML of each kind of schema in the OpenAPI document."""

from typing import Any

import pytest

from app.web.schema_html import SchemaHtml, render_line, render_paragraphs

COMPONENTS: dict[str, dict[str, Any]] = {
    "Id": {"type": "string", "pattern": "^<a>$", "minLength": 1, "maxLength": 9},
    "Chat": {"type": "object", "properties": {"id": {"type": "string"}}},
}
TO_CHAT = '<a href="#Chat">Chat</a>'


@pytest.mark.parametrize(
    ("expected", "schema"),
    [
        ("string", {"type": "string"}),
        ("string or null", {"type": ["string", "null"]}),
        ("string, RFC 3339", {"type": "string", "format": "date-time", "pattern": "^[0-9]$"}),
        ("integer", {"type": "integer", "minimum": 0}),
        (
            "integer, 1 to 9, default 5",
            {"type": "integer", "minimum": 1, "maximum": 9, "default": 5},
        ),
        ("<code>a</code>, <code>b</code>", {"enum": ["a", "b"]}),
        ("<code>ok</code>", {"const": "ok"}),
        (f"list of {TO_CHAT}", {"type": "array", "items": {"$ref": "#/components/schemas/Chat"}}),
        (
            f"{TO_CHAT}, or null",
            {"anyOf": [{"$ref": "#/components/schemas/Chat"}, {"type": "null"}]},
        ),
        (
            "string, <code>^&lt;a&gt;$</code>, 1 to 9 characters",
            {"$ref": "#/components/schemas/Id"},
        ),
        (
            "object of strings, at most 2",
            {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}},
        ),
    ],
)
def test_a_schema_is_rendered_in_words(expected: str, schema: dict[str, Any]) -> None:
    """Limits follow the type; objects are linked, other components are inlined."""
    assert expected == SchemaHtml(COMPONENTS).render(schema)


def test_text_is_escaped_and_has_its_backticks_as_code() -> None:
    """Lines and paragraphs are escaped, and their backticks become code."""
    assert "1 &lt; 2, <code>&amp;</code>" == render_line("1 < 2, `&`")
    assert "<p>a\nb</p><p><code>c</code></p>" == render_paragraphs("a\nb\n\n`c`")
