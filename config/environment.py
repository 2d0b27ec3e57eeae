"""The text of a setting: from its variable or, for a secret, from a file.

Imports no library: the health check reads its settings here, every few seconds.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

MAX_FILE_BYTES = 65_536

# each of these may come from a file that <NAME>_FILE names
SECRETS = frozenset(
    {
        "REDIS_URL",
        "CHANNEL_ACCESS_KEY",
        "CHANNEL_ACCESS_SECRET",
        "SUBMIT_TOKENS",
        "READ_TOKENS",
        "OPERATE_TOKENS",
        "WEBHOOK_SECRETS",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
    }
)
# A Service named "metrics" sets METRICS_PORT in every pod of its namespace:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)
_QUOTES = tuple(
    "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2032\u2033\u00ab\u00bb\u2039\u203a"
    "\u300c\u300d\u300e\u300f\uff02\uff07"
)
# other programs read these in lower case as well, and prefer that
EITHER_CASE = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"})


class SecretFileError(Exception):
    """A secret's file cannot be used; the message is the reason, and quotes nothing of it."""


def read(
    names: Iterable[str], environ: Mapping[str, str], numbers: Collection[str] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the text of each name that is set, and a problem for each that cannot be read.

    Blank is unset, for variables and for files; so is a service link of Kubernetes in one of
    ``numbers``.
    """
    texts: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name in names:
        try:
            text = _text_of(name, environ).removeprefix("\ufeff").strip()
        except SecretFileError as error:
            problems[name] = str(error)
            continue
        if not text or (name in numbers and is_service_link(text)):
            continue
        if is_quoted(text):
            problems[name] = f"{name}: begins or ends with a quotation mark, write it without"
        else:
            texts[name] = text
    return texts, problems


def is_service_link(text: str) -> bool:
    """Return whether Kubernetes or Docker made the value for a service of that name."""
    return bool(_SERVICE_LINK.match(text.strip()))


def is_quoted(text: str) -> bool:
    """Return whether there is a quotation mark at either end, straight or typographic.

    A shell takes quotes away; ``docker run --env-file`` and many a form keep them.
    """
    return text.startswith(_QUOTES) or text.endswith(_QUOTES)


def _text_of(name: str, environ: Mapping[str, str]) -> str:
    text = environ.get(name, "")
    if name in EITHER_CASE and environ.get(name.lower(), "").strip():
        text = environ[name.lower()]
    path = environ.get(f"{name}_FILE", "").strip() if name in SECRETS else ""
    if not path:
        return text
    if text.strip():
        raise SecretFileError(f"{name}: {name}_FILE is set as well; unset one of the two")
    return _text_in_file(f"{name}_FILE", path)


def _text_in_file(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise SecretFileError(f"{name}: cannot read {path!a} ({error.strerror})") from None
    except ValueError:
        raise SecretFileError(f"{name}: cannot read {path!a} as UTF-8 text") from None
    if len(content) > MAX_FILE_BYTES:
        raise SecretFileError(f"{name}: {path!a} is larger than 64 KiB")
    return text
