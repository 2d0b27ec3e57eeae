"""Standard Webhooks signatures: https://www.standardwebhooks.com"""

from collections.abc import Iterable

from flask import Request
from standardwebhooks import Webhook, WebhookVerificationError

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Signatures:
    """The secrets of signatures: several at once, so that they can be rotated."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def is_signed(self, request: Request) -> bool:
        """Return whether ``request`` claims a signature, and there are secrets for it."""
        return bool(self._webhooks) and any(name in request.headers for name in HEADERS)

    def verify(self, request: Request, body: bytes) -> bool:
        """Return whether one of the secrets signed ``body``, at most five minutes ago."""
        headers = {name: request.headers.get(name, "") for name in HEADERS}
        return any(_is_verified(webhook, body, headers) for webhook in self._webhooks)


def _is_verified(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        # The library lets ValueError and UnicodeDecodeError out on hostile headers.
        return False
    return True
