"""HTML for the schemas and descriptions of the OpenAPI document."""

import re
from typing import Any

from markupsafe import Markup, escape

Schema = dict[str, Any]


class SchemaHtml:
    """HTML of schemas; ``components`` are the targets of ``$ref``."""

    def __init__(self, components: dict[str, Schema]) -> None:
        self._components = components

    def render(self, schema: Schema) -> Markup:
        """Return ``schema`` as ``string or null``, a list of values, or a link to its fields."""
        match schema:
            case {"$ref": str(address)}:
                return self._render_component(address.rpartition("/")[2])
            case {"anyOf": list(choices)}:
                return Markup(", or ").join(self.render(choice) for choice in choices)
            case {"enum": list(values)}:
                return Markup(", ").join(_code(value) for value in values)
            case {"const": value}:
                return _code(value)
            case {"type": "array", "items": items}:
                return Markup("list of ") + self.render(items)
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kind = "object of strings" if "additionalProperties" in schema else " or ".join(kinds)
        return Markup(", ").join([kind, *_limits(schema)])

    def _render_component(self, name: str) -> Markup:
        schema = self._components[name]
        if "properties" in schema or "x-meanings" in schema:
            return Markup('<a href="#{0}">{0}</a>').format(name)
        return self.render(schema)


def render_paragraphs(text: str) -> Markup:
    """Return ``text`` as paragraphs, with its backticks as code."""
    parts = [render_line(part) for part in text.split("\n\n")]
    return Markup("").join(Markup("<p>{}</p>").format(part) for part in parts)


def render_line(text: str) -> Markup:
    """Return ``text`` with its backticks as code."""
    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        _code(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def strip_code(text: str) -> str:
    """Return ``text`` without its backticks, for titles, which have no markup."""
    return text.replace("`", "")


def _code(value: Any) -> Markup:
    return Markup("<code>{}</code>").format(value)


def _limits(schema: Schema) -> list[Markup]:
    limits = []
    if schema.get("format") == "date-time":
        limits.append(escape("RFC 3339"))
    elif "pattern" in schema:
        limits.append(_code(schema["pattern"]))
    if "maxLength" in schema:
        limits.append(escape(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters"))
    if "maxProperties" in schema:
        limits.append(escape(f"at most {schema['maxProperties']}"))
    if "maximum" in schema:
        limits.append(escape(f"{schema['minimum']} to {schema['maximum']}"))
    if "default" in schema:
        limits.append(escape(f"default {schema['default']}"))
    return limits
