"""Connections of the client: which command gets which, and when one is given up."""

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from app.store.client import RedisClient
from tools.stack.redis_client import Client, connect_to
from tools.stack.redis_line import RedisLine
from tools.stack.valkey import Valkey

KEY = "{relay}:text"


def connection_of(relay: RedisClient) -> Any:
    """Return the server's number of the connection that a command gets."""
    return relay.execute("CLIENT", "ID")


def reply_with(relay: RedisClient, error: str) -> None:
    """Have the server reply with an error of this text."""
    with pytest.raises(RedisError):
        relay.execute("EVAL", "return redis.error_reply(ARGV[1])", 0, error)


def test_connections_are_used_again(client: Client) -> None:
    """One command after the other needs one connection."""
    assert 1 == len({connection_of(client.relay) for _ in range(5)})


def test_an_error_among_replies_leaves_none_behind(client: Client) -> None:
    """The next command gets its own reply, not one that was left."""
    client.set(KEY, "1")

    with pytest.raises(ResponseError):
        client.relay.execute_pipeline(("GET", KEY), ("LPUSH", KEY, "1"), ("PING",))

    assert ["PONG", "1"] == client.relay.execute_pipeline(("PING",), ("GET", KEY))


@pytest.mark.parametrize(
    "error",
    [
        "READONLY You can't write against a read only replica.",
        "MOVED 3999 127.0.0.1:1",
        "ASK 3999 127.0.0.1:1",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "UNBLOCKED force unblock from blocking operation, instance state changed",
        "LOADING Valkey is loading the dataset in memory",
    ],
)
def test_a_fail_over_drops_all_connections(client: Client, error: str) -> None:
    """The server is not the one to use any more: the next command looks for the primary anew."""
    before, generation = connection_of(client.relay), client.relay.generation

    reply_with(client.relay, error)

    assert generation < client.relay.generation
    assert before != connection_of(client.relay)


@pytest.mark.parametrize(
    "error",
    [
        "ERR wrong number of arguments",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Valkey is configured to save snapshots, but cannot",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSY Valkey is busy running a script.",
        "NOPERM this user has no permissions to run the command",
    ],
)
def test_a_refusal_keeps_the_connection(client: Client, error: str) -> None:
    """Another server would not do it either."""
    before = connection_of(client.relay)

    reply_with(client.relay, error)

    assert before == connection_of(client.relay)


def test_a_closed_connection_is_replaced(client: Client) -> None:
    """The server closed it while it was idle: one command learns it, and repeats nothing."""
    before = connection_of(client.relay)
    client.client_kill_filter(_id=before)

    with pytest.raises(RedisConnectionError):
        client.relay.execute("INCR", KEY)

    assert before != connection_of(client.relay)
    assert client.get(KEY) is None


@pytest.fixture
def line(valkey: Valkey, redis_url: str) -> Iterator[RedisLine]:
    """A line to the shared server, which can be cut."""
    with RedisLine(valkey.port) as line:
        yield line


def test_a_connection_that_is_lost_repeats_nothing(line: RedisLine, client: Client) -> None:
    """The library would send the command again, and it would run twice."""

    def close() -> None:
        line.wait_for_cut()
        line.mend()

    closing = Thread(target=close)
    closing.start()
    with connect_to(line.url) as cut:
        cut.relay.execute("PING")
        line.cut_at(b":1\r\n")

        with pytest.raises(RedisConnectionError):
            cut.relay.execute("INCR", KEY)
    closing.join()

    assert "1" == client.get(KEY)


def test_bytes_that_are_no_text_are_read(client: Client) -> None:
    """Something else may have written them: they are an odd reply, and no failure of the line."""
    client.execute_command("SET", KEY, b"\xff{")
    before = connection_of(client.relay)

    assert "\N{REPLACEMENT CHARACTER}{" == client.relay.execute("GET", KEY)

    assert before == connection_of(client.relay)
