"""Sign-in of operators: their tokens, and the signed cookie that names who is signed in.

The cookie is Flask's own: https://flask.palletsprojects.com/en/stable/api/#sessions
"""

import hashlib
import hmac
import time
from collections.abc import Iterable
from datetime import timedelta

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface

SIGNED_IN_FOR = timedelta(hours=8)
COOKIE_SETTINGS = {
    "SESSION_COOKIE_NAME": "relay_operator",
    "SESSION_COOKIE_PATH": "/operate",
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Strict",
    "SESSION_REFRESH_EACH_REQUEST": False,
    "PERMANENT_SESSION_LIFETIME": SIGNED_IN_FOR,
}


class Operators:
    """The operators' tokens, as digests: ``(name, token)`` for each."""

    def __init__(self, tokens: Iterable[tuple[str, str]]) -> None:
        self._names = {_digest(token): name for name, token in tokens}

    @property
    def cookie_key(self) -> bytes:
        """The key of the cookies' signature: other tokens end all that are signed in."""
        parts = sorted(digest + name.encode() for digest, name in self._names.items())
        return hmac.digest(b"chat-relay: operators' cookies", b"".join(parts), "sha256")

    def find(self, token: str) -> str | None:
        """Return the name of the operator with this token."""
        presented, found = _digest(token), None
        # Compared with every one in constant time, so that time reveals nothing about the tokens.
        for digest, name in self._names.items():
            if hmac.compare_digest(digest, presented):
                found = name
        return found


class OperatorSession(SecureCookieSessionInterface):
    """Flask's signed cookie, for HTTPS alone where the operator came by HTTPS."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - Flask's
        """Return whether the request came by TLS, which a load balancer may end."""
        return request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"


def sign_in(name: str) -> None:
    """Begin a session of its own for the operator; nothing of one before it is kept."""
    session.clear()
    session.permanent = True
    session["operator"] = name
    session["until"] = int(time.time() + SIGNED_IN_FOR.total_seconds())


def sign_out() -> None:
    """End the session in this browser."""
    session.clear()


def current_operator() -> str | None:
    """Return the name of the operator who is signed in, for eight hours from the sign-in."""
    # The cookie's own age does not do: each change of it, such as a notice, makes it young again.
    if time.time() > session.get("until", 0):
        return None
    name: str | None = session.get("operator")
    return name


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
