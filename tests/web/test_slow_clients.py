"""Clients that misbehave cost sockets, and no other client's time: real processes and sockets."""

import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from threading import Event

import pytest
import requests

from app.web.reading import MAX_BODY_BYTES
from app.web.server import OTHER_FILES, RelayWorker
from tests.web.raw import (
    RELAY,
    SERVED_SECONDS,
    STOPPED_SECONDS,
    TOKEN,
    RawClient,
    Web,
    connections_to,
    serve,
)
from tools.stack.processes import kill_child, stop_child, wait_until
from tools.stack.valkey import Valkey

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

HASTY = ("--worker-class", "tests.web.hasty.HastyWorker")
# As many connections as a process may have that has so many files.
FEW = 40
FEW_FILES = f"-n {OTHER_FILES + FEW}"

ALIVE = b"GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
LARGE = b"GET /%d HTTP/1.1\r\nHost: relay\r\n\r\n"
HALF_A_POST = b"POST /0 HTTP/1.1\r\nHost: relay\r\nContent-Length: 2\r\n\r\n{"
POST = (
    b"POST /v1/events HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
)
EVENT = b'{"event_id": "slow", "user_id": "6606508eaa71575f1e8c"}'
WITH_LENGTH = b"Content-Length: %d\r\n\r\n" % len(EVENT)
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT)
EXPECTING = POST + b"Expect: 100-continue\r\n"
WAITING = POST + b"Prefer: wait=30\r\n" + WITH_LENGTH + EVENT

HALF_SENT = {
    "nothing": b"",
    "half a head": POST,
    "half a body": POST + WITH_LENGTH + EVENT[:20],
    "no body": POST + WITH_LENGTH,
    "half of the chunks": POST + IN_CHUNKS + CHUNKS[:20],
    "all but the last chunk": POST + IN_CHUNKS + CHUNKS[:-5],
}
MANY_BYTES = 10 * 1024 * 1024
TINY_CHUNKS = POST + IN_CHUNKS + b"1\r\n \r\n" * 60_000 + b"0\r\n\r\n"


@pytest.fixture(scope="module")
def web(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The relay as it is deployed."""
    with serve(RELAY, valkey.url, tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture(scope="module")
def hasty(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The relay, with a second for each client."""
    with serve(RELAY, valkey.url, tmp_path_factory.mktemp("hasty"), *HASTY) as web:
        yield web


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """An application whose answers are as large as wanted, with a second for each client."""
    directory = tmp_path_factory.mktemp("large")
    with serve("tests.web.hasty:application", "redis://localhost", directory, *HASTY) as web:
        yield web


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Clients that are gone when it is closed."""
    with ExitStack() as clients:
        yield clients


def enter(clients: ExitStack, web: Web, number: int, sent: bytes) -> list[RawClient]:
    """Let ``number`` clients connect and send."""
    return [clients.enter_context(web.client()).send(sent) for _ in range(number)]


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT.keys())
@pytest.mark.parametrize("number", [24, 200])
def test_half_sent_requests_delay_no_client(
    web: Web, clients: ExitStack, sent: bytes, number: int
) -> None:
    """And when their clients are gone, nothing is left of them."""
    enter(clients, web, number, sent)

    assert web.serves()

    clients.close()
    web.wait_until_alone()


def test_thousands_of_idle_connections_delay_no_client(web: Web, clients: ExitStack) -> None:
    """And all can still be used: load balancers open some ahead."""
    allow_files(4_000)
    early = clients.enter_context(web.client())
    enter(clients, web, 3_000, b"")

    assert web.serves()
    assert web.open_connections() > 3_000
    assert 200 == early.send(ALIVE).status()

    clients.close()
    web.wait_until_alone()


def allow_files(number: int) -> None:
    """Let this process have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if number > hard:
        pytest.skip(f"the system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))


def test_the_longest_idle_makes_room_for_a_new_client(redis_url: str, tmp_path: Path) -> None:
    """A client that has begun a request does not, and enough files are left for serving."""
    with serve(RELAY, redis_url, tmp_path, limit=FEW_FILES) as web, ExitStack() as clients:
        sending, idle = (clients.enter_context(web.client()) for _ in range(2))
        enter(clients, web, FEW // 2, b"")
        assert web.serves()
        sending.send(POST)
        enter(clients, web, 2 * FEW, b"")

        assert web.serves()
        assert b"" == idle.rest()
        assert 202 == sending.send(WITH_LENGTH + EVENT).status()
        # gevent closes a socket a turn after its connection has ended.
        wait_until(lambda: web.open_connections() <= FEW, SERVED_SECONDS, "the ended to be closed")


def test_a_limit_that_leaves_no_files_leaves_one_connection(redis_url: str, tmp_path: Path) -> None:
    """A process that serves one client after the other is better than none."""
    with serve(RELAY, redis_url, tmp_path, limit=f"-n {OTHER_FILES - 40}") as web:
        assert web.serves()


def test_a_new_client_is_served_when_all_others_are_busy(redis_url: str, tmp_path: Path) -> None:
    """The last free place is for its request, also where that does not come at once."""
    with serve(RELAY, redis_url, tmp_path, limit=FEW_FILES) as web, ExitStack() as clients:
        enter(clients, web, FEW - 1, WAITING)
        wait_until(lambda: web.open_connections() == FEW - 1, SERVED_SECONDS, "all that wait")

        for _ in range(3):
            with web.client() as last:
                wait_until(lambda: web.open_connections() == FEW, SERVED_SECONDS, "the last one")
                last.send(ALIVE[:5])
                assert not last.is_answered()
                assert 200 == last.send(ALIVE[5:]).status()
            wait_until(lambda: web.open_connections() == FEW - 1, SERVED_SECONDS, "its end")
        kill_child(web.child)  # a stop would last as long as the waits


def test_a_served_client_makes_room_when_all_others_are_busy(
    redis_url: str, tmp_path: Path
) -> None:
    """The next client does not wait for as long as the last one likes to keep its connection."""
    with serve(RELAY, redis_url, tmp_path, limit=FEW_FILES) as web, ExitStack() as clients:
        enter(clients, web, FEW - 1, WAITING)
        wait_until(lambda: web.open_connections() == FEW - 1, SERVED_SECONDS, "all that wait")

        lasting = enter(clients, web, 5, ALIVE)

        assert {200} == {client.status() for client in lasting}
        kill_child(web.child)  # a stop would last as long as the waits


def test_requests_under_way_make_no_room(tmp_path: Path) -> None:
    """They are answered, however many clients come behind them."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(
            serve(RELAY, redis.url, tmp_path, limit=FEW_FILES, complains=True)
        )
        redis.pause()
        posting = enter(running, web, FEW // 2, POST + WITH_LENGTH + EVENT)

        enter(running, web, 2 * FEW, b"")

        assert {503} == {client.status() for client in posting}


def test_a_silent_redis_delays_no_client_that_needs_none(tmp_path: Path) -> None:
    """The others get 503 within their deadline, and served once it answers again."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path, complains=True))
        redis.pause()

        posting = enter(running, web, 80, POST + WITH_LENGTH + EVENT)

        assert 200 == running.enter_context(web.client()).send(ALIVE).status()
        assert not any(client.is_answered() for client in posting)
        assert {503} == {client.status() for client in posting}
        redis.resume()
        wait_until(web.serves, SERVED_SECONDS, "Redis to be used again")


def test_drips_gain_no_time(hasty: Web, clients: ExitStack) -> None:
    """A byte now and then ends as no byte at all: with 408, and the connection's end."""
    drips = enter(clients, hasty, 24, POST + b"Content-Length: 60000\r\n\r\n")

    def are_answered() -> bool:
        waiting = [client for client in drips if not client.is_answered()]
        for client in waiting:
            client.send(b" ")
        return hasty.serves(1) and not waiting

    wait_until(are_answered, SERVED_SECONDS, "answers to all that drip")
    for client in drips:
        status, headers, body = client.answer()
        assert (408, "close") == (status, headers["Connection"])
        assert "/problems/body-timeout" == json.loads(body)["type"]
    hasty.wait_until_alone()


def test_a_head_and_a_body_have_ten_seconds(web: Web) -> None:
    """A head ends without an answer, since there is no request yet."""
    assert (10, 10) == (RelayWorker.head_seconds, RelayWorker.body_seconds)
    with web.client(patience_seconds=15) as head, web.client(patience_seconds=15) as body:
        began = time.monotonic()
        head.send(POST)
        body.send(HALF_SENT["half a body"])

        assert b"" == head.rest()
        assert 408 == body.status()

        assert 9.5 < time.monotonic() - began < 14


@pytest.mark.parametrize("before", [b"", ALIVE], ids=["first", "next"])
def test_half_a_head_ends(hasty: Web, before: bytes) -> None:
    """Also one that came together with the request before it."""
    with hasty.client() as client:
        client.send(before + POST)
        if before:
            assert 200 == client.status()

        assert b"" == client.rest()


def test_an_empty_line_behind_a_request_begins_no_head(hasty: Web) -> None:
    """Some clients send one behind a body; their connection is idle, and stays."""
    with hasty.client() as client:
        assert 202 == client.send(POST + WITH_LENGTH + EVENT + b"\r\n").status()
        with hasty.client() as other:
            assert b"" == other.send(POST).rest()  # as much time as a head has

        assert 200 == client.send(ALIVE).status()


def test_clients_that_never_close_are_not_waited_for(hasty: Web, clients: ExitStack) -> None:
    """An answer had ``Connection: close``."""
    enter(clients, hasty, 40, LAST)

    assert hasty.serves()
    hasty.wait_until_alone()


@pytest.mark.parametrize("number", [4, 24])
def test_clients_that_are_gone_leave_nothing(web: Web, clients: ExitStack, number: int) -> None:
    """Their answers have no reader, and that is no fault to be logged."""
    enter(clients, web, number, POST + WITH_LENGTH + EVENT)

    clients.close()

    assert web.serves()
    web.wait_until_alone()


def test_large_answers_that_are_not_taken_end(large: Web, clients: ExitStack) -> None:
    """And hold up no other client meanwhile."""
    enter(clients, large, 4, LARGE % MANY_BYTES)

    wait_until_all_are_ended(large)


def test_small_answers_that_are_not_taken_end(large: Web, clients: ExitStack) -> None:
    """A client that sends requests and never reads is served no more when its socket is full."""
    for _ in range(24):
        clients.enter_context(large.client(narrow=True)).send(LARGE % 4000 * 100)

    wait_until_all_are_ended(large)


def test_answers_that_are_not_taken_are_not_lingered_over(web: Web) -> None:
    """The connection ends with the time for an answer."""
    with web.client(narrow=True) as client:
        client.send(ALIVE * 5_000)

        web.wait_until_alone()


def test_half_a_request_behind_answers_that_are_not_taken_ends(
    large: Web, clients: ExitStack
) -> None:
    """However full the socket is."""
    for size_bytes in range(10_000, 100_000, 10_000):
        client = clients.enter_context(large.client(narrow=True))
        client.send(LARGE % size_bytes + HALF_A_POST)

    wait_until_all_are_ended(large)


def wait_until_all_are_ended(web: Web) -> None:
    """Return once no client is connected; until then others are served."""

    def is_over() -> bool:
        assert requests.get(web.url, timeout=SERVED_SECONDS).ok
        return not web.open_connections()

    wait_until(is_over, 2 * SERVED_SECONDS, "the end of all that do not read")


@pytest.mark.parametrize("framing", [b"Content-Length: %d\r\n\r\n", IN_CHUNKS + b"%x\r\n"])
def test_a_far_too_large_body_is_refused(web: Web, framing: bytes) -> None:
    """413 reaches a client that sends 10 MiB before it reads; the connection ends with that."""
    with web.client() as client:
        client.send(POST + framing % MANY_BYTES + b" " * MANY_BYTES)

        status, headers, _ = client.answer()
        assert (413, "close") == (status, headers["Connection"])
    web.wait_until_alone()


def test_a_client_that_waits_to_send_is_answered_once(web: Web) -> None:
    """With 100 where its body is wanted, and else with the refusal alone."""
    with web.client() as client:
        assert 100 == client.send(EXPECTING + WITH_LENGTH).status()
        assert 202 == client.send(EVENT).status()

        assert 100 == client.send(EXPECTING + IN_CHUNKS).status()
        assert 202 == client.send(CHUNKS).status()

        assert 202 == client.send(EXPECTING + WITH_LENGTH + EVENT).status()
        client.send(POST + WITH_LENGTH)
        wait_until(lambda: not web.unread_bytes(), SERVED_SECONDS, "the head to be read")
        assert 202 == client.send(EVENT).status()

        assert 413 == client.send(EXPECTING + b"Content-Length: 65537\r\n\r\n").status()
        assert b"" == client.end().rest()


def test_requests_that_follow_at_once_are_answered_in_turn(web: Web) -> None:
    """Kept alive, pipelined, with a length or in chunks, cut anywhere."""
    post = POST + IN_CHUNKS + CHUNKS + POST + WITH_LENGTH + EVENT
    with web.client() as client:
        assert 200 == client.send(ALIVE).status()

        client.send(post + ALIVE + post + ALIVE[:20])
        assert [202, 202, 200, 202, 202] == [client.status() for _ in range(5)]

        client.send(ALIVE[20:] + EXPECTING + WITH_LENGTH)
        assert [200, 100] == [client.status() for _ in range(2)]

        client.send(EVENT + LAST)
        assert [202, 200] == [client.status() for _ in range(2)]
        assert b"" == client.rest()


def test_requests_that_come_while_others_are_answered_are_answered(
    web: Web, clients: ExitStack
) -> None:
    """In whatever pieces, and whenever they come."""
    chance = Random(776)  # noqa: S311 - no secret
    sent = (POST + WITH_LENGTH + EVENT + ALIVE) * 10
    left = {clients.enter_context(web.client()): sent for _ in range(16)}

    while unsent := [client for client, rest in left.items() if rest]:
        client = chance.choice(unsent)
        size = chance.choice([1, 60, 200, 700])
        client.send(left[client][:size])
        left[client] = left[client][size:]

    for client in left:
        assert [202, 200] * 10 == [client.status() for _ in range(20)]


@pytest.mark.parametrize("number", [1, 24])
def test_clients_that_end_their_side_with_the_request_are_answered(
    web: Web, clients: ExitStack, number: int
) -> None:
    """And then the connection ends at once."""
    ended = [client.end() for client in enter(clients, web, number, POST + WITH_LENGTH + EVENT)]

    for client in ended:
        assert 202 == client.status()
        assert b"" == client.rest()
    web.wait_until_alone()


def test_a_body_that_fills_every_read_is_read_whole(web: Web) -> None:
    """Also behind one that was read before it on the connection."""
    posted = POST + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    with web.client() as client:
        for _ in range(20):
            client.send(posted + EVENT + b" " * (MAX_BODY_BYTES - len(EVENT)))
            assert 202 == client.status()


@pytest.mark.parametrize(
    "flood",
    [ALIVE * 500, TINY_CHUNKS, POST + b"Content-Length: 99999999\r\n\r\n" + b" " * 1_000_000],
    ids=["requests", "tiny chunks", "refused bodies"],
)
def test_a_flood_delays_no_client(web: Web, flood: bytes) -> None:
    """Requests without an end, from several clients at once."""
    assert max(seconds_beside(web, [flood] * 4)) < 2


def test_a_client_waits_for_a_piece_of_a_body_and_not_for_all_of_it(web: Web) -> None:
    """Sockets are looked at after each piece, however many have come."""
    with web.client() as client:
        began = time.monotonic()
        assert 400 == client.send(TINY_CHUNKS).status()
        body_seconds = time.monotonic() - began

    assert median(seconds_beside(web, [TINY_CHUNKS])) < body_seconds / 3


def seconds_beside(web: Web, floods: list[bytes]) -> list[float]:
    """Return how long each of a client's requests takes beside clients that send without end."""
    over = Event()
    seconds = []
    with ThreadPoolExecutor() as pool, ExitStack() as clients:
        clients.callback(over.set)
        for flood in floods:
            pool.submit(clients.enter_context(web.client()).flood, flood, over)
        for _ in range(25):
            began = time.monotonic()
            with web.client() as client:
                assert 200 == client.send(LAST).status()
            seconds.append(time.monotonic() - began)
    return seconds


def test_a_stop_finishes_what_has_begun(tmp_path: Path) -> None:
    """A request in a view is answered, and its client not waited for, before the process ends.

    Clients that come after the stop are refused at once, and can turn to another replica.
    """
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path))
        client = running.enter_context(web.client())
        assert 200 == client.send(ALIVE).status()
        redis.pause()
        client.send(POST + WITH_LENGTH + EVENT)

        web.child.send_signal(signal.SIGTERM)
        wait_until(web.refuses, SERVED_SECONDS, "the end of listening")
        redis.resume()

        assert 202 == client.status()
        assert 0 == web.child.wait(SERVED_SECONDS)


def test_a_stop_answers_what_came_before_it(tmp_path: Path) -> None:
    """Clients that the system alone has let in are not at fault."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path, complains=True))
        redis.pause()
        posting = enter(running, web, 4, POST + WITH_LENGTH + EVENT)
        wait_until(lambda: connections_to(redis.port) >= 4, SERVED_SECONDS, "four commands")
        with stopped_meanwhile(web):
            posting += enter(running, web, 8, POST + WITH_LENGTH + EVENT)

        assert {503} == {client.status() for client in posting}
        assert 0 == web.child.wait(STOPPED_SECONDS)


def test_a_stop_keeps_the_limit_of_connections(redis_url: str, tmp_path: Path) -> None:
    """Enough files are left for serving."""
    with serve(RELAY, redis_url, tmp_path, limit=FEW_FILES) as web, ExitStack() as clients:
        assert web.serves()
        with stopped_meanwhile(web):
            coming = enter(clients, web, 2 * FEW, LAST)

        assert 0 == web.child.wait(STOPPED_SECONDS)
        assert any(map(has_an_answer, coming))


def test_a_stop_while_it_starts_ends_it(redis_url: str, tmp_path: Path) -> None:
    """As any other, and it does not go on to serve until it is killed."""
    late = ("--worker-class", "tests.web.hasty.LateWorker")
    with serve(RELAY, redis_url, tmp_path, *late) as web:
        web.wait_for_event("Starting late")

        web.child.send_signal(signal.SIGTERM)

        assert 0 == web.child.wait(STOPPED_SECONDS)


def has_an_answer(client: RawClient) -> bool:
    """Return whether the client got one, and not just the end."""
    try:
        return client.status() == 200
    except (ConnectionResetError, IndexError):
        return False


@contextmanager
def stopped_meanwhile(web: Web) -> Iterator[None]:
    """Let the system alone accept clients; the worker finds them, and that it is to stop."""
    worker, began = web.worker(), time.monotonic()
    os.kill(worker, signal.SIGSTOP)
    # One of its threads that is still on its way would take the next signal.
    wait_until(lambda: states_of(worker) == {"T"}, SERVED_SECONDS, "all of its threads to stand")
    yield
    # Each second it looks whether it is to stop; then that is the first thing it does.
    wait_until(lambda: time.monotonic() > began + 1.5, SERVED_SECONDS, "its next look")
    web.child.send_signal(signal.SIGTERM)
    wait_until(lambda: has_pending(worker, signal.SIGTERM), SERVED_SECONDS, "the stop")
    os.kill(worker, signal.SIGCONT)


def states_of(pid: int) -> set[str]:
    """The states of its threads, https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in stats}


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Return whether the process has still to see that signal, https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    (mask,) = re.findall(
        r"^ShdPnd:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_a_stop_ends_idle_connections_at_once(redis_url: str, tmp_path: Path) -> None:
    """New ones, and those that have been used."""
    with serve(RELAY, redis_url, tmp_path) as web, ExitStack() as clients:
        idle = enter(clients, web, 20, b"") + enter(clients, web, 20, ALIVE)
        assert {200} == {client.status() for client in idle[20:]}

        assert 0 == stop_child(web.child, SERVED_SECONDS)
        assert {b""} == {client.rest() for client in idle}


def test_a_stop_does_not_wait_for_stalled_clients(redis_url: str, tmp_path: Path) -> None:
    """It lasts no longer than a head or a body may, whatever they have sent."""
    with serve(RELAY, redis_url, tmp_path) as web, ExitStack() as clients:
        for sent in [*HALF_SENT.values(), ALIVE, LAST]:
            enter(clients, web, 10, sent)
        assert web.serves()
        half_sent = clients.enter_context(web.client())
        half_sent.send(ALIVE + HALF_SENT["half a body"])
        assert 200 == half_sent.status()

        assert 0 == stop_child(web.child, STOPPED_SECONDS)
        assert 408 == half_sent.status()
        assert b"" == half_sent.rest()
