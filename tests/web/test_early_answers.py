"""Requests that are refused by their heads, before any of their bodies is read or kept."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.web.reading import MAX_BODIES_BYTES, MAX_BODY_BYTES
from tests.web.raw import RELAY, SERVED_SECONDS, TOKEN, RawClient, Web, serve
from tests.web.service import WEBHOOK_SECRET
from tests.web.test_slow_clients import allow_files
from tools.stack.processes import wait_until
from tools.stack.valkey import Valkey

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

JSON = b"Content-Type: application/json"
SUBMITS = b"Authorization: Bearer " + TOKEN.encode()
READS = SUBMITS + b"-2"
# Claims to be signed, which only the body can show.
SIGNED = b"\r\n".join([JSON, b"webhook-id: msg-1", b"Content-Length: %d" % MAX_BODY_BYTES])
LENGTH = b"Content-Length: 60000"
CHUNKED = b"Transfer-Encoding: chunked"
ALIVE = b"GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n"

# Whatever a stranger sends, a process may grow by so much.
MAX_GROWTH_BYTES = 60 * 1024 * 1024


@pytest.fixture(scope="module")
def web(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The relay, which takes signed events as well."""
    directory = tmp_path_factory.mktemp("web")
    with serve(RELAY, valkey.url, directory, WEBHOOK_SECRETS=WEBHOOK_SECRET) as web:
        yield web


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Clients that are gone when it is closed."""
    allow_files(4_000)
    with ExitStack() as clients:
        yield clients


def head(*headers: bytes, line: bytes = b"POST /v1/events") -> bytes:
    """Return a head with those headers."""
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: relay", *headers, b"", b""])


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("slug", "status", "refused"),
    [
        ("unauthorized", 401, head(JSON)),
        ("unauthorized", 401, head(JSON, SUBMITS + b"x")),
        ("unauthorized", 401, head(b"webhook-id: msg-1", line=b"POST /v1/nowhere")),
        ("forbidden", 403, head(JSON, READS)),
        ("not-found", 404, head(JSON, SUBMITS, line=b"POST /v1/nowhere")),
        ("not-found", 404, head(JSON, line=b"POST /nowhere")),
        ("method-not-allowed", 405, head(JSON, SUBMITS, line=b"PUT /v1/events")),
        ("method-not-allowed", 405, head(JSON, line=b"POST /livez")),
        ("unsupported-media-type", 415, head(b"Content-Type: text/plain", SUBMITS)),
        ("unsupported-media-type", 415, head(JSON, b"Content-Encoding: gzip", SUBMITS)),
    ],
)
def test_a_refusal_by_the_head_does_not_wait_for_the_body(
    web: Web, slug: str, status: int, refused: bytes, framing: bytes
) -> None:
    """The answer comes at once, and the connection ends with it."""
    assert_refused(web, slug, status, refused[:-2] + framing + b"\r\n\r\n")


@pytest.mark.parametrize("size", [b"65537", b"9" * 30])
@pytest.mark.parametrize("caller", [SUBMITS, b"webhook-id: msg-1"], ids=["known", "signed"])
def test_a_body_that_is_announced_as_too_large_is_not_waited_for(
    web: Web, caller: bytes, size: bytes
) -> None:
    """The answer comes at once, and the connection ends with it."""
    assert_refused(web, "too-large", 413, head(JSON, caller, b"Content-Length: " + size))


def assert_refused(web: Web, slug: str, status: int, sent: bytes) -> None:
    """Check the answer to a head, well before a body would be given up."""
    with web.client() as client:
        answered, headers, content = client.send(sent).answer()

        assert (status, f"/problems/{slug}") == (answered, json.loads(content)["type"])
        assert "close" == headers["Connection"]
        assert b"" == client.send(b"{").rest()


def test_bodies_under_way_have_a_limit(valkey: Valkey, tmp_path: Path, clients: ExitStack) -> None:
    """Strangers who claim to sign half-send hundreds: the rest is refused, and memory is kept."""
    number, beyond = MAX_BODIES_BYTES // MAX_BODY_BYTES, 100
    patient = ("--worker-class", "tests.web.hasty.PatientWorker")
    with serve(RELAY, valkey.url, tmp_path, *patient, WEBHOOK_SECRETS=WEBHOOK_SECRET) as web:
        assert web.serves()
        before = web.memory_bytes()

        sending = [clients.enter_context(web.client()) for _ in range(number + beyond)]
        for client in sending:
            client.send(head(SIGNED))
        refused = wait_until(lambda: answered(sending, beyond), SERVED_SECONDS, "all refusals")
        for client in sending:
            client.send(b" " * (MAX_BODY_BYTES - 1))
        wait_until(lambda: not web.unread_bytes(), SERVED_SECONDS, "all bytes to be read")

        for client in refused:
            status, headers, content = client.answer()
            assert (503, "1") == (status, headers["Retry-After"])
            assert "/problems/unavailable" == json.loads(content)["type"]
        assert 200 == clients.enter_context(web.client()).send(ALIVE).status()
        assert web.memory_bytes() - before < MAX_GROWTH_BYTES

        first = next(client for client in sending if client not in refused)
        assert 401 == first.send(b" ").status()
        assert web.serves()

        clients.close()
        web.wait_until_alone()
        with web.client() as next_one:
            assert 401 == next_one.send(head(SIGNED) + b" " * MAX_BODY_BYTES).status()


def answered(clients: list[RawClient], number: int) -> list[RawClient]:
    """Return the clients that have an answer, once it is that number."""
    answered = [client for client in clients if client.is_answered()]
    return answered if len(answered) >= number else []


def test_thousands_of_half_sent_posts_of_strangers_cost_little(
    web: Web, clients: ExitStack
) -> None:
    """Each is refused by its head, and nothing of its body is kept."""
    assert web.serves()
    before = web.memory_bytes()

    strangers = [clients.enter_context(web.client()) for _ in range(3_000)]
    for client in strangers:
        client.send(head(JSON, LENGTH) + b" " * 30_000)

    assert {401} == {client.status() for client in strangers}
    wait_until(lambda: not web.unread_bytes(), SERVED_SECONDS, "all bytes to be read")
    assert web.memory_bytes() - before < MAX_GROWTH_BYTES
    assert web.serves()
    clients.close()
    web.wait_until_alone()
