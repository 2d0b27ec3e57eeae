"""Who calls, and what they may do."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from flask import Request

from app.web.problems import Refusal
from app.web.signatures import Signatures

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="chat-relay"'}


class Right(Enum):
    """What a token allows."""

    SUBMIT = "submit"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller: the name that logs say, and what it may do."""

    name: str
    rights: frozenset[Right]


# Known by the signature of its body, which is proved once the body has come.
SIGNED = Caller("webhook", frozenset({Right.SUBMIT}))


class Callers:
    """All known tokens, as their digests, and the secrets of signatures."""

    def __init__(
        self, tokens: Iterable[tuple[Right, str, str]], webhook_secrets: Iterable[str] = ()
    ) -> None:
        """Take ``(right, name, token)`` for each token; one given for both rights has both."""
        self._signatures = Signatures(webhook_secrets)
        self._callers: dict[bytes, Caller] = {}
        for right, name, token in tokens:
            digest = _digest(token)
            known = self._callers.get(digest, Caller(name, frozenset()))
            self._callers[digest] = Caller(name, known.rights | {right})

    def authenticate(self, request: Request, right: Right | None) -> Caller:
        """Return who sent ``request``, for which ``right`` is wanted.

        Who signs may submit, and is ``SIGNED`` until ``prove``; a bearer token, when there is one,
        decides. Raises ``Refusal``: unauthorized.
        """
        is_bearer = "Authorization" in request.headers
        if not is_bearer and right is Right.SUBMIT and self._signatures.are_on(request):
            return SIGNED
        return self._bearer(request)

    def prove(self, request: Request, body: bytes) -> None:
        """Refuse a caller that claims to have signed ``body`` and has not: unauthorized."""
        if not self._signatures.prove(request, body):
            raise Refusal("unauthorized", "The signature does not fit.", headers=CHALLENGE)

    def _bearer(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        presented = _digest(token.strip())
        found = None
        # Compared with every one in constant time, so that time tells nothing about the tokens.
        for digest, caller in self._callers.items():
            if hmac.compare_digest(digest, presented):
                found = caller
        if scheme.lower() != "bearer" or found is None:
            raise Refusal("unauthorized", headers=CHALLENGE)
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
