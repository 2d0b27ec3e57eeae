"""Standard Webhooks signatures: https://www.standardwebhooks.com"""

import math
import time
from collections.abc import Iterable

from flask import Request
from standardwebhooks import Webhook, WebhookVerificationError

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
TOLERANCE_SECONDS = 300


class BadSignature(Exception):
    """A signature that is not valid; the message is the reason."""


class Signatures:
    """The secrets of signatures: several at once, so that they can be rotated."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    @property
    def are_accepted(self) -> bool:
        """True if there are secrets to verify a signature with."""
        return bool(self._webhooks)

    def is_signed(self, request: Request) -> bool:
        """Return whether ``request`` claims a signature."""
        return any(name in request.headers for name in HEADERS)

    def verify(self, request: Request, body: bytes) -> None:
        """Check that a secret signed ``body`` at most five minutes ago.

        Raises ``BadSignature``.
        """
        headers = {name: request.headers.get(name, "") for name in HEADERS}
        if not any(_is_verified(webhook, body, headers) for webhook in self._webhooks):
            raise BadSignature(_find_fault(headers))


def _is_verified(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        # The library lets ValueError and UnicodeDecodeError out on hostile headers.
        return False
    return True


def _find_fault(headers: dict[str, str]) -> str:
    """Return the first fault of an unverified signature, and its remedy."""
    missing = [name for name in HEADERS if not headers[name]]
    if missing:
        return f"A signature needs three headers; absent or empty: {', '.join(missing)}."
    age_seconds = _age_seconds(headers["webhook-timestamp"])
    if math.isnan(age_seconds):
        return "webhook-timestamp is not a time in seconds since 1970, such as 1795341600."
    if age_seconds > TOLERANCE_SECONDS:
        return (
            "The signature is too old: webhook-timestamp is more than 5 minutes before the relay's"
            " clock. Check the sender's clock, and sign each repeat anew."
        )
    if age_seconds < -TOLERANCE_SECONDS:
        return (
            "The signature is too new: webhook-timestamp is more than 5 minutes after the relay's"
            " clock. Check the sender's clock, and that the time is in seconds."
        )
    if not any(part.startswith("v1,") for part in headers["webhook-signature"].split(" ")):
        return "webhook-signature has no signature of the form v1,<base64>."
    return (
        "The signature does not fit: check the secret, and that id, timestamp and body are signed"
        " byte by byte as they are sent."
    )


def _age_seconds(timestamp: str) -> float:
    """Return the seconds since ``timestamp``; no number where it is none."""
    try:
        seconds = float(timestamp)
    except ValueError:
        return math.nan
    return time.time() - seconds if math.isfinite(seconds) else math.nan
