"""Authentication of callers, and their scopes."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from flask import Request

from app.web.problems import ProblemError
from app.web.signatures import BadSignature, Signatures

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="chat-relay"'}


class Scope(Enum):
    """A right that a token gives."""

    SUBMIT = "submit"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller: its name in logs, and its scopes."""

    name: str
    scopes: frozenset[Scope]


NO_SECRETS = "This relay accepts no signatures: WEBHOOK_SECRETS is not set. Send a bearer token."
# A webhook caller before and after the signature of its body is verified.
UNVERIFIED_WEBHOOK = Caller("unproved", frozenset({Scope.SUBMIT}))
WEBHOOK = Caller("webhook", frozenset({Scope.SUBMIT}))


class Authenticator:
    """All known tokens, as their digests, and the secrets of signatures."""

    def __init__(
        self, tokens: Iterable[tuple[Scope, str, str]], webhook_secrets: Iterable[str] = ()
    ) -> None:
        """Take ``(scope, name, token)`` for each token; one given for both scopes has both."""
        self._signatures = Signatures(webhook_secrets)
        self._callers: dict[bytes, Caller] = {}
        for scope, name, token in tokens:
            digest = _digest(token)
            known = self._callers.get(digest, Caller(name, frozenset()))
            self._callers[digest] = Caller(name, known.scopes | {scope})

    def authenticate(self, request: Request, scope: Scope | None) -> Caller:
        """Return the caller of ``request``, decided by its head; the route needs ``scope``.

        A bearer token, when present, decides, and its caller may lack that scope. A signed request
        may submit, and its caller is ``UNVERIFIED_WEBHOOK`` until ``verify_signature``. Raises
        ``ProblemError``: unauthorized.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._find_caller(token.strip())
        if scope is Scope.SUBMIT and self._signatures.is_signed(request):
            if not self._signatures.are_accepted:
                raise ProblemError("unauthorized", NO_SECRETS, headers=CHALLENGE)
            return UNVERIFIED_WEBHOOK
        raise ProblemError("unauthorized", headers=CHALLENGE)

    def verify_signature(self, request: Request, body: bytes) -> Caller:
        """Return the caller that signed ``body``. Raises ``ProblemError``: unauthorized."""
        try:
            self._signatures.verify(request, body)
        except BadSignature as error:
            raise ProblemError("unauthorized", str(error), headers=CHALLENGE) from error
        return WEBHOOK

    def _find_caller(self, token: str) -> Caller:
        presented = _digest(token)
        found = None
        # Compared with every one in constant time, so that time reveals nothing about the tokens.
        for digest, caller in self._callers.items():
            if hmac.compare_digest(digest, presented):
                found = caller
        if found is None:
            raise ProblemError("unauthorized", headers=CHALLENGE)
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
