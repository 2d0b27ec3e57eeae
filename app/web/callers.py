"""Who calls, and what they may do."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from flask import Request

from app.web.problems import Refusal

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


class Callers:
    """All known tokens, as their digests."""

    def __init__(self, tokens: Iterable[tuple[Right, str, str]]) -> None:
        """Take ``(right, name, token)`` for each token; one given for both rights has both."""
        self._callers: dict[bytes, Caller] = {}
        for right, name, token in tokens:
            digest = _digest(token)
            known = self._callers.get(digest, Caller(name, frozenset()))
            self._callers[digest] = Caller(name, known.rights | {right})

    def authenticate(self, request: Request) -> Caller:
        """Return who sent ``request``. Raises ``Refusal``: unauthorized."""
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
