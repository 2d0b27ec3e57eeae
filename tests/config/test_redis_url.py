"""``REDIS_URL``: what cannot be used is refused in one line that quotes nothing of it."""

import pytest

from config.settings import OperatorSettings, SettingsInvalid, load

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


@pytest.mark.parametrize(("url", "must"), UNUSABLE.items(), ids=UNUSABLE)
def test_what_cannot_be_used_is_refused(url: str, must: str) -> None:
    """Which URLs can, and what they mean, is in tests/store/test_connect.py."""
    with pytest.raises(SettingsInvalid) as refused:
        load(OperatorSettings, {"REDIS_URL": url})

    assert [f"REDIS_URL: must {must}"] == refused.value.problems
