"""Schemas and descriptions in words, as HTML: what the API page shows of the document."""

import re
from typing import Any

from markupsafe import Markup, escape

from app.web.openapi.schemas import Schema


class Words:
    """Reads the schemas of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]

    def of(self, schema: Schema) -> Markup:
        """What a value must be: ``string or null``, ``one of…``, or a link to its fields."""
        match schema:
            case {"$ref": str(address)}:
                return self._of_component(address.rpartition("/")[2])
            case {"anyOf": list(choices)} | {"oneOf": list(choices)}:
                return Markup(" or ").join(self.of(choice) for choice in choices)
            case {"enum": list(values)}:
                return Markup(", ").join(_code(value) for value in values)
            case {"const": value}:
                return _code(value)
            case {"type": "array", "items": items}:
                return Markup("list of ") + self.of(items)
        kind = "object of strings" if "additionalProperties" in schema else schema["type"]
        return Markup(", ").join([kind, *_limits(schema)])

    def _of_component(self, name: str) -> Markup:
        schema = self._schemas[name]
        if "properties" in schema:
            return Markup('<a href="#{0}">{0}</a>').format(name)
        return self.of(schema)


def paragraphs(text: str) -> Markup:
    """``text`` with its paragraphs, and its backticks as code."""
    return Markup("").join(Markup("<p>{}</p>").format(line(part)) for part in text.split("\n\n"))


def line(text: str) -> Markup:
    """``text`` with its backticks as code."""
    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        _code(part) if odd % 2 else escape(part) for odd, part in enumerate(parts)
    )


def _code(value: Any) -> Markup:
    return Markup("<code>{}</code>").format(value)


def _limits(schema: Schema) -> list[Markup]:
    said = []
    if schema.get("format") == "date-time":
        said.append(escape("RFC 3339"))
    elif "pattern" in schema:
        said.append(_code(schema["pattern"]))
    if "maxLength" in schema:
        said.append(escape(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters"))
    if "maxProperties" in schema:
        said.append(escape(f"at most {schema['maxProperties']}"))
    if "maximum" in schema:
        said.append(escape(f"{schema['minimum']} to {schema['maximum']}"))
    if "default" in schema:
        said.append(escape(f"default {schema['default']}"))
    return said
