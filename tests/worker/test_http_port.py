"""The worker's ``METRICS_PORT``: what is answered there, to whom, and what stops nothing."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from app.worker.http_port import SILENCE_SECONDS
from tests.scraped import OF_WORKER, kinds, samples
from tools.stack.deployment import Deployment
from tools.stack.processes import free_port, wait_until
from tools.stack.relay import Process

TIMEOUT_SECONDS = 10
PATIENCE_SECONDS = 20
# Of an answer beside clients that are slow, on a busy machine.
MAX_ANSWER_SECONDS = 2
MANY = 300
MUCH_BYTES = 64 << 20
PATHS = ("/metrics", "/livez", "/readyz")


class PortAnswer(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: str


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A Redis of its own, and no process yet."""
    with Deployment(tmp_path_factory.mktemp("port")) as relay:
        yield relay


@pytest.fixture(scope="module")
def port() -> int:
    """Return the address of the worker's port."""
    return free_port()


@pytest.fixture(scope="module")
def worker(relay: Deployment, port: int) -> Iterator[Process]:
    """A worker, which must have logged no request in the end."""
    worker = relay.start_worker(METRICS_PORT=str(port))
    worker.wait_for_line("worker_started")
    yield worker
    text = worker.log.read_text()
    assert [] == [line for line in text.splitlines() if not line.startswith("{")]
    assert [] == [word for word in ("greenlet_failed", "livez", "half-sent") if word in text]


def ask(port: int, path: str, method: str = "GET", host: str = "127.0.0.1") -> PortAnswer:
    """Send one request."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        headers = {name.lower(): text for name, text in response.getheaders()}
        return PortAnswer(response.status, headers, response.read().decode())
    finally:
        connection.close()


def connect(port: int) -> socket.socket:
    """A connection that sends nothing yet."""
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)


def assert_alive(port: int) -> None:
    """It answers, and soon."""
    began = time.monotonic()
    assert 200 == ask(port, "/livez").status
    assert time.monotonic() - began < MAX_ANSWER_SECONDS


@pytest.mark.usefixtures("worker")
def test_it_shows_metrics_life_and_readiness(port: int) -> None:
    """To every client, with a query or without; none of it may be cached."""
    metrics, live, ready = (ask(port, path) for path in ("/metrics?name=x", *PATHS[1:]))

    assert {200} == {answer.status for answer in (metrics, live, ready)}
    assert {"no-store"} == {answer.headers["cache-control"] for answer in (metrics, live, ready)}
    assert OF_WORKER == kinds(metrics.body)
    assert {"status", "version"} == set(json.loads(live.body))
    assert "ok" == json.loads(ready.body)["status"]
    assert "\n" == live.body[-1] == ready.body[-1]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_head_is_get_without_its_body(port: int, path: str) -> None:
    """Probes of load balancers ask so."""
    got, head = ask(port, path), ask(port, path, "HEAD")

    assert "" == head.body
    ignored = {"date", "content-length"}
    assert (got.status, {name: got.headers[name] for name in set(got.headers) - ignored}) == (
        head.status,
        {name: head.headers[name] for name in set(head.headers) - ignored},
    )
    assert "content-length" in head.headers


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods_are_not_allowed(port: int, method: str) -> None:
    """And what is nowhere is not found, whatever the method is."""
    refused, unknown = ask(port, "/livez", method), ask(port, "/nothing", method)

    assert (405, "GET, HEAD") == (refused.status, refused.headers["allow"])
    assert (404, 404) == (unknown.status, json.loads(unknown.body)["status"])


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_is_served_over_both_versions_of_ip(port: int, host: str) -> None:
    """A cluster may have either."""
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")

    assert 200 == ask(port, "/livez", host=host).status


@pytest.mark.usefixtures("worker")
def test_readiness_fails_while_redis_is_away(relay: Deployment, port: int) -> None:
    """Life does not, and metrics are there; it is ready again as soon as Redis is back."""
    relay.valkey.pause()
    try:
        away = wait_for_status(port, 503)
        live, metrics = ask(port, "/livez"), ask(port, "/metrics")
    finally:
        relay.valkey.resume()

    problem = json.loads(away.body)
    assert (503, "application/problem+json") == (away.status, away.headers["content-type"])
    assert ("/problems/not-ready", 503) == (problem["type"], problem["status"])
    assert [True] == ["redis" in error["check"] for error in problem["errors"]]
    assert (200, 200) == (live.status, metrics.status)
    wait_for_status(port, 200)


def wait_for_status(port: int, status: int) -> PortAnswer:
    """The first answer of ``/readyz`` with that status: one answer may stand for a while."""
    wait_until(lambda: ask(port, "/readyz").status == status, PATIENCE_SECONDS, f"{status}")
    return ask(port, "/readyz")


SLOW = {
    "silent": b"",
    "half a line": b"GET /live",
    "half a head": b"GET /livez HTTP/1.1\r\nHost: half-sent",
    "a body that never comes": b"POST /livez HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
def test_slow_clients_stop_nothing_and_are_bounded(worker: Process, port: int, sent: bytes) -> None:
    """More than it has room for: the oldest are closed, and others are answered at once."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(MANY)]
        for client in clients:
            client.sendall(sent)

        assert_alive(port)
        wait_until(
            lambda: sum(1 for _ in open_sockets(worker)) < MANY / 2,
            SILENCE_SECONDS - MAX_ANSWER_SECONDS,  # later all would be closed for their silence
            "room",
        )


def open_sockets(worker: Process) -> Iterator[str]:
    """The sockets of the process."""
    for descriptor in Path(f"/proc/{worker.pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            yield target


@pytest.mark.usefixtures("worker")
def test_a_silent_client_is_closed(port: int) -> None:
    """It may have gone without a word."""
    with connect(port) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\n")

        assert client.recv(1 << 16)[:12] in {b"", b"HTTP/1.1 400"}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("coding", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_a_body_is_not_read(port: int, coding: str) -> None:
    """However much comes of it: a worker has other things to do."""
    with connect(port) as client:
        client.sendall(f"POST /livez HTTP/1.1\r\nHost: x\r\n{coding}\r\n\r\n".encode())
        sent = 0
        with suppress(OSError):
            while sent < MUCH_BYTES:
                sent += client.send(b"8000\r\n" + bytes(1 << 15) + b"\r\n")

        assert sent < MUCH_BYTES
    assert_alive(port)


HOSTILE = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a long line": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET /livez HTTP/1.1\r\n" + b"X-Y: z\r\n" * 1000 + b"\r\n",
    "a long header": b"GET /livez HTTP/1.1\r\nX-Y: " + b"z" * 100_000 + b"\r\n\r\n",
    "a length that is none": b"POST /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a head without a host": b"GET /livez HTTP/1.0\r\n\r\n",
    "two requests": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 2,
}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("is_reset", [False, True], ids=["", "reset"])
def test_hostile_bytes_stop_nothing(port: int, sent: bytes, *, is_reset: bool) -> None:
    """Nor do they make it write anything, even where the client hangs up on the answer."""
    with connect(port) as client:
        if is_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(sent[:-4])
        else:
            client.sendall(sent)
            with suppress(ConnectionResetError):
                assert client.recv(1 << 16)[:9] in {b"HTTP/1.1 ", b""}
    assert_alive(port)


@pytest.mark.usefixtures("worker")
def test_a_second_worker_on_the_port_ends_with_what_to_do(relay: Deployment, port: int) -> None:
    """Exit code 2 and one line; the first one goes on."""
    second = relay.start_worker(METRICS_PORT=str(port))

    assert 2 == second.child.wait(30)
    (line,) = second.lines("metrics_port_unusable", port=port, level="error")
    assert line["reason"].startswith("Address already in use")
    assert "METRICS_PORT of its own" in line["advice"]
    assert "Traceback" not in second.log.read_text()
    assert 0 == samples(ask(port, "/metrics").body)["relay_workers_lost_total"]
