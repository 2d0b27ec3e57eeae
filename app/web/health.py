"""Views that say whether the process serves, and whether it could accept an event now."""

import json

from flask import Response

from app.chats.errors import StoreUnavailable
from app.store.audit import Auditor
from app.web.problems import Refusal, answer


def livez() -> Response:
    """Answer while the process serves; touches nothing."""
    return Response('{"status": "ok"}', mimetype="application/json")


class Readiness:
    """The view that answers whether an event could be accepted now."""

    def __init__(self, auditor: Auditor, *, allow_unsafe: bool) -> None:
        self._auditor = auditor
        self._allow_unsafe = allow_unsafe

    def readyz(self) -> Response:
        """Answer 200 with warnings, or with a problem that names the failing checks."""
        try:
            findings = self._auditor.audit()
        except StoreUnavailable:
            return _not_ready(["redis: does not answer"])
        faults = [f"redis: {fault}" for fault in findings.faults]
        if faults and not self._allow_unsafe:
            return _not_ready(faults)
        warnings = faults + [f"redis: {warning}" for warning in findings.warnings]
        return Response(
            json.dumps({"status": "ok", "warnings": warnings}), mimetype="application/json"
        )


def _not_ready(failing: list[str]) -> Response:
    errors = [{"check": check} for check in failing]
    return answer(Refusal("not-ready", "; ".join(failing), errors=errors))
