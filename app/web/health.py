"""Liveness and readiness views."""

from flask import Response

from app.store.audit import Readiness
from app.web.problems import ProblemError
from app.web.responses import json_response


class Liveness:
    """Liveness view: answers while the process serves; uses no other system."""

    def __init__(self, version: str) -> None:
        self._version = version

    def livez(self) -> Response:
        """Answer 200 with the release's version."""
        return json_response({"status": "ok", "version": self._version})


class ReadinessView:
    """Readiness view: 200 if an event could be accepted now."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def readyz(self) -> Response:
        """Answer 200 with warnings, or with a problem that names the failing checks."""
        ready = self._readiness.check()
        if ready.failing:
            errors = [{"check": check} for check in ready.failing]
            raise ProblemError("not-ready", "; ".join(ready.failing), errors=errors)
        return json_response({"status": "ok", "warnings": ready.warnings})
