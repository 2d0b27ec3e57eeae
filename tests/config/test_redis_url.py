"""``REDIS_URL``: its forms, and the refusals, each one line that quotes nothing of the text."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from config.redis_url import RedisUrl, parse_redis_url
from config.settings import OperatorSettings, SettingsInvalid, load
from tests.channel.raw_server import CERTIFICATE

FORMS: dict[str, dict[str, Any]] = {
    "redis://redis": {"hosts": (("redis", 6379),), "db": 0, "login": {}},
    "redis://redis_1:7000/3": {"hosts": (("redis_1", 7000),), "db": 3},
    "redis://redis:7000/": {"db": 0},
    "redis://redis?db=4": {"db": 4},
    "redis://redis.svc.cluster.local.:1": {"hosts": (("redis.svc.cluster.local.", 1),)},
    "redis://[::1]:7000/1": {"hosts": (("::1", 7000),), "db": 1},
    "redis://[fd00::1]": {"hosts": (("fd00::1", 6379),)},
    "redis://:p%40ss%2Fw%3Ard%25@redis": {"login": {"password": "p@ss/w:rd%"}},
    "redis://us%3Aer:a:b@redis": {"login": {"username": "us:er", "password": "a:b"}},
    "redis://user@redis": {"login": {"username": "user"}},
    "rediss://redis": {"is_tls": True, "tls": {}},
    f"rediss://redis/2?ssl_cert_reqs=none&ssl_ca_certs={CERTIFICATE}&ssl_check_hostname=false": {
        "db": 2,
        "tls": {
            "ssl_cert_reqs": "none",
            "ssl_ca_certs": str(CERTIFICATE),
            "ssl_check_hostname": False,
        },
    },
    f"rediss://redis?ssl_certfile={CERTIFICATE}": {"tls": {"ssl_certfile": str(CERTIFICATE)}},
    "redis+cluster://a?ssl_ca_certs=/missing.pem": {"is_tls": False, "tls": {}},
    "unix:///run/a%20b.sock": {"path": "/run/a b.sock", "db": 0},
    "unix://user:secret@/run/redis.sock?db=2": {
        "path": "/run/redis.sock",
        "db": 2,
        "login": {"username": "user", "password": "secret"},
    },
    "redis+sentinel://a,b:2/main": {
        "hosts": (("a", 26379), ("b", 2)),
        "service": "main",
        "db": 0,
        "is_tls": False,
    },
    "redis+sentinel://u:p%2C@a:1,[::1]:2,[::2]/main.1/5?ssl=true": {
        "hosts": (("a", 1), ("::1", 2), ("::2", 26379)),
        "service": "main.1",
        "db": 5,
        "is_tls": True,
        "login": {"username": "u", "password": "p,"},
    },
    "redis+cluster://a,b:7000": {"hosts": (("a", 6379), ("b", 7000)), "db": 0, "is_tls": False},
    "redis+cluster://:secret@a:7000/0?ssl=true&ssl_cert_reqs=required": {
        "is_tls": True,
        "login": {"password": "secret"},
        "tls": {"ssl_cert_reqs": "required"},
    },
}
SHOWN = {
    "redis://user:geheim@redis/3": "redis://redis:6379/3",
    f"rediss://:geheim@[::1]:7000?ssl_ca_certs={CERTIFICATE}": "rediss://[::1]:7000/0",
    "unix://user:geheim@/run/redis.sock?db=2": "unix:///run/redis.sock?db=2",
    "redis+sentinel://:geheim@a,b:2/main/1": "redis+sentinel://a:26379,b:2/main/1",
    "redis+cluster://geheim@a,b:7000": "redis+cluster://a:6379,b:7000/0",
}

SCHEMES = (
    "be a URL that starts with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
)
SERVICE = "name the service, as in redis+sentinel://host:26379,host:26379/service/0"
DATABASE = "have nothing but a database's number behind the host: redis://host:6379/0"
ESCAPES = "have @ / ? # of a user name or password written as %40 %2F %3F %23"
PORTS = "have ports from 1 to 65535"
HOSTS = "be like {}://host:6379, with each server as host or host:port"
OPTIONS = "have no options but {}ssl_ca_certs, ssl_cert_reqs, ssl_certfile, "
OPTIONS += "ssl_check_hostname, ssl_keyfile"

UNUSABLE = {
    "geheim": SCHEMES,
    "REDIS://geheim": SCHEMES,
    "redis://": SCHEMES,
    "unix://": SCHEMES,
    "unix://geheim": "name the socket's file: unix:///run/redis.sock?db=0",
    "redis://host:geheim": HOSTS.format("redis"),
    "redis://host:": HOSTS.format("redis"),
    "redis://a..b": HOSTS.format("redis"),
    f"redis://{'a' * 64}.example": HOSTS.format("redis"),
    "redis://host:１": HOSTS.format("redis"),  # noqa: RUF001 - a digit, for Python
    "redis://a:1,b:2/0": HOSTS.format("redis"),
    "redis://[::1/0": HOSTS.format("redis"),
    "redis+sentinel://a:1,,b:2/geheim": HOSTS.format("redis+sentinel"),
    "redis+cluster://:geheim@": HOSTS.format("redis+cluster"),
    "redis://host:0": PORTS,
    "redis+cluster://host:65536": PORTS,
    "redis://host/geheim": DATABASE,
    "redis://host/0/1": DATABASE,
    "redis://host/-1": DATABASE,
    "redis+sentinel://a:1,b:2": SERVICE,
    "redis+sentinel://a:1,b:2/": SERVICE,
    "redis+sentinel://a:1,b:2/main/geheim": SERVICE,
    "redis+cluster://a:1/1": "name no database of a cluster: redis+cluster://host:6379",
    "redis://:gehe@im@host": ESCAPES,
    "redis://:gehe/im@host": ESCAPES,
    "redis://:gehe#im@host": ESCAPES,
    "redis://:gehe?im@host": HOSTS.format("redis"),
    "redis://host?geheim=1": OPTIONS.format("db, "),
    "redis://host?socket_timeout=60": OPTIONS.format("db, "),
    "redis://host?ssl=true": OPTIONS.format("db, "),
    "redis+sentinel://host/main?db=1": OPTIONS.format("ssl, "),
    "redis+sentinel://host/main?ssl=geheim": "have ssl as true|false",
    "redis://host?db=geheim": "have db as [0-9]{1,5}",
    "rediss://host?ssl_cert_reqs=geheim": "have ssl_cert_reqs as none|optional|required",
}


def parse_setting(url: str) -> RedisUrl:
    """Return ``REDIS_URL`` as the settings hold it."""
    return load(OperatorSettings, {"REDIS_URL": url}).redis_url


@pytest.mark.parametrize(("url", "meaning"), FORMS.items(), ids=FORMS)
def test_url_names_hosts_database_login_and_tls(url: str, meaning: dict[str, Any]) -> None:
    """Each form is taken, and escapes in it are resolved."""
    parsed = parse_setting(url)

    assert meaning == {name: getattr(parsed, name) for name in meaning}
    assert parsed == parse_redis_url(url)


@pytest.mark.parametrize(("url", "shown"), SHOWN.items(), ids=SHOWN)
def test_url_is_shown_without_credentials(url: str, shown: str) -> None:
    """A parsed URL may end up in a log or a traceback: it shows hosts and database alone."""
    parsed = parse_setting(url)

    assert shown == str(parsed)
    for text in (repr(parsed), str(parsed), repr(dataclasses.asdict(parsed))):
        assert "geheim" not in text
    assert "user" not in str(parsed)
    assert "user" not in repr(parsed)


@pytest.mark.parametrize(("url", "must"), UNUSABLE.items(), ids=UNUSABLE)
def test_unusable_url_is_refused(url: str, must: str) -> None:
    """The refusal is the same from the settings and from the parser."""
    with pytest.raises(SettingsInvalid) as refused:
        parse_setting(url)
    with pytest.raises(ValueError, match="must") as error:
        parse_redis_url(url)

    assert [f"REDIS_URL: must {must}"] == refused.value.problems
    assert f"must {must}" == str(error.value)


# Files of TLS, which redis-py reads for each connection

LOCKED = Path(__file__).parent / "tls" / "locked.pem"
PEM_BLOCK = re.compile("-----BEGIN ([A-Z ]+)-----.+?-----END [A-Z ]+-----\n", re.DOTALL)
AUTHORITIES = "have ssl_ca_certs as a PEM file of certificates: "
CERTIFICATES = (
    "have ssl_certfile and ssl_keyfile as PEM files of a certificate and its key, which has no"
    " password: "
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with files that are a certificate, a key, or neither."""
    directory = tmp_path_factory.mktemp("tls")
    for name, pem in (("", CERTIFICATE), ("locked ", LOCKED)):
        for block in PEM_BLOCK.finditer(pem.read_text()):
            kind = "key" if "KEY" in block[1] else "certificate"
            (directory / f"{name}{kind}.pem").write_text(block[0])
    (directory / "empty.pem").touch()
    (directory / "text.pem").write_text("geheim")
    (directory / "directory").mkdir()
    return directory


def test_path_of_a_file_may_be_escaped(files: Path) -> None:
    """A blank, and whatever else stands for something in a URL."""
    parsed = parse_setting(f"rediss://redis?ssl_ca_certs={files}/locked%20certificate.pem")

    assert {"ssl_ca_certs": f"{files}/locked certificate.pem"} == parsed.tls


@pytest.mark.parametrize(
    ("options", "must"),
    {
        "ssl_ca_certs={}/missing.pem": f"{AUTHORITIES}No such file or directory",
        "ssl_ca_certs={}/directory": AUTHORITIES,
        "ssl_ca_certs={}/text.pem": AUTHORITIES,
        "ssl_ca_certs={}/empty.pem": AUTHORITIES,
        "ssl_certfile={}/missing.pem": f"{CERTIFICATES}No such file or directory",
        "ssl_certfile={}/text.pem": CERTIFICATES,
        "ssl_certfile={}/certificate.pem": CERTIFICATES,
        "ssl_certfile={0}/certificate.pem&ssl_keyfile={0}/missing.pem": CERTIFICATES,
        "ssl_certfile={0}/locked%20certificate.pem&ssl_keyfile={0}/key.pem": CERTIFICATES,
        "ssl_certfile={0}/locked%20certificate.pem&ssl_keyfile={0}/locked%20key.pem": CERTIFICATES,
        "ssl_keyfile={0}/key.pem": "have ssl_certfile beside ssl_keyfile",
    }.items(),
)
@pytest.mark.parametrize("url", ["rediss://:geheim@redis?", "redis+cluster://redis?ssl=true&"])
def test_unusable_file_is_refused_at_the_start(
    files: Path, url: str, options: str, must: str
) -> None:
    """Each connection would fail by it, the first one long after the start; a password is no
    question on a terminal.
    """
    with pytest.raises(SettingsInvalid) as refused:
        parse_setting(url + options.format(files))

    [problem] = refused.value.problems
    assert problem.startswith(f"REDIS_URL: must {must}")
    assert "geheim" not in problem


def test_certificate_with_its_key_is_taken(files: Path) -> None:
    """In two files, as Redis' own tools make them."""
    options = f"ssl_certfile={files}/certificate.pem&ssl_keyfile={files}/key.pem"

    assert parse_setting(f"rediss://redis?{options}").is_tls
