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


# Says that it has signed its body, which can be proved once the body has come; and then has.
CLAIMANT = Caller("unproved", frozenset({Right.SUBMIT}))
SIGNER = Caller("webhook", frozenset({Right.SUBMIT}))


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

        A bearer token, when there is one, decides; who has signed instead may submit, and is
        ``CLAIMANT`` until ``prove``. Raises ``Refusal``: unauthorized.
        """
        scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(token.strip())
        if right is Right.SUBMIT and self._signatures.are_on(request):
            return CLAIMANT
        raise Refusal("unauthorized", headers=CHALLENGE)

    def prove(self, request: Request, body: bytes) -> Caller:
        """Return who has signed ``body``. Raises ``Refusal``: unauthorized, where nobody has."""
        if not self._signatures.prove(request, body):
            raise Refusal("unauthorized", "The signature does not fit.", headers=CHALLENGE)
        return SIGNER

    def _bearer(self, token: str) -> Caller:
        presented = _digest(token)
        found = None
        # Compared with every one in constant time, so that time tells nothing about the tokens.
        for digest, caller in self._callers.items():
            if hmac.compare_digest(digest, presented):
                found = caller
        if found is None:
            raise Refusal("unauthorized", headers=CHALLENGE)
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
