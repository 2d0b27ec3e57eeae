"""``Prefer: wait``: from event to ids in one round trip, and never worse than without.

Against a web process, since waits need its loop; the worker is the test itself.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Request
from werkzeug.test import EnvironBuilder

from app.chats.grant import Grant
from app.chats.outcome import Outcome
from app.store.keys import Keys
from app.web.prefer import preferred_wait
from tests.web.raw import RELAY, SERVED_SECONDS, TOKEN, Web, serve
from tests.web.service import EVENT
from tests.web.test_slow_clients import allow_files
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN, created
from tools.model.store_driver import StoreDriver
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.valkey import Valkey

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Posted = Future[requests.Response]
PREFIX = "waiting"
AT_ONCE_SECONDS = 3  # on a busy machine; a wait that ends by itself takes 30
MANY = 200


@pytest.fixture(scope="module")
def web(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process, whose keys and notices are its own."""
    directory = tmp_path_factory.mktemp("web")
    with serve(RELAY, valkey.url, directory, complains=True, KEY_PREFIX=PREFIX) as web:
        yield web


@pytest.fixture
def bench(client: Client) -> StoreDriver:
    """The store behind the web process; its gate is open."""
    bench = StoreDriver(client, Keys(PREFIX))
    bench.open_gate()
    return bench


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers beside this one."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


def post(web: Web, prefer: str = "wait=30", **body: Any) -> requests.Response:
    """Post an event with a preference."""
    return requests.post(
        f"{web.url}/v1/events",
        json={**EVENT, **body},
        headers={"Authorization": f"Bearer {TOKEN}", "Prefer": prefer},
        timeout=40,
    )


def begin_post(
    pool: ThreadPoolExecutor, web: Web, bench: StoreDriver, prefer: str = "wait=30", **body: Any
) -> Posted:
    """Post as another caller; return once the event, new or known, is accepted."""
    key = bench.keys.event(body.get("event_id", EVENT["event_id"]))
    with evidence_of(bench, lambda ran: ran["client_type"] == "lua" and key in ran["command"]):
        return pool.submit(post, web, prefer, **body)


def look(web: Web, prefer: str | None = "wait=30", event_id: str = "refund-7731") -> Any:
    """Look an event up with a preference, or without one."""
    return requests.get(
        f"{web.url}/v1/events/{event_id}",
        headers={"Authorization": f"Bearer {TOKEN}-2"} | ({"Prefer": prefer} if prefer else {}),
        timeout=40,
    )


def begin_look(
    pool: ThreadPoolExecutor,
    web: Web,
    bench: StoreDriver,
    prefer: str = "wait=30",
    *,
    event_id: str,
) -> Posted:
    """Look up an event that no other request waits for; return once its record has been read."""
    words = f"MGET {bench.keys.event(event_id)} "
    with evidence_of(bench, lambda ran: ran["command"].startswith(words)):
        return pool.submit(look, web, prefer, event_id)


@contextmanager
def evidence_of(bench: StoreDriver, is_it: Callable[[dict[str, Any]], bool]) -> Iterator[None]:
    """Return once Redis has run the command that the body leads to, and has sent its reply.

    A script's own commands are those of a client "lua": https://valkey.io/commands/monitor/
    """
    with Client(bench.client.url, socket_timeout=SERVED_SECONDS) as client:
        with client.monitor() as monitor:
            yield
            while not is_it(monitor.next_command()):
                pass
        client.ping()  # replies of the turn before have been sent by the time of this one


def count(bench: StoreDriver, command: str) -> int:
    """Return how often Redis has run ``command`` without an error."""
    found = bench.client.info("commandstats").get(f"cmdstat_{command}", {})
    return int(found.get("calls", 0)) - int(found.get("failed_calls", 0))


def settle(bench: StoreDriver, outcome: Outcome = CREATED) -> None:
    """Make the next call, as a worker elsewhere."""
    worker = bench.worker()
    worker.settle(bench.grant(worker), outcome)


def outcome_of(response: requests.Response) -> tuple[int, str, str | None]:
    """The answer's status, the event's, and which preference was applied."""
    return (
        response.status_code,
        response.json()["status"],
        response.headers.get("Preference-Applied"),
    )


def subscribers(bench: StoreDriver) -> int:
    """Return how many connections listen for what is settled."""
    ((_, number),) = bench.client.pubsub_numsub(bench.keys.settled)
    return int(number)


@pytest.mark.parametrize(
    ("outcome", "status"), [(CREATED, "opened"), (REFUSED, "failed"), (UNKNOWN, "unknown")]
)
def test_a_wait_ends_when_the_event_is_settled_or_held(
    web: Web, bench: StoreDriver, pool: ThreadPoolExecutor, outcome: Outcome, status: str
) -> None:
    """The answer to the post is the final record; held is as final as a wait can see."""
    posted = begin_post(pool, web, bench)

    settle(bench, outcome)

    response = posted.result(AT_ONCE_SECONDS)
    assert (200, status, "wait=30") == outcome_of(response)
    assert "Retry-After" not in response.headers
    assert "/v1/events/refund-7731" == response.headers["Location"]


def test_duplicates_join_the_wait(web: Web, bench: StoreDriver, pool: ThreadPoolExecutor) -> None:
    """Each gets the same record; only the first was new."""
    first, second = begin_post(pool, web, bench), begin_post(pool, web, bench)

    settle(bench)

    answers = [posted.result(AT_ONCE_SECONDS) for posted in (first, second)]
    assert [(200, "opened", "wait=30")] * 2 == [outcome_of(answer) for answer in answers]
    assert answers[0].content == answers[1].content
    assert [None, "true"] == [answer.headers.get("Idempotent-Replayed") for answer in answers]


def test_a_settled_event_is_not_waited_for(web: Web, bench: StoreDriver) -> None:
    """The preference is met as it stands, and says with how many seconds it was understood."""
    post(web, "wait=0")
    settle(bench)

    assert (200, "opened", "wait=30") == outcome_of(post(web, "wait=600"))


def test_a_wait_that_runs_out_is_202(web: Web, bench: StoreDriver) -> None:
    """The record is the usual one, with ``Preference-Applied``."""
    began = time.monotonic()

    response = post(web, "wait=1")

    assert (202, "accepted", "wait=1") == outcome_of(response)
    assert "1" == response.headers["Retry-After"]
    assert 1 <= time.monotonic() - began < 1 + AT_ONCE_SECONDS


@pytest.mark.parametrize(
    ("outcome", "status"), [(CREATED, "opened"), (REFUSED, "failed"), (UNKNOWN, "unknown")]
)
def test_a_look_up_waits_as_a_post_does(
    web: Web, bench: StoreDriver, pool: ThreadPoolExecutor, outcome: Outcome, status: str
) -> None:
    """Several at once; the answer is the final record."""
    event_ids = ["e1", "e2", "e3"]
    for event_id in event_ids:
        post(web, "wait=0", event_id=event_id)
    looked = [begin_look(pool, web, bench, event_id=event_id) for event_id in event_ids]

    for _ in event_ids:
        settle(bench, outcome)

    responses = [one.result(AT_ONCE_SECONDS) for one in looked]
    assert [(200, status, "wait=30")] * 3 == [outcome_of(response) for response in responses]
    assert not any("Retry-After" in response.headers for response in responses)


def test_a_look_up_that_waits_in_vain(web: Web, bench: StoreDriver) -> None:
    """200 with the record as it is, the preference as applied, and when to look again."""
    post(web, "wait=0")
    began = time.monotonic()

    response = look(web, "wait=1")

    assert (200, "accepted", "wait=1") == outcome_of(response)
    assert "1" == response.headers["Retry-After"]
    assert 1 <= time.monotonic() - began < 1 + AT_ONCE_SECONDS


def test_a_look_up_without_a_wait(web: Web, bench: StoreDriver) -> None:
    """``Retry-After`` is there while the event is in progress, and not after that."""
    post(web, "wait=0")
    bench_worker = bench.worker()

    waiting = look(web, None)
    grant = bench.grant(bench_worker)
    calling = look(web, "wait=soon")
    bench_worker.settle(grant, CREATED)
    opened = look(web, None)

    assert ["accepted", "calling", "opened"] == [
        one.json()["status"] for one in (waiting, calling, opened)
    ]
    assert ["1", "1", None] == [
        one.headers.get("Retry-After") for one in (waiting, calling, opened)
    ]
    assert not any("Preference-Applied" in one.headers for one in (waiting, calling, opened))


def test_a_missing_event_is_not_awaited(web: Web, bench: StoreDriver) -> None:
    """404 at once, as without the preference."""
    began = time.monotonic()

    response = look(web, event_id="none")

    assert 404 == response.status_code
    assert "Preference-Applied" not in response.headers
    assert time.monotonic() - began < AT_ONCE_SECONDS


@pytest.mark.parametrize("prefer", ["wait=0", "wait=soon", "wait", "respond-async"])
def test_an_unreadable_preference_is_ignored(web: Web, bench: StoreDriver, prefer: str) -> None:
    """202, and no word of a preference."""
    assert (202, "accepted", None) == outcome_of(post(web, prefer))


def test_a_refused_event_is_not_waited_for(web: Web, bench: StoreDriver) -> None:
    """Its caller is answered at once."""
    post(web, "wait=0")
    began = time.monotonic()

    reused, invalid = post(web, user_id="other"), post(web, user_id=7)

    assert "/problems/event-id-reused" == reused.json()["type"]
    assert "/problems/invalid-event" == invalid.json()["type"]
    assert time.monotonic() - began < AT_ONCE_SECONDS


@linux
def test_as_many_wait_as_there_are_connections(web: Web, bench: StoreDriver) -> None:
    """Each gets its own ids in the same request; others are served meanwhile."""
    allow_files(1_000)
    with ExitStack() as clients:
        waiting = [
            clients.enter_context(web.client(patience_seconds=20)).send(raw_post(f"e{number}"))
            for number in range(MANY)
        ]
        wait_until(lambda: len(bench.queue("due")) == MANY, SERVED_SECONDS, "all to be accepted")
        assert web.serves()
        assert 1 == subscribers(bench)

        worker = bench.worker()
        while isinstance(grant := bench.take(worker), Grant):
            worker.settle(grant, created(f"chat-of-{grant.event_id}"))

        for number, client in enumerate(waiting):
            status, _, content = client.answer()
            assert (200, True) == (status, f'"chat-of-e{number}"'.encode() in content)


def raw_post(event_id: str, prefer: str = "wait=30") -> bytes:
    """Return the post of an event, as bytes."""
    body = b'{"event_id": "%b", "user_id": "u1"}' % event_id.encode()
    lines = [
        b"POST /v1/events HTTP/1.1",
        b"Host: relay",
        b"Content-Type: application/json",
        b"Authorization: Bearer " + TOKEN.encode(),
        b"Prefer: " + prefer.encode(),
        b"Content-Length: %d" % len(body),
    ]
    return b"\r\n".join([*lines, b"", body])


@linux
def test_no_wait_polls_while_subscribed(web: Web, bench: StoreDriver) -> None:
    """One look at the end, and one when the subscription began: hundreds would be a load else."""
    before = count(bench, "mget")
    with ExitStack() as clients:
        waiting = [
            clients.enter_context(web.client()).send(raw_post(f"e{number}", "wait=2"))
            for number in range(20)
        ]

        assert {202} == {client.status() for client in waiting}

    assert 20 <= count(bench, "mget") - before <= 40


def test_one_subscription_serves_wait_after_wait(
    web: Web, bench: StoreDriver, pool: ThreadPoolExecutor
) -> None:
    """Not one for each request, or each event."""
    for turn in range(3):
        posts = [begin_post(pool, web, bench, event_id=f"{turn}-{n}") for n in range(4)]
        wait_until(lambda: subscribers(bench), SERVED_SECONDS, "the subscription")

        assert 1 == subscribers(bench)
        for _ in posts:
            settle(bench)
        assert {200} == {posted.result(AT_ONCE_SECONDS).status_code for posted in posts}


def test_a_killed_subscription_costs_a_look_and_comes_back(
    web: Web, bench: StoreDriver, pool: ThreadPoolExecutor
) -> None:
    """Meanwhile requests that wait read the record, and their callers notice nothing."""
    posted = begin_post(pool, web, bench)
    wait_until(lambda: subscribers(bench), SERVED_SECONDS, "the subscription")

    bench.client.client_kill_filter(_type="pubsub")
    settle(bench)

    assert (200, "opened", "wait=30") == outcome_of(posted.result(AT_ONCE_SECONDS))
    wait_until(lambda: subscribers(bench), SERVED_SECONDS, "the subscription")


def test_a_lost_notice_costs_the_wait_and_no_more(
    web: Web, bench: StoreDriver, pool: ThreadPoolExecutor
) -> None:
    """The record is read once more at its end."""
    posted = begin_post(pool, web, bench, "wait=2")

    bench.set_fields("refund-7731", status="unknown")

    assert (200, "unknown", "wait=2") == outcome_of(posted.result(2 + AT_ONCE_SECONDS))


@linux
@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "silent"])
def test_redis_lost_during_a_wait_leaves_the_last_confirmed_record(
    tmp_path: Path, pool: ThreadPoolExecutor, *, is_stopped: bool
) -> None:
    """The event is accepted all the same, and its caller can look it up later."""
    with Valkey(tmp_path) as redis, connect_to(redis.url) as client:
        bench = StoreDriver(client, Keys(PREFIX))
        with serve(RELAY, redis.url, tmp_path, complains=True, KEY_PREFIX=PREFIX) as web:
            posted = begin_post(pool, web, bench, "wait=4")
            post(web, "wait=0", event_id="other")
            looked = begin_look(pool, web, bench, "wait=4", event_id="other")
            (redis.stop if is_stopped else redis.pause)()

            response = posted.result(4 + AT_ONCE_SECONDS)

            assert (202, "accepted", "wait=4") == outcome_of(response)
            assert (200, "accepted", "wait=4") == outcome_of(looked.result(AT_ONCE_SECONDS))


def test_a_stop_sees_waits_through(
    valkey: Valkey, bench: StoreDriver, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """Their callers get what has come by their ends, and the process ends after them."""
    with serve(RELAY, valkey.url, tmp_path, KEY_PREFIX=PREFIX) as web:
        opened = begin_post(pool, web, bench)
        waiting = begin_post(pool, web, bench, "wait=4", event_id="other")

        web.child.send_signal(signal.SIGTERM)
        wait_until(web.refuses, SERVED_SECONDS, "the end of listening")
        settle(bench)

        assert (200, "opened", "wait=30") == outcome_of(opened.result(AT_ONCE_SECONDS))
        assert (202, "accepted", "wait=4") == outcome_of(waiting.result(4 + AT_ONCE_SECONDS))
        assert 0 == web.child.wait(SERVED_SECONDS)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 0),
        (["wait=5"], 5),
        (["WAIT=5"], 5),
        (["wait = 5"], 5),
        (['wait="5"'], 5),
        (["wait=005"], 5),
        (["wait=30"], 30),
        (["wait=31"], 30),
        (["wait=100"], 30),
        (["wait=" + "9" * 5000], 30),
        (["wait=" + "0" * 5000 + "7"], 7),
        (["wait=5; x=y"], 5),
        (['wait=5;x="a, wait=6"'], 5),
        (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5"], 5),
        (["respond-async,,wait=5,"], 5),
        (['note="a, wait=7", wait=5'], 5),
        (["wait=5, wait=6"], 5),
        (["wait=5", "wait=6"], 5),
        (["wait=soon, wait=6"], 0),
        (["wait=0"], 0),
        (["wait"], 0),
        (["wait="], 0),
        (["wait=-5"], 0),
        (["wait=+5"], 0),
        (["wait=5.5"], 0),
        (["wait=5s"], 0),
        (["wait=5 6"], 0),
        (['wait="5'], 0),
        (['wait=5"'], 0),
        (["wait=\u0665".encode().decode("latin-1")], 0),
        (["wait=\xb2"], 0),
        (["waiting=5"], 0),
        (["await=5"], 0),
        (["handling=lenient; wait=5"], 0),
    ],
)
def test_the_preference_is_read_as_the_rfc_has_it(headers: list[str], seconds: int) -> None:
    """Several headers are one list; the first ``wait`` counts; 30 seconds are the most."""
    builder = EnvironBuilder(headers=[("Prefer", header) for header in headers])

    assert seconds == preferred_wait(Request(builder.get_environ()))
