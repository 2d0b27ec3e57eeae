"""The proxy that fails does to a line to Redis what each of its modes says, and no more."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tests.channel.raw_server import CERTIFICATE
from tools.stack.processes import wait_until
from tools.stack.redis_proxy import Mode, RedisProxy
from tools.stack.valkey import Valkey

TIMEOUT_SECONDS = 0.5
LATE_SECONDS = 0.2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server behind the proxy."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def running(server: Valkey) -> Iterator[RedisProxy]:
    """One proxy for all tests."""
    with RedisProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def proxy(running: RedisProxy, server: Valkey) -> Iterator[RedisProxy]:
    """The proxy, which passes everything, before an empty server."""
    running.mend()
    with server.connect() as client:
        client.flushall()
    yield running
    running.mend()


@pytest.fixture
def client(proxy: RedisProxy) -> Iterator[Redis]:
    """A client on a line that stands."""
    with client_of(proxy.url) as client:
        client.ping()
        yield client


def client_of(url: str) -> Redis:
    """A client that does not wait long, and repeats nothing."""
    return Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0))


def test_it_passes(client: Redis) -> None:
    """A reply of many pieces as well."""
    client.set("long", "x" * 1_000_000)

    assert 1_000_000 == len(client.get("long") or b"")


def test_replies_come_late(proxy: RedisProxy, client: Redis) -> None:
    """On a line that stands."""
    proxy.fail(Mode.DELAY, seconds=LATE_SECONDS)
    began = time.monotonic()

    client.ping()

    assert time.monotonic() - began >= LATE_SECONDS


def test_replies_drip(proxy: RedisProxy, client: Redis) -> None:
    """Byte by byte: `+PONG` and its line break are seven."""
    proxy.fail(Mode.DRIP, seconds=0.03)
    began = time.monotonic()

    client.ping()

    assert time.monotonic() - began >= 7 * 0.03


def test_commands_are_lost(proxy: RedisProxy, client: Redis, server: Valkey) -> None:
    """Nothing is run, and afterwards the line is closed."""
    proxy.fail(Mode.SILENT)
    with pytest.raises(RedisTimeoutError):
        client.incr("n")
    proxy.mend()

    with server.connect() as looking:
        assert None is looking.get("n")


def test_replies_are_lost(proxy: RedisProxy, client: Redis, server: Valkey) -> None:
    """Commands that were sent are run."""
    proxy.fail(Mode.CUT_REPLIES)

    with pytest.raises(RedisTimeoutError):
        client.incr("n")

    with server.connect() as looking:
        assert "1" == looking.get("n")


def test_a_line_falls_silent_at_a_mark(proxy: RedisProxy, client: Redis) -> None:
    """Others go on."""
    proxy.fail(Mode.SILENT_AT, mark="ECHO")

    with client_of(proxy.url) as silent, pytest.raises(RedisTimeoutError):
        silent.echo("x")
    assert client.ping()


def test_lines_are_closed(proxy: RedisProxy, client: Redis, server: Valkey) -> None:
    """On both sides."""
    line = client.client_id()

    proxy.close_lines()

    with server.connect() as looking:
        wait_until(lambda: not looking.client_list(client_id=[line]), 5, "the line's end")


def test_new_lines_lead_elsewhere(
    proxy: RedisProxy, client: Redis, server: Valkey, tmp_path: Path
) -> None:
    """Those that stand stay."""
    with Valkey(tmp_path) as other:
        proxy.lead_to(other.port)
        with client_of(proxy.url) as late:
            late.set("new", "1")

        client.set("old", "1")

        proxy.lead_to(server.port)
        with server.connect() as looking:
            assert (0, 1) == (looking.exists("new"), looking.exists("old"))


def test_it_speaks_tls(server: Valkey) -> None:
    """With the certificate that it is given."""
    with (
        RedisProxy(server.port, certificate=CERTIFICATE) as proxy,
        client_of(f"{proxy.url}?ssl_ca_certs={CERTIFICATE}") as client,
    ):
        assert client.ping()
