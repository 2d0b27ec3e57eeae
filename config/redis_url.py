"""``REDIS_URL``: its parser and the parsed value."""

import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from pydantic import SecretStr

REDIS_PORT = 6379
SENTINEL_PORT = 26379
MAX_PORT = 65_535
# The URL of one of these names several servers.
SCHEMES_OF_SEVERAL = frozenset({"redis+sentinel", "redis+cluster"})
SCHEMES = frozenset({"redis", "rediss", "unix"}) | SCHEMES_OF_SEVERAL
SCHEMES_SENTENCE = (
    "a URL that starts with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
)

_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<login>[^@/?#]*)@)?(?P<hosts>[^@/?#]*)(?P<path>/[^@?#]*)?(?:\?(?P<query>[^#]*))?"
)
# A part that is empty, or longer than DNS allows, is an error of the name look-up's encoding.
_NAME = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?"
_HOST = re.compile(rf"(?P<host>{_NAME}|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?")
_DATABASE = (
    re.compile(r"(?:/(?P<db>[0-9]{0,5}))?"),
    "must have nothing but a database's number behind the host: redis://host:6379/0",
)
_PATHS = {
    "redis": _DATABASE,
    "rediss": _DATABASE,
    "unix": (re.compile(r"/.+"), "must name the socket's file: unix:///run/redis.sock?db=0"),
    "redis+sentinel": (
        re.compile(r"/(?P<service>[A-Za-z0-9._-]+)(?:/(?P<db>[0-9]{0,5}))?"),
        "must name the service, as in redis+sentinel://host:26379,host:26379/service/0",
    ),
    "redis+cluster": (
        re.compile(r"(/0?)?"),
        "must name no database of a cluster: redis+cluster://host:6379",
    ),
}
_OPTIONS = {
    "db": r"[0-9]{1,5}",
    "ssl": "true|false",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": "true|false",
    "ssl_ca_certs": "/.+",
    "ssl_certfile": "/.+",
    "ssl_keyfile": "/.+",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """Address of a Redis and the credentials for it; ``str`` and ``repr`` show no credentials.

    ``path`` is the socket's file of ``unix://``, ``service`` the sentinels' name of the primary.
    ``tls`` has options as redis-py names them, and is empty without TLS. User, password and TLS are
    those of Redis; connections to sentinels use none of them.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    path: str
    service: str
    db: int
    is_tls: bool
    username: SecretStr = field(repr=False)
    password: SecretStr = field(repr=False)
    tls: dict[str, Any]

    @property
    def login(self) -> dict[str, Any]:
        """Return user and password as redis-py names them, each only where the URL has it."""
        login = {"username": self.username, "password": self.password}
        return {name: secret.get_secret_value() for name, secret in login.items() if secret}

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}?db={self.db}"
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        service = f"/{self.service}" if self.service else ""
        return f"{self.scheme}://{hosts}{service}/{self.db}"


def parse_redis_url(text: str) -> RedisUrl:
    """Parse one of these; each may have a user and a password before the first host.

    ``redis[s]://host[:port][/db]``, ``unix:///path[?db=0]``,
    ``redis+sentinel://host[:port],…/service[/db][?ssl=true]``,
    ``redis+cluster://host[:port],…[?ssl=true]``.

    Raises ``ValueError`` with the rest of a sentence that begins with ``REDIS_URL:``; it quotes
    nothing of the text.
    """
    scheme, _, rest = text.partition("://")
    if scheme not in SCHEMES or not rest:
        raise ValueError(f"must be {SCHEMES_SENTENCE}")
    parts = _URL.fullmatch(text)
    if not parts:
        raise ValueError("must have @ / ? # of a user name or password written as %40 %2F %3F %23")
    hosts = () if scheme == "unix" else _parse_hosts(scheme, parts["hosts"])
    pattern, sentence = _PATHS[scheme]
    path = pattern.fullmatch(parts["path"] or "")
    if not path:
        raise ValueError(sentence)
    options = _parse_options(scheme, parts["query"] or "")
    is_tls = scheme == "rediss" or options.pop("ssl", "") == "true"
    db = options.pop("db", "") or path.groupdict().get("db") or "0"
    username, _, password = (parts["login"] or "").partition(":")
    return RedisUrl(
        scheme=scheme,
        hosts=hosts,
        path=unquote(path[0]) if scheme == "unix" else "",
        service=path.groupdict().get("service") or "",
        db=int(db),
        is_tls=is_tls,
        username=SecretStr(unquote(username)),
        password=SecretStr(unquote(password)),
        tls=_tls_options(options) if is_tls else {},
    )


def _parse_hosts(scheme: str, text: str) -> tuple[tuple[str, int], ...]:
    default_port = SENTINEL_PORT if scheme == "redis+sentinel" else REDIS_PORT
    return tuple(
        _parse_host(scheme, host, default_port)
        for host in (text.split(",") if scheme in SCHEMES_OF_SEVERAL else [text])
    )


def _parse_host(scheme: str, text: str, default_port: int) -> tuple[str, int]:
    matched = _HOST.fullmatch(text)
    if not matched:
        raise ValueError(
            f"must be like {scheme}://host:6379, with each server as host or host:port"
        )
    port = int(matched["port"] or default_port)
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"must have ports from 1 to {MAX_PORT}")
    return matched["host"].strip("[]"), port


def _parse_options(scheme: str, query: str) -> dict[str, str]:
    names = {*_OPTIONS} - ({"db"} if scheme in SCHEMES_OF_SEVERAL else {"ssl"})
    options = parse_qsl(query, keep_blank_values=True)
    for name, text in options:
        if name not in names:
            raise ValueError(f"must have no options but {', '.join(sorted(names))}")
        if not re.fullmatch(_OPTIONS[name], text):
            raise ValueError(f"must have {name} as {_OPTIONS[name]}")
    return dict(options)


def _tls_options(options: dict[str, str]) -> dict[str, Any]:
    """Return the options as redis-py takes them. Raises ``ValueError`` for an unusable file."""
    _try_files(options.get("ssl_ca_certs"), options.get("ssl_certfile"), options.get("ssl_keyfile"))
    checks = {name: text == "true" for name, text in options.items() if name.endswith("hostname")}
    return options | checks


def _try_files(authorities: str | None, certificate: str | None, key: str | None) -> None:
    """Load the files as each connection will, which would fail long after a good start."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    must = "must have ssl_ca_certs as a PEM file of certificates"
    try:
        if authorities:
            context.load_verify_locations(authorities)
        if key and not certificate:
            raise ValueError("must have ssl_certfile beside ssl_keyfile")
        must = (
            "must have ssl_certfile and ssl_keyfile as PEM files of a certificate and its key,"
            " which has no password"
        )
        if certificate:
            # Without a password given here, OpenSSL would read one from the terminal.
            context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"{must}: {reason}") from None
