"""Each thread keeps a connection of its own, and is told what Redis said."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import ResponseError

from app.store.client import Client
from app.store.connect import connect
from tests.stack.processes import wait_until


def test_a_thread_asks_on_one_connection(client: Client) -> None:
    """However often it asks; another thread has another one."""
    with ThreadPoolExecutor(1) as other:
        mine = {client.ask("CLIENT", "ID") for _ in range(3)}
        its = {other.submit(client.ask, "CLIENT", "ID").result() for _ in range(3)}

    assert (1, 1) == (len(mine), len(its))
    assert mine != its


def test_the_connection_of_a_thread_that_is_gone_is_closed(client: Client, redis_url: str) -> None:
    """Threads come and go; what they held does not stay."""
    with connect(redis_url) as asking:
        with ThreadPoolExecutor(1) as thread:
            name = thread.submit(asking.ask, "CLIENT", "ID").result()

        wait_until(lambda: not client.client_list(client_id=[name]), 5, "the connection to end")


def test_an_error_among_replies_leaves_none_behind(client: Client) -> None:
    """The next command hears its own reply, not one that was left."""
    client.set("{relay}:text", "1")

    with pytest.raises(ResponseError):
        client.ask_together(("GET", "{relay}:text"), ("LPUSH", "{relay}:text", "1"), ("PING",))

    assert ["PONG", "1"] == client.ask_together(("PING",), ("GET", "{relay}:text"))


def test_a_connection_that_was_closed_while_idle_is_replaced(client: Client) -> None:
    """Also for a take, which is not said twice: it is looked at first."""
    before = client.ask("CLIENT", "ID")
    client.execute_command("CLIENT", "KILL", "ID", str(before))
    client._own.used_at -= 10  # as if it had been idle

    assert before != client.ask("CLIENT", "ID")


def test_looking_again_reaches_every_thread(client: Client) -> None:
    """One has learnt that the server is not the one to ask; the others need not."""
    with ThreadPoolExecutor(1) as other:
        before = other.submit(client.ask, "CLIENT", "ID").result()
        client.look_again()

        assert before != other.submit(client.ask, "CLIENT", "ID").result()
