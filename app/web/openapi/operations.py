"""How an operation is described: one method of an address, and what a request may hold."""

from typing import Any

from app.web.openapi.answers import Json


def parameter(place: str, name: str, description: str, schema: Json, example: Any) -> Json:
    """Something of a request beside its body; in the path it is required."""
    needed = {"required": True} if place == "path" else {}
    shown = {"description": description, "schema": schema, "example": example}
    return {"name": name, "in": place, **needed, **shown}


def operation(summary: str, curl: str, security: list[Json], **parts: Any) -> Json:
    """One method of an address; ``curl`` is what follows that word on the command line."""
    sample = {"lang": "Shell", "label": "curl", "source": f"curl {curl}"}
    return {"summary": summary, "security": security, "x-codeSamples": [sample], **parts}
