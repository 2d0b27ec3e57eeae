"""Clients that misbehave cost sockets, and nobody else's time; with real processes and sockets."""

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
import requests

from app.web.reading import MAX_BODY_BYTES
from app.web.server import OTHER_FILES
from tests.stack.processes import stop_child, wait_until
from tests.stack.valkey import Valkey
from tests.web.raw import (
    RELAY,
    SERVED_SECONDS,
    STOPPED_SECONDS,
    THREADS,
    TOKEN,
    RawClient,
    Web,
    connections_to,
    serve,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

HASTY = ("--worker-class", "tests.web.hasty.HastyWorker")

ALIVE = b"GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: relay\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n"
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

HALF_SENT = {
    "nothing": b"",
    "half a head": POST,
    "half a body": POST + WITH_LENGTH + EVENT[:20],
    "no body": POST + WITH_LENGTH,
    "half of the chunks": POST + IN_CHUNKS + CHUNKS[:20],
    "all but the last chunk": POST + IN_CHUNKS + CHUNKS[:-5],
}
MANY_BYTES = 10 * 1024 * 1024


@pytest.fixture(scope="module")
def web(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The relay as it is deployed, with few threads."""
    with serve(RELAY, valkey.url, tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture(scope="module")
def hasty(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The relay, giving everybody a second."""
    with serve(RELAY, valkey.url, tmp_path_factory.mktemp("hasty"), *HASTY) as web:
        yield web


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """An application whose answers are as large as one asks for, giving everybody a second."""
    directory = tmp_path_factory.mktemp("large")
    with serve("tests.web.hasty:application", "redis://localhost", directory, *HASTY) as web:
        yield web


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Whoever enters is gone when it is closed."""
    with ExitStack() as clients:
        yield clients


def enter(clients: ExitStack, web: Web, number: int, sent: bytes) -> None:
    """Let so many clients connect and send that."""
    for _ in range(number):
        clients.enter_context(web.client()).send(sent)


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT.keys())
@pytest.mark.parametrize("number", [3 * THREADS, 200])
def test_half_sent_requests(web: Web, clients: ExitStack, sent: bytes, number: int) -> None:
    """More of them than there are threads delay nobody; gone, they leave nothing."""
    enter(clients, web, number, sent)

    assert web.serves()

    clients.close()
    web.wait_until_alone()


def test_thousands_of_idle_connections(web: Web, clients: ExitStack) -> None:
    """They delay nobody, and all can still be used: load balancers open some ahead."""
    allow_files(4_000)
    early = clients.enter_context(web.client())
    enter(clients, web, 3_000, b"")

    assert web.serves()
    assert web.open_connections() > 3_000
    assert early.send(ALIVE).status() == 200

    clients.close()
    web.wait_until_alone()


def allow_files(number: int) -> None:
    """Let this process have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if number > hard:
        pytest.skip(f"the system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))


def test_more_connections_than_there_may_be(redis_url: str, tmp_path: Path) -> None:
    """Whoever was idle longest makes room, and enough files are left for what serving takes."""
    with serve(RELAY, redis_url, tmp_path, limit="-n 120") as web, ExitStack() as clients:
        sending, idle = (clients.enter_context(web.client()) for _ in range(2))
        enter(clients, web, 20, b"")
        assert web.serves()
        sending.send(POST)
        enter(clients, web, 40, b"")

        assert web.serves()
        assert idle.rest() == b""
        assert sending.send(WITH_LENGTH + EVENT).status() == 202
        assert web.open_connections() < 120 - OTHER_FILES


def test_who_has_sent_makes_no_room(tmp_path: Path) -> None:
    """A request that no thread was free to read is answered, however many come behind it."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(
            serve(RELAY, redis.url, tmp_path, limit="-n 120", complains=True)
        )
        redis.pause()
        have_all_threads_wait(running, redis, web)
        unread = running.enter_context(web.client()).send(POST + WITH_LENGTH + EVENT)

        enter(running, web, 60, b"")

        assert unread.status() == 503


def test_no_file_is_left(tmp_path: Path) -> None:
    """A worker that cannot open one more socket gives up an idle one, and lives."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path))
        clients = running.enter_context(ExitStack())
        let_all_threads_connect(redis, web)
        worker = web.worker()
        taken = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (taken + 5, taken + 5))

        enter(clients, web, 60, b"")

        assert web.serves()
        assert worker == web.worker()


def let_all_threads_connect(redis: Valkey, web: Web) -> None:
    """Have a request in each at once."""
    redis.pause()
    with ExitStack() as clients:
        posting = have_all_threads_wait(clients, redis, web)
        redis.resume()
        assert {202} == {client.status() for client in posting}
    web.wait_until_alone()


def have_all_threads_wait(clients: ExitStack, redis: Valkey, web: Web) -> list[RawClient]:
    """Post an event for each thread, which then connects to a Redis that is silent."""
    posting = [clients.enter_context(web.client()) for _ in range(THREADS)]
    for client in posting:
        client.send(POST + WITH_LENGTH + EVENT)
    wait_until(lambda: connections_to(redis.port) == THREADS, SERVED_SECONDS, "all threads")
    return posting


def test_a_silent_redis_takes_no_more_than_one_thread(tmp_path: Path) -> None:
    """Once that is known, those who need none are answered, and the others told at once."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path, complains=True))
        redis.pause()
        first = have_all_threads_wait(running, redis, web)
        assert {503} == {client.status() for client in first}

        posting = [
            running.enter_context(web.client()).send(POST + WITH_LENGTH + EVENT)
            for _ in range(20 * THREADS)
        ]
        looking = [
            running.enter_context(web.client()).send(asked)
            for asked in [READY, METRICS] * 5 * THREADS
        ]

        assert running.enter_context(web.client()).send(ALIVE).status() == 200
        assert {503} == {client.status() for client in posting}
        assert {200, 503} == {client.status() for client in looking}
        redis.resume()
        wait_until(web.serves, SERVED_SECONDS, "Redis to be asked by all again")


def test_drips(hasty: Web, clients: ExitStack) -> None:
    """A byte now and then neither holds a thread nor gains time: each gets 408, and the end."""
    drips = [clients.enter_context(hasty.client()) for _ in range(3 * THREADS)]
    for client in drips:
        client.send(POST + b"Content-Length: 60000\r\n\r\n")

    def are_answered() -> bool:
        waiting = [client for client in drips if not client.is_answered()]
        for client in waiting:
            client.send(b" ")
        return hasty.serves(1) and not waiting

    wait_until(are_answered, SERVED_SECONDS, "answers to all that drip")
    for client in drips:
        status, headers, body = client.answer()
        assert (408, "close") == (status, headers["Connection"])
        assert json.loads(body)["type"] == "/problems/body-timeout"
    hasty.wait_until_alone()


def test_no_thread_was_there_to_read_in_time(tmp_path: Path) -> None:
    """Who has sent the whole request in time is not blamed for that."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path, *HASTY, complains=True))
        late = running.enter_context(web.client())
        assert late.send(EXPECTING + WITH_LENGTH).status() == 100
        redis.pause()
        others = have_all_threads_wait(running, redis, web)

        late.send(EVENT)

        assert {503} == {client.status() for client in others}
        assert late.status() == 503


def test_a_stop_answers_what_no_thread_has_read(tmp_path: Path) -> None:
    """It has come before the stop, let in by the system only, and is not the client's fault."""
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path, complains=True))
        redis.pause()
        posting = have_all_threads_wait(running, redis, web)
        with stopped_meanwhile(web):
            for _ in range(2 * THREADS):
                posting.append(running.enter_context(web.client()).send(POST + WITH_LENGTH + EVENT))

        assert {503} == {client.status() for client in posting}
        assert web.child.wait(STOPPED_SECONDS) == 0


def test_a_stop_lets_in_no_more_than_there_may_be(redis_url: str, tmp_path: Path) -> None:
    """Enough files are left for what serving takes."""
    with serve(RELAY, redis_url, tmp_path, limit="-n 120") as web, ExitStack() as clients:
        with stopped_meanwhile(web):
            coming = [clients.enter_context(web.client()).send(LAST) for _ in range(60)]

        assert web.child.wait(STOPPED_SECONDS) == 0
        assert 0 < sum(map(has_an_answer, coming)) < 120 - OTHER_FILES


def test_a_stop_while_it_starts(redis_url: str, tmp_path: Path) -> None:
    """It ends as any other, and does not go on to serve until it is killed."""
    late = ("--worker-class", "tests.web.hasty.LateWorker")
    with serve(RELAY, redis_url, tmp_path, *late, limit="-n 120") as web, ExitStack() as clients:
        web.wait_for_event("Starting late")
        coming = [clients.enter_context(web.client()).send(LAST) for _ in range(60)]

        web.child.send_signal(signal.SIGTERM)

        assert web.child.wait(STOPPED_SECONDS) == 0
        assert 0 < sum(map(has_an_answer, coming)) < 120 - OTHER_FILES


def has_an_answer(client: RawClient) -> bool:
    """Whether it got one, and not just the end."""
    try:
        return client.status() == 200
    except ConnectionResetError:
        return False


@contextmanager
def stopped_meanwhile(web: Web) -> Iterator[None]:
    """The system alone lets clients in here; the worker finds them, and that it is to stop."""
    worker = web.worker()
    os.kill(worker, signal.SIGSTOP)
    # One of its threads that is still on its way would take the next signal.
    wait_until(lambda: states_of(worker) == {"T"}, SERVED_SECONDS, "all of its threads to stand")
    yield
    web.child.send_signal(signal.SIGTERM)
    wait_until(lambda: has_pending(worker, signal.SIGTERM), SERVED_SECONDS, "the stop")
    os.kill(worker, signal.SIGCONT)


def states_of(pid: int) -> set[str]:
    """The states of its threads, https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in stats}


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Whether the process has still to see that signal, https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    (mask,) = re.findall(
        r"^ShdPnd:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_half_a_head_ends(hasty: Web) -> None:
    """There is no request to answer, so the connection just ends."""
    with hasty.client() as client:
        assert client.send(POST).rest() == b""


def test_clients_that_never_close(hasty: Web, clients: ExitStack) -> None:
    """Whoever was told that this is the end is not waited for."""
    enter(clients, hasty, 10 * THREADS, LAST)

    assert hasty.serves()
    hasty.wait_until_alone()


@pytest.mark.parametrize("number", [THREADS, 3 * THREADS])
def test_clients_that_are_gone(web: Web, clients: ExitStack, number: int) -> None:
    """Nobody is there to be answered, and nobody is told of it."""
    enter(clients, web, number, POST + WITH_LENGTH + EVENT)

    clients.close()

    assert web.serves()
    web.wait_until_alone()


def test_large_answers_that_nobody_takes(large: Web, clients: ExitStack) -> None:
    """They hold their threads for no longer than others can wait."""
    enter(clients, large, THREADS, LARGE % MANY_BYTES)

    assert requests.get(large.url, timeout=SERVED_SECONDS).ok
    clients.close()
    large.wait_until_alone()


def test_small_answers_that_nobody_takes(large: Web, clients: ExitStack) -> None:
    """A client that asks on and on, and never reads, is no more served when its socket is full."""
    for _ in range(6 * THREADS):
        clients.enter_context(large.client(narrow=True)).send(LARGE % 4000 * 100)

    wait_until_all_are_ended(large)


def test_half_a_request_behind_answers_that_nobody_takes(large: Web, clients: ExitStack) -> None:
    """It is not waited for again and again, however full the socket is."""
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
def test_far_too_large_bodies(web: Web, framing: bytes) -> None:
    """413 reaches a client that sends 10 MiB before it reads; the connection ends with that."""
    with web.client() as client:
        client.send(POST + framing % MANY_BYTES + b" " * MANY_BYTES)

        status, headers, _ = client.answer()
        assert (413, "close") == (status, headers["Connection"])
    web.wait_until_alone()


def test_a_client_that_waits_to_be_told_to_send(web: Web) -> None:
    """It is told so once; never, where its body would be refused."""
    with web.client() as client:
        assert client.send(EXPECTING + WITH_LENGTH).status() == 100
        assert client.send(EVENT).status() == 202

        assert client.send(EXPECTING + IN_CHUNKS).status() == 100
        assert client.send(CHUNKS).status() == 202

        assert client.send(EXPECTING + WITH_LENGTH + EVENT).status() == 202

        assert client.send(EXPECTING + b"Content-Length: 65537\r\n\r\n").status() == 413


def test_requests_that_follow_at_once(web: Web) -> None:
    """Kept alive, pipelined, with a length or in chunks, cut anywhere: each in its turn."""
    post = POST + IN_CHUNKS + CHUNKS + POST + WITH_LENGTH + EVENT
    with web.client() as client:
        assert client.send(ALIVE).status() == 200

        client.send(post + ALIVE + post + ALIVE[:20])
        assert [202, 202, 200, 202, 202] == [client.status() for _ in range(5)]

        client.send(ALIVE[20:] + EXPECTING + WITH_LENGTH)
        assert [200, 100] == [client.status() for _ in range(2)]

        client.send(EVENT + LAST)
        assert [202, 200] == [client.status() for _ in range(2)]
        assert client.rest() == b""


def test_requests_that_come_while_others_are_answered(web: Web, clients: ExitStack) -> None:
    """Whatever comes, and whenever it does, is read and answered: nobody is forgotten."""
    chance = Random(776)  # noqa: S311 - no secret
    sent = (POST + WITH_LENGTH + EVENT + ALIVE) * 10
    left = {clients.enter_context(web.client()): sent for _ in range(4 * THREADS)}

    while unsent := [client for client, rest in left.items() if rest]:
        client = chance.choice(unsent)
        size = chance.choice([1, 60, 200, 700])
        client.send(left[client][:size])
        left[client] = left[client][size:]

    for client in left:
        assert [202, 200] * 10 == [client.status() for _ in range(20)]


@pytest.mark.parametrize("number", [1, 3 * THREADS])
def test_clients_that_end_their_side_with_the_request(
    web: Web, clients: ExitStack, number: int
) -> None:
    """They are answered, and then the connection ends at once."""
    ended = [clients.enter_context(web.client()) for _ in range(number)]
    for client in ended:
        client.send(POST + WITH_LENGTH + EVENT).end()

    for client in ended:
        assert client.status() == 202
        assert client.rest() == b""
    web.wait_until_alone()


def test_a_body_that_fills_every_read(web: Web) -> None:
    """What is left when a read is full is read too."""
    posted = POST + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    with web.client() as client:
        for _ in range(20):
            client.send(posted + EVENT + b" " * (MAX_BODY_BYTES - len(EVENT)))
            assert client.status() == 202


def test_a_stop_finishes_what_has_begun(tmp_path: Path) -> None:
    """A request in a view is answered, and its client not waited for, before the process ends.

    Who comes after the stop is told so at once, and can turn to another replica.
    """
    with ExitStack() as running:
        redis = running.enter_context(Valkey(tmp_path))
        web = running.enter_context(serve(RELAY, redis.url, tmp_path))
        client = running.enter_context(web.client())
        assert client.send(ALIVE).status() == 200
        redis.pause()
        client.send(POST + WITH_LENGTH + EVENT)

        web.child.send_signal(signal.SIGTERM)
        wait_until(web.refuses, SERVED_SECONDS, "the end of listening")
        redis.resume()

        assert client.status() == 202
        assert web.child.wait(SERVED_SECONDS) == 0


def test_a_stop_does_not_wait_for_stalled_clients(redis_url: str, tmp_path: Path) -> None:
    """It is over in a few seconds, whatever they have sent."""
    with serve(RELAY, redis_url, tmp_path) as web, ExitStack() as clients:
        for sent in [*HALF_SENT.values(), ALIVE, LAST]:
            enter(clients, web, 10, sent)
        assert web.serves()
        half_sent = clients.enter_context(web.client())
        half_sent.send(ALIVE + HALF_SENT["half a body"])
        assert half_sent.status() == 200

        assert stop_child(web.child, SERVED_SECONDS) == 0
        assert half_sent.rest() == b""
