"""The text of a setting: from its variable or, for a secret, from a file."""

from collections.abc import Iterable, Mapping
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
        "WEBHOOK_SECRETS",
    }
)


class CannotRead(Exception):
    """The text cannot be had; the message says why, and quotes nothing of it."""


def read(names: Iterable[str], environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the text of each name that is set, and a problem for each that cannot be read.

    Blank is unset, for variables and for files.
    """
    texts: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name in names:
        try:
            texts[name] = _text_of(name, environ)
        except CannotRead as error:
            problems[name] = str(error)
    return {name: text for name, text in texts.items() if text.strip()}, problems


def _text_of(name: str, environ: Mapping[str, str]) -> str:
    text = environ.get(name, "")
    path = environ.get(f"{name}_FILE", "") if name in SECRETS else ""
    if not path.strip():
        return text
    if text.strip():
        raise CannotRead(f"{name}: {name}_FILE is set as well; unset one of the two")
    return _text_in_file(f"{name}_FILE", path)


def _text_in_file(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise CannotRead(f"{name}: cannot read {path!a} ({error.strerror})") from None
    except ValueError:
        raise CannotRead(f"{name}: cannot read {path!a} as UTF-8 text") from None
    if len(content) > MAX_FILE_BYTES:
        raise CannotRead(f"{name}: {path!a} is larger than 64 KiB")
    return text.rstrip("\r\n")
