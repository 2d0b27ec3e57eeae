"""Values of variables that are more than a number, and the types that they become.

No message here quotes what it refuses: most of these values are secrets.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError

from config.authorities import parse_authorities
from config.bind import parse_bind
from config.environment import is_quoted
from config.proxy_url import ProxyUrl, parse_proxy_url
from config.redis_url import RedisUrl, parse_redis_url

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
MIN_WEBHOOK_KEY_BYTES = 24
WEBHOOK_SECRET_SENTENCE = f"whsec_ and {MIN_WEBHOOK_KEY_BYTES} bytes or more in base64"
TOKEN_SENTENCE = "16 to 512 printable ASCII characters, no spaces, no quotes at its ends"  # noqa: S105 - of one

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKEN = re.compile(r"[\x21-\x2b\x2d-\x7e]{16,512}")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,512}")
_LABEL = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_HTTP_URL = re.compile(
    rf"https?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::\d+)?"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A caller's bearer token; logs have its ``name`` instead."""

    name: str
    token: SecretStr

    def __str__(self) -> str:
        return f"{self.name}:{self.token}"


def settings_error(sentence: str) -> PydanticCustomError:
    """Return the error that is reported as ``sentence``, word for word."""
    return PydanticCustomError("sentence", "{sentence}", {"sentence": sentence})


def token_with_two_names(tokens: tuple[Token, ...]) -> str | None:
    """Return the later of two names that share one token: one caller would pass for the other."""
    first_name: dict[str, str] = {}
    for token in tokens:
        if first_name.setdefault(token.token.get_secret_value(), token.name) != token.name:
            return token.name
    return None


def _parse_tokens(text: str) -> tuple[Token, ...]:
    tokens: list[Token] = []
    problems: list[str] = []
    for position, entry in _entries(text):
        name, colon, token = entry.partition(":")
        if colon and _NAME.fullmatch(name) and _TOKEN.fullmatch(token) and not is_quoted(token):
            tokens.append(Token(name, SecretStr(token)))
        else:
            problems.append(_wrong_entry(position, name if colon else "", token))
    problems += _repeated(tokens) if tokens or problems else ["holds no token"]
    if problems:
        raise settings_error("; ".join(problems))
    return tuple(tokens)


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield what stands between commas, counted from 1; blanks and a last comma are no entries."""
    entries = (entry.strip() for entry in text.split(","))
    return enumerate(filter(None, entries), start=1)


def _wrong_entry(position: int, name: str, token: str) -> str:
    if not name:
        return f"entry {position} must be name:token"
    if not _NAME.fullmatch(name):
        return f"the name of entry {position} must be 1 to 64 of A-Z a-z 0-9 _ . -"
    if not token:
        return f"entry {position} has a name and no token"
    return f"the token of entry {position} must be {TOKEN_SENTENCE}"


def _repeated(tokens: list[Token]) -> list[str]:
    problems = []
    if len(set(tokens)) < len(tokens):
        problems.append("the same name:token is given twice, drop one")
    if name := token_with_two_names(tuple(tokens)):
        problems.append(f"the token of {name!r} belongs to another name too, make a new one")
    return problems


def _parse_webhook_secrets(text: str | tuple[()]) -> tuple[SecretStr, ...]:
    entries = list(_entries(text or ""))
    for position, entry in entries:
        if not _is_webhook_secret(entry):
            raise settings_error(f"entry {position} must be {WEBHOOK_SECRET_SENTENCE}")
    return tuple(SecretStr(entry) for _, entry in entries)


def _is_webhook_secret(text: str) -> bool:
    prefix, _, key = text.partition("_")
    try:
        return prefix == "whsec" and len(b64decode(key, validate=True)) >= MIN_WEBHOOK_KEY_BYTES
    except ValueError:
        return False


def _parse_redis_url(text: str) -> RedisUrl:
    try:
        return parse_redis_url(text)
    except ValueError as error:
        raise settings_error(str(error)) from None


def _parse_proxy_url(text: str) -> ProxyUrl:
    try:
        return parse_proxy_url(text)
    except ValueError as error:
        raise settings_error(str(error)) from None


def _parse_authorities(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return parse_authorities(text)
    except ValueError as error:
        raise settings_error(str(error)) from None


def _check_api_url(url: str) -> str:
    if not _HTTP_URL.fullmatch(url) or urlsplit(url).port == 0:
        raise ValueError
    return url.rstrip("/")


def _check_header_safe(text: str) -> str:
    # http.client refuses other characters at every call, long after a start that looked good
    if not _HEADER_SAFE.fullmatch(text):
        raise ValueError
    return text


Tokens = Annotated[tuple[Token, ...], BeforeValidator(_parse_tokens)]
OptionalTokens = Annotated[
    tuple[Token, ...], BeforeValidator(lambda text: _parse_tokens(text) if text else ())
]
WebhookSecrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_parse_webhook_secrets)]
RedisUrlSetting = Annotated[RedisUrl, BeforeValidator(_parse_redis_url)]
Bind = Annotated[str, AfterValidator(parse_bind)]
ProxySetting = Annotated[ProxyUrl, BeforeValidator(_parse_proxy_url)]
Authorities = Annotated[tuple[Path, ...], BeforeValidator(_parse_authorities)]
ApiUrl = Annotated[str, AfterValidator(_check_api_url)]
HeaderText = Annotated[str, AfterValidator(_check_header_safe)]
HeaderSecret = Annotated[SecretStr, BeforeValidator(_check_header_safe)]
AnyCase = BeforeValidator(str.upper)
OnlyTrue = BeforeValidator(lambda text: str(text).lower() == "true")
