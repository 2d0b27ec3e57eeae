"""Standard Webhooks signatures: https://www.standardwebhooks.com"""

from collections.abc import Iterable

from flask import Request
from standardwebhooks import Webhook, WebhookVerificationError

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Signatures:
    """All secrets that a signature may be made with: several, so that they can be rotated."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def are_on(self, request: Request) -> bool:
        """Whether ``request`` says that it is signed, and there are secrets to prove it by."""
        return bool(self._webhooks) and any(name in request.headers for name in HEADERS)

    def prove(self, request: Request, body: bytes) -> bool:
        """Whether ``body`` is signed with one of the secrets, not more than five minutes ago."""
        headers = {name: request.headers.get(name, "") for name in HEADERS}
        return any(_is_proved(webhook, body, headers) for webhook in self._webhooks)


def _is_proved(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        # The library lets ValueError and UnicodeDecodeError out on hostile headers.
        return False
    return True
