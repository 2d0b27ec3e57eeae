"""``HTTPS_PROXY`` and its like: their parser and the parsed value."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote

from pydantic import SecretStr

PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535
PROXY_SENTENCE = "like http://proxy.example:3128 or http://user:password@proxy.example:3128"

# A part that is empty, or longer than DNS allows, is an error of the name look-up's encoding.
_NAME = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?"
_URL = re.compile(
    r"(?:(?P<scheme>[A-Za-z0-9+.-]+)://)?(?:(?P<login>.*)@)?"
    rf"(?P<host>{_NAME}|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?/?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyUrl:
    """Address of a proxy and the credentials for it; ``str`` and ``repr`` show no credentials."""

    scheme: str
    host: str
    port: int
    username: SecretStr = field(repr=False)
    password: SecretStr = field(repr=False)

    @property
    def authorization(self) -> str | None:
        """The value of ``Proxy-Authorization``, RFC 7617, or ``None`` without a user."""
        if not self.username:
            return None
        login = f"{self.username.get_secret_value()}:{self.password.get_secret_value()}"
        return f"Basic {b64encode(login.encode()).decode()}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_proxy_url(text: str) -> ProxyUrl:
    """Parse ``[http[s]://][user[:password]@]host[:port]``, as requests and curl do.

    Raises ``ValueError`` with the rest of a sentence that begins with the variable's name; it
    quotes nothing of the text.
    """
    parts = _URL.fullmatch(text.strip())
    if not parts:
        raise ValueError(f"must be {PROXY_SENTENCE}")
    scheme = (parts["scheme"] or "http").lower()
    if scheme not in PORTS:
        raise ValueError("must start with http:// or https://; proxies of other kinds are not used")
    port = int(parts["port"] or PORTS[scheme])
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"must have a port from 1 to {MAX_PORT}")
    username, _, password = (parts["login"] or "").partition(":")
    return ProxyUrl(
        scheme=scheme,
        host=parts["host"].strip("[]"),
        port=port,
        username=SecretStr(unquote(username)),
        password=SecretStr(unquote(password)),
    )
