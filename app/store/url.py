"""What a ``REDIS_URL`` says. Which ones can be used at all is for the settings to check."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from app.store.connections import Address

REDIS_PORT = 6379
SENTINEL_PORT = 26379
DEFAULT_PORTS = {"redis+sentinel": SENTINEL_PORT}

_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<login>[^@]*)@)?(?P<hosts>[^/?]*)(?P<path>[^?]*)\??(?P<query>.*)"
)
_HOST = re.compile(r"\[?(?P<host>[^]]+?)]?(?::(?P<port>\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """Where Redis is, and how to get in; ``login`` and ``tls`` are options of a connection.

    ``service`` is the sentinels' name of it. User, password and TLS are those of the servers: the
    sentinels are asked without.
    """

    scheme: str
    hosts: tuple[Address, ...]
    path: str
    service: str
    db: int
    is_tls: bool
    login: dict[str, Any]
    tls: dict[str, Any]


def parse(url: str) -> RedisUrl:
    """Read one of these; all may have a user and a password before the first host.

    ``redis[s]://host[:port][/db]``, ``unix:///path[?db=0]``,
    ``redis+sentinel://host[:port],…/service[/db][?ssl=true]``,
    ``redis+cluster://host[:port],…[?ssl=true]``. Raises ``ValueError``, and quotes nothing.
    """
    matched = _URL.fullmatch(url)
    if not matched:
        raise ValueError("not a URL of Redis")
    scheme, login, hosts, path, query = matched.groups(default="")
    options = dict(parse_qsl(query))
    service, db = _service_and_db(scheme, path)
    is_tls = scheme == "rediss" or options.pop("ssl", "") == "true"
    return RedisUrl(
        scheme=scheme,
        hosts=_hosts(hosts, DEFAULT_PORTS.get(scheme, REDIS_PORT)) if hosts else (),
        path=unquote(path),
        service=service,
        db=int(options.pop("db", db)),
        is_tls=is_tls,
        login=_login(login),
        tls=_tls(options) if is_tls else {},
    )


def _service_and_db(scheme: str, path: str) -> tuple[str, str]:
    if scheme == "unix":
        return "", "0"
    *service, db = path.strip("/").split("/", 1)
    if scheme == "redis+sentinel" and not service:
        return db, "0"
    return "".join(service), db or "0"


def _hosts(text: str, default_port: int) -> tuple[Address, ...]:
    matches = (_HOST.fullmatch(host) for host in text.split(","))
    return tuple((match["host"], int(match["port"] or default_port)) for match in matches if match)


def _login(text: str) -> dict[str, Any]:
    user, _, password = text.partition(":")
    login = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in login.items() if value}


def _tls(options: dict[str, str]) -> dict[str, Any]:
    """``ssl_ca_certs``, ``ssl_cert_reqs`` and the like, as the library names them."""
    checks = {name: text == "true" for name, text in options.items() if name.endswith("hostname")}
    return options | checks
