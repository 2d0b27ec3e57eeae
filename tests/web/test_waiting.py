"""``Prefer: wait``: from event to ids in one round trip, and never worse than without."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder, TestResponse

from app.chats.outcome import Outcome
from app.store.client import Client
from app.web.waiting import preferred_wait
from tests.stack.processes import wait_until
from tests.store.outcomes import CREATED, REFUSED, UNKNOWN
from tests.web.service import EVENT, SEATS, Service, serve, slug

Posted = Future[TestResponse]
AT_ONCE_SECONDS = 3  # on a busy machine; a wait that ends by itself takes 30


@pytest.fixture
def relay(service: Service) -> Iterator[Service]:
    """A relay whose gate is open; after the test nobody waits for anything."""
    service.bench.open_gate()
    yield service
    assert 0 == service.notices.watched


@pytest.fixture
def own(client: Client) -> Iterator[Service]:
    """One whose subscription can be told from those that other tests have left behind."""
    own = serve(client, prefix="own")
    own.bench.open_gate()
    yield own
    assert 0 == own.notices.watched


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers beside this one."""
    with ThreadPoolExecutor() as pool:
        yield pool


def post(pool: ThreadPoolExecutor, relay: Service, prefer: str = "wait=30", **body: Any) -> Posted:
    """Post as another caller, once that one waits."""
    before = waiting(relay)
    posted = pool.submit(ask, relay, prefer, **body)
    wait_until(lambda: posted.done() or waiting(relay) > before, 10, "the wait")
    return posted


def ask(relay: Service, prefer: str = "wait=30", **body: Any) -> TestResponse:
    """Post with a preference, as a caller with a client of its own."""
    own = replace(relay, caller=relay.caller.application.test_client())
    return own.post({**EVENT, **body}, Prefer=prefer)


def waiting(relay: Service) -> int:
    """How many requests have a seat: their event is accepted, and open."""
    return SEATS - relay.waiting_room._seats._value


def settle(relay: Service, outcome: Outcome = CREATED) -> None:
    """Make the next call, as a worker that lives elsewhere."""
    worker = relay.bench.worker()
    worker.settle(relay.bench.grant(worker), outcome)


def outcome_of(response: TestResponse) -> tuple[int, str, str | None]:
    """The answer's status, the event's, and which preference was applied."""
    return (
        response.status_code,
        response.get_json()["status"],
        response.headers.get("Preference-Applied"),
    )


@pytest.mark.parametrize(
    ("outcome", "status"), [(CREATED, "opened"), (REFUSED, "failed"), (UNKNOWN, "unknown")]
)
def test_a_wait_ends_when_the_event_is_settled_or_held(
    relay: Service, pool: ThreadPoolExecutor, outcome: Outcome, status: str
) -> None:
    """The answer to the post is the final record; held is as final as a wait can see."""
    posted = post(pool, relay)

    settle(relay, outcome)

    assert (200, status, "wait=30") == outcome_of(posted.result(AT_ONCE_SECONDS))
    assert "Retry-After" not in posted.result().headers
    assert "/v1/events/refund-7731" == posted.result().headers["Location"]


def test_duplicates_join_the_wait(relay: Service, pool: ThreadPoolExecutor) -> None:
    """Each gets the same record; only the first was new."""
    first, second = post(pool, relay), post(pool, relay)

    settle(relay)

    answers = [posted.result(AT_ONCE_SECONDS) for posted in (first, second)]
    assert [(200, "opened", "wait=30")] * 2 == [outcome_of(answer) for answer in answers]
    assert answers[0].data == answers[1].data
    assert ["true"] == [
        answer.headers["Idempotent-Replayed"]
        for answer in answers
        if "Idempotent-Replayed" in answer.headers
    ]


def test_a_settled_event_is_not_waited_for(relay: Service) -> None:
    """The preference is met as it stands, and says with how many seconds it was understood."""
    relay.post()
    settle(relay)

    assert (200, "opened", "wait=30") == outcome_of(ask(relay, "wait=600"))


def test_a_wait_that_runs_out_is_202(relay: Service) -> None:
    """As without the preference, and it says that it was applied."""
    began = time.monotonic()

    response = ask(relay, "wait=1")

    assert (202, "accepted", "wait=1") == outcome_of(response)
    assert "1" == response.headers["Retry-After"]
    assert 1 <= time.monotonic() - began < 1 + AT_ONCE_SECONDS


@pytest.mark.parametrize("prefer", ["wait=0", "wait=soon", "wait", "respond-async"])
def test_what_is_no_wait_is_answered_at_once(relay: Service, prefer: str) -> None:
    """202, and no word of a preference."""
    assert (202, "accepted", None) == outcome_of(ask(relay, prefer))


def test_no_more_wait_than_there_are_seats(relay: Service, pool: ThreadPoolExecutor) -> None:
    """Beyond them the answer is 202 at once; who need not wait, needs no seat."""
    relay.post({**EVENT, "event_id": "settled"})
    settle(relay)
    posts = [post(pool, relay, event_id=f"e{number}") for number in range(SEATS)]

    beyond = ask(relay, event_id="beyond")
    known = ask(relay, event_id="settled")

    assert (202, "accepted", None) == outcome_of(beyond)
    assert (200, "opened", "wait=30") == outcome_of(known)
    assert not [posted for posted in posts if posted.done()]
    settle_all(relay, SEATS + 1)
    assert {200} == {posted.result(AT_ONCE_SECONDS).status_code for posted in posts}


def test_a_seat_is_free_again_after_a_wait(relay: Service, pool: ThreadPoolExecutor) -> None:
    """However the wait ended."""
    for number in range(SEATS):
        ask(relay, "wait=1", event_id=f"timed-out-{number}")
    settle_all(relay, SEATS)

    posts = [post(pool, relay, event_id=f"e{number}") for number in range(SEATS)]

    settle_all(relay, SEATS)
    applied = {outcome_of(posted.result(AT_ONCE_SECONDS)) for posted in posts}
    assert {(200, "opened", "wait=30")} == applied


def settle_all(relay: Service, count: int) -> None:
    """Open so many events."""
    for _ in range(count):
        settle(relay)


def test_a_refused_event_is_not_waited_for(relay: Service) -> None:
    """And leaves nobody registered."""
    relay.post()

    assert "event-id-reused" == slug(ask(relay, user_id="other"))
    assert "invalid-event" == slug(ask(relay, user_id=7))


def test_one_subscriber_serves_all_who_wait(
    own: Service, pool: ThreadPoolExecutor, client: Client
) -> None:
    """Not one for each request, each event, or each wait after the other."""
    for _ in range(3):
        posts = [post(pool, own, event_id=f"e{number}") for number in range(SEATS)]
        wait_until(lambda: subscribers(client), 10, "the subscription")
        assert 1 == subscribers(client)
        settle_all(own, SEATS)
        for posted in posts:
            posted.result(AT_ONCE_SECONDS)
        client.flushall()
        own.bench.open_gate()


def subscribers(client: Client) -> int:
    """How many listen to what is settled."""
    ((_, count),) = client.pubsub_numsub("{own}:settled")
    return int(count)


def test_a_killed_subscription_costs_a_look_and_comes_back(
    own: Service, pool: ThreadPoolExecutor, client: Client
) -> None:
    """Meanwhile whoever waits reads the record, and nobody who waits hears of it."""
    posted = post(pool, own)
    wait_until(lambda: subscribers(client), 10, "the subscription")

    client.client_kill_filter(_type="pubsub")
    settle(own)

    assert (200, "opened", "wait=30") == outcome_of(posted.result(AT_ONCE_SECONDS))
    wait_until(lambda: subscribers(client), 10, "the subscription")


def test_a_lost_notice_costs_a_look(relay: Service, pool: ThreadPoolExecutor) -> None:
    """The line stands and says nothing: nobody relies on pub/sub alone."""
    posted = post(pool, relay)

    relay.bench.set_fields("refund-7731", status="unknown")

    assert (200, "unknown", "wait=30") == outcome_of(posted.result(AT_ONCE_SECONDS))


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
