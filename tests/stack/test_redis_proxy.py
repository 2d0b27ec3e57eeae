"""Tests of the proxy to Redis: each mode has its fault, and no other."""

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
    """The proxy without a fault, before an empty server."""
    running.mend()
    with server.connect() as client:
        client.flushall()
    yield running
    running.mend()


@pytest.fixture
def client(proxy: RedisProxy) -> Iterator[Redis]:
    """A client with an open connection."""
    with client_of(proxy.url) as client:
        client.ping()
        yield client


def client_of(url: str) -> Redis:
    """Return a client with a short time-out and no retries."""
    return Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0))


def test_pass_passes_long_replies(client: Redis) -> None:
    """A reply of many segments arrives whole."""
    client.set("long", "x" * 1_000_000)

    assert 1_000_000 == len(client.get("long") or b"")


def test_delay_delays_replies(proxy: RedisProxy, client: Redis) -> None:
    """A reply on an open connection arrives late."""
    proxy.fail(Mode.DELAY, seconds=LATE_SECONDS)
    began = time.monotonic()

    client.ping()

    assert time.monotonic() - began >= LATE_SECONDS


def test_drip_sends_single_bytes(proxy: RedisProxy, client: Redis) -> None:
    """A reply takes the pause for each of its bytes; `+PONG` has seven."""
    proxy.fail(Mode.DRIP, seconds=0.03)
    began = time.monotonic()

    client.ping()

    assert time.monotonic() - began >= 7 * 0.03


def test_silent_drops_commands(proxy: RedisProxy, client: Redis, server: Valkey) -> None:
    """A dropped command never runs, not even after the fault."""
    proxy.fail(Mode.SILENT)
    with pytest.raises(RedisTimeoutError):
        client.incr("n")
    proxy.mend()

    with server.connect() as looking:
        assert None is looking.get("n")


def test_cut_replies_runs_commands(proxy: RedisProxy, client: Redis, server: Valkey) -> None:
    """Commands run, and their replies are dropped."""
    proxy.fail(Mode.CUT_REPLIES)

    with pytest.raises(RedisTimeoutError):
        client.incr("n")

    with server.connect() as looking:
        assert "1" == looking.get("n")


def test_silent_at_stops_one_connection(proxy: RedisProxy, client: Redis) -> None:
    """The connection with the mark falls silent; others continue."""
    proxy.fail(Mode.SILENT_AT, mark="ECHO")

    with client_of(proxy.url) as silent, pytest.raises(RedisTimeoutError):
        silent.echo("x")
    assert client.ping()


def test_close_lines_closes_both_sides(proxy: RedisProxy, client: Redis, server: Valkey) -> None:
    """Redis no longer lists the client."""
    line = client.client_id()

    proxy.close_lines()

    with server.connect() as looking:
        wait_until(lambda: not looking.client_list(client_id=[line]), 5, "the line's end")


def test_lead_to_redirects_new_connections_only(
    proxy: RedisProxy, client: Redis, server: Valkey, tmp_path: Path
) -> None:
    """Open connections stay with their server."""
    with Valkey(tmp_path) as other:
        proxy.lead_to(other.port)
        with client_of(proxy.url) as late:
            late.set("new", "1")

        client.set("old", "1")

        proxy.lead_to(server.port)
        with server.connect() as looking:
            assert (0, 1) == (looking.exists("new"), looking.exists("old"))


def test_proxy_serves_tls(server: Valkey) -> None:
    """A client that trusts the certificate gets a reply."""
    with (
        RedisProxy(server.port, certificate=CERTIFICATE) as proxy,
        client_of(f"{proxy.url}?ssl_ca_certs={CERTIFICATE}") as client,
    ):
        assert client.ping()
