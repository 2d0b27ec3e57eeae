"""Many greenlets on one client, and their deadlines.

Driven in a patched process, since no deadline passes in any other.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from redis.client import Monitor

from app.chats.record import Status
from config.redis_url import parse_redis_url
from tests.channel.raw_server import CERTIFICATE
from tests.store.driven import PatchedClient
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client
from tools.stack.redis_proxy import Mode, RedisProxy
from tools.stack.valkey import Valkey

KEY = "{relay}:text"
LEEWAY_SECONDS = 1.5  # of a busy machine; the deadlines here are shorter than what would follow
CAP = 5


@pytest.fixture(scope="module")
def proxy(valkey: Valkey) -> Iterator[RedisProxy]:
    """A proxy of the shared server that fails as a test sets it."""
    with RedisProxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def driven(proxy: RedisProxy) -> Iterator[PatchedClient]:
    """A patched process whose client has few connections."""
    with PatchedClient(proxy.url, max_connections=CAP) as driven:
        yield driven


@pytest.fixture
def store(driven: PatchedClient, proxy: RedisProxy, client: Client) -> Iterator[PatchedClient]:
    """The same, without a connection, and on a line that is whole."""
    driven.value("drop_connections")
    yield driven
    proxy.mend()


def connections(client: Client) -> set[str]:
    """The server's numbers of the connections of others."""
    mine = str(client.client_id())
    return {str(each["id"]) for each in client.client_list()} - {mine}


def block(store: PatchedClient, seconds: float, times: int = 1) -> Callable[[], object]:
    """Keep connections in use for so long."""
    return store.start("execute", "BLPOP", "{relay}:never", seconds, times=times, seconds=30)


def test_at_the_cap_a_command_queues(store: PatchedClient, client: Client) -> None:
    """Until its own deadline: then it fails, and after that nothing is left of it."""
    others = connections(client)
    blocked = block(store, 1.5, times=CAP)
    wait_until(lambda: blpops(client) == CAP, 5, "all connections in use")

    late = store.run("execute", "INCR", KEY, seconds=0.3)
    queued = store.run("execute", "INCR", KEY, seconds=10)

    assert ("TimeoutError", "no reply within 0.3 s") == (late.kind, late.error)
    assert 0.3 <= late.seconds < 1.2
    assert (1, None) == (queued.value, queued.kind)
    blocked()
    assert CAP == len(connections(client) - others)


def test_deadlines_lose_no_permits_and_mix_no_replies(
    store: PatchedClient, client: Client, proxy: RedisProxy
) -> None:
    """200 greenlets over five connections, and deadlines that pass at every step."""
    proxy.fail(Mode.DELAY, seconds=0.01)

    ends = store.value("storm", 200, 5, 0.6)

    proxy.mend()
    assert {"own", "late"} == set(ends)
    assert 1000 == sum(ends.values())
    blocked = block(store, 1, times=CAP)
    wait_until(lambda: blpops(client) == CAP, 5, "five connections in use")
    blocked()


def test_a_late_reply_is_never_the_next_commands(store: PatchedClient, proxy: RedisProxy) -> None:
    """The connection on which a deadline passed is closed."""
    store.value("execute", "ECHO", "before")
    proxy.fail(Mode.DELAY, seconds=0.5)

    late = store.run("execute", "ECHO", "late", seconds=0.2)
    proxy.mend()

    assert "TimeoutError" == late.kind
    assert [str(number) for number in range(5)] == [
        store.value("execute", "ECHO", str(number)) for number in range(5)
    ]


def test_a_lost_reply_repeats_nothing(
    store: PatchedClient, client: Client, proxy: RedisProxy
) -> None:
    """The library would send the command again, and it would run twice."""
    store.value("execute", "PING")
    proxy.fail(Mode.CUT_REPLIES)

    assert "TimeoutError" == store.run("execute", "INCR", KEY, seconds=0.3).kind

    assert "1" == client.get(KEY)


def test_replies_that_came_in_time_are_read(store: PatchedClient, client: Client) -> None:
    """The loop stood still meanwhile, and beyond the deadline."""
    blocked = store.start("execute", "BLPOP", "{relay}:never", 0.7, times=CAP, seconds=1.2)
    wait_until(lambda: blpops(client) == CAP, 5, "the commands at the server")

    store.value("hold_up", 1.7)

    assert {None} == {each.kind for each in blocked()}


def blpops(client: Client) -> int:
    """Count the connections that wait at a list."""
    return [each["cmd"] for each in client.client_list()].count("blpop")


def test_an_outer_timeout_passes_through(store: PatchedClient, proxy: RedisProxy) -> None:
    """It comes out as it is, and its connection is not used again."""
    proxy.fail(Mode.DELAY, seconds=0.5)

    assert store.value("execute_within", 0.2, "ECHO", "late")

    proxy.mend()
    assert "next" == store.value("execute", "ECHO", "next")


def test_a_silent_server_is_left_by_all_connections(
    store: PatchedClient, client: Client, proxy: RedisProxy
) -> None:
    """Else each of them would cost another caller its time."""
    others = connections(client)
    block(store, 0.1, times=CAP)()
    assert CAP == len(connections(client) - others)
    proxy.fail(Mode.SILENT)

    assert "TimeoutError" == store.run("execute", "PING", seconds=0.7).kind

    wait_until(lambda: connections(client) <= others, 5, "no connection")


def test_a_deadline_that_is_near_drops_no_other_connection(
    store: PatchedClient, client: Client, proxy: RedisProxy
) -> None:
    """A reply that was hardly waited for is no silence: callers in a hurry would end them all."""
    others = connections(client)
    block(store, 0.1, times=CAP)()
    proxy.fail(Mode.DELAY, seconds=0.3)

    assert "TimeoutError" == store.run("execute", "PING", seconds=0.1).kind

    wait_until(lambda: len(connections(client) - others) < CAP, 5, "the late one to be closed")
    assert CAP - 1 == len(connections(client) - others)


def test_connections_of_an_older_generation_are_closed(
    store: PatchedClient, client: Client
) -> None:
    """Those that are not in use at once, the others when their command is over."""
    others = connections(client)
    block(store, 0.1, times=2)()
    (idle_or_used, used) = connections(client) - others
    blocked = block(store, 1)
    wait_until(lambda: blpops(client), 5, "the command at the server")

    store.value("drop_connections")

    wait_until(lambda: len(connections(client) - others) == 1, 5, "the idle one to be closed")
    blocked()
    wait_until(lambda: not connections(client) - others, 5, "the used one to be closed")
    assert str(store.value("execute", "CLIENT", "ID")) not in {idle_or_used, used}


def test_a_connection_that_was_opened_after_a_fail_over_is_kept(
    valkey: Valkey, client: Client
) -> None:
    """Its command may have queued since before, for one of the few that are opened at a time."""
    others = connections(client)
    with over_tls(valkey) as (tls, store):
        tls.fail(Mode.DELAY, seconds=0.3)
        queued = store.start("execute", "PING", times=6, seconds=20)
        wait_until(lambda: connections(client) - others, 10, "the first to be opened")

        store.value("drop_connections")

        assert ["PONG"] * 6 == [each.value for each in queued()]
        assert connections(client) - others


def test_a_load_over_tls_is_served(valkey: Valkey) -> None:
    """Each connection costs much CPU: one for each command that waits would come too late."""
    with over_tls(valkey) as (_, store):
        ends = store.value("load", 200, 5)

    assert {"reply"} == {how for began, how in ends if began >= 3}


@contextmanager
def over_tls(server: Valkey) -> Iterator[tuple[RedisProxy, PatchedClient]]:
    """Run a line to the server over TLS, and a patched process that uses it."""
    with (
        RedisProxy(server.port, certificate=CERTIFICATE) as tls,
        PatchedClient(f"{tls.url}?ssl_ca_certs={CERTIFICATE}") as driven,
    ):
        yield tls, driven


# A script's deadline


def test_nothing_is_sent_after_the_deadline(store: PatchedClient, client: Client) -> None:
    """A request that has no time left is answered at once, and costs no connection."""
    store.value("accept", "e1")
    before = connections(client)

    late = store.run("accept", "e2", seconds=0)

    assert ("StoreUnavailable", 0) == (late.kind, client.exists("{relay}:event:e2"))
    assert before == connections(client)


def fail_queueing(store: PatchedClient, proxy: RedisProxy) -> None:
    """Have all connections in use."""
    store.value("accept", "e1")
    block(store, 2, times=CAP)


def fail_connecting(store: PatchedClient, proxy: RedisProxy) -> None:
    """Accept connections, and reply to nothing on them."""
    proxy.fail(Mode.SILENT)


def fail_executing(store: PatchedClient, proxy: RedisProxy) -> None:
    """Fall silent at the script."""
    proxy.fail(Mode.SILENT_AT, mark="EVALSHA")


def fail_slowly(store: PatchedClient, proxy: RedisProxy) -> None:
    """Delay each reply: all of them together take longer than the deadline."""
    proxy.fail(Mode.DELAY, seconds=0.3)


@pytest.mark.parametrize(
    "fail",
    [fail_queueing, fail_connecting, fail_executing, fail_slowly],
)
def test_a_requests_deadline_bounds_all_of_it(
    store: PatchedClient,
    client: Client,
    proxy: RedisProxy,
    fail: Callable[[PatchedClient, RedisProxy], None],
) -> None:
    """Queueing, connecting, the script and its text, together."""
    client.script_flush()
    fail(store, proxy)

    late = store.run("accept", "e1", seconds=0.5)

    assert ("StoreUnavailable", "accept: no reply within 0.5 s") == (late.kind, late.error)
    assert 0.5 <= late.seconds < LEEWAY_SECONDS


def test_a_frozen_redis_is_unavailable(
    store: PatchedClient, client: Client, proxy: RedisProxy
) -> None:
    """The event may have been stored, and a repeat finds it so."""
    store.value("find", "e1")
    proxy.fail(Mode.CUT_REPLIES)
    late = store.run("accept", "e1")
    proxy.mend()

    assert ("StoreUnavailable", "accept: no reply within 2.2 s") == (late.kind, late.error)
    assert 2.2 <= late.seconds < 2.2 + LEEWAY_SECONDS
    assert Status.ACCEPTED == store.value("accept", "e1")
    assert 1 == client.zcard("{relay}:due")


def test_a_wait_at_the_bell_ends_in_time(store: PatchedClient, proxy: RedisProxy) -> None:
    """Its own time, and that of a command."""
    store.value("find", "e1")
    proxy.fail(Mode.CUT_REPLIES)

    late = store.run("wait_for_event", 0.1)

    assert "StoreUnavailable" == late.kind
    assert late.seconds < 0.1 + 2.2 + LEEWAY_SECONDS


def test_a_wait_of_zero_returns_at_once(store: PatchedClient) -> None:
    """A `take` that has cleaned up much wants the next one at once; BLPOP's 0 is for ever."""
    none = store.run("wait_for_event", 0)

    assert (None, None) == (none.kind, none.error)
    assert none.seconds < 1


def test_confirmation_is_awaited_on_the_scripts_connection(
    store: PatchedClient, client: Client
) -> None:
    """WAIT waits for the writes of its own connection, whatever others send meanwhile."""
    store.value("accept", "e1")
    with client.monitor() as monitor:
        ends = store.start("accept", "e1", times=2 * CAP, replicas=1)()
        client.echo("the end")
        sent = sent_until(monitor, "ECHO")

    assert {"NotAcknowledged"} == {each.kind for each in ends}
    scripts = [number for number, (name, _) in enumerate(sent) if name == "EVALSHA"]
    assert 2 * CAP == len(scripts)
    for number in scripts:
        port = sent[number][1]
        name = next(name for name, its_port in sent[number + 1 :] if its_port == port)
        assert "WAIT" == name


def sent_until(monitor: Monitor, last: str) -> list[tuple[str, str]]:
    """The names of the commands that were sent, each with its client's port, up to ``last``."""
    sent = []
    name = ""
    while name != last:
        command: dict[str, str] = monitor.next_command()
        name = command["command"].split()[0]
        if command["client_type"] == "tcp":
            sent.append((name, command["client_port"]))
    return sent


# Sockets of connections that did not come to be


def unanswered(stack: ExitStack) -> str:
    """Have a port that answers no SYN: its queue of connections is full."""
    listener = stack.enter_context(closing(socket.socket()))
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    for _ in range(4):
        waiting = stack.enter_context(closing(socket.socket()))
        waiting.setblocking(False)  # noqa: FBT003 - the library's
        waiting.connect_ex(address)
    return f"127.0.0.1:{address[1]}"


URLS: dict[str, str] = {
    "in connect": "redis://{unanswered}/0",
    "in HELLO": "redis://{silent}/0",
    "in AUTH": "redis://user:password@{silent}/0",
    "in TLS": "rediss://{silent}/0",
    "in SENTINEL": "redis+sentinel://{silent},{silent}/main/0",
    "in CLUSTER": "redis+cluster://{silent},{silent}",
    "in CLUSTER over TLS": "redis+cluster://user:password@{silent},{silent}?ssl=true",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_deadline_while_connecting_leaves_no_socket(
    proxy: RedisProxy, store: PatchedClient, url: str
) -> None:
    """Wherever it passes; none of 100 is left, of which few are opened at a time over TLS."""
    proxy.fail(Mode.SILENT)
    with ExitStack() as stack:
        address = url.format(silent=f"127.0.0.1:{proxy.port}", unanswered=unanswered(stack))
        connecting = stack.enter_context(PatchedClient(address))
        assert "TimeoutError" == connecting.run("execute", "PING", seconds=0.3).kind
        before = connecting.value("open_files")

        for _ in range(5 if parse_redis_url(address).is_tls else 1):
            late = connecting.start("execute", "PING", seconds=0.5, times=100)()
            assert {"TimeoutError"} == {each.kind for each in late}

        assert before == connecting.value("open_files")
