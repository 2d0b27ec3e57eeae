"""Web's metrics: every posted event by what became of it, and how the relay stands."""

import re

import pytest

from app.chats.outcome import Outcome
from tests.scraped import labels, samples
from tests.web.service import EVENT, READ_TOKEN, VERSION, WebService, serve
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN
from tools.stack.redis_client import Client

RESULTS = {"accepted", "duplicate", "reused", "invalid", "unauthorized", "full", "unavailable"}


@pytest.fixture
def fresh(client: Client) -> WebService:
    """A relay that has counted nothing yet; one event fills its backlog."""
    return serve(client, max_backlog=1)


def scrape(service: WebService) -> str:
    """Read ``/metrics``."""
    response = service.caller.get("/metrics")
    assert 200 == response.status_code
    assert response.content_type.startswith("text/plain; version=")
    return response.text


def counted(service: WebService) -> dict[str, float]:
    """The results that were counted, and how often."""
    results = labels(scrape(service), "relay_events_total")
    assert results.keys() == RESULTS
    return {result: count for result, count in results.items() if count}


def test_every_result_is_there_before_the_first_event(fresh: WebService) -> None:
    """An alert on a rate sees the first one; a series that begins with 1 shows no increase."""
    assert {} == counted(fresh)


def test_every_route_is_there_before_the_first_request(fresh: WebService) -> None:
    """And whatever has no route is one more."""
    routes = {rule.rule for rule in fresh.caller.application.url_map.iter_rules()}

    assert routes | {"none"} == labels(scrape(fresh), "relay_request_seconds_count").keys()


def test_each_post_is_counted_by_what_became_of_it(fresh: WebService) -> None:
    """Once, and under one name."""
    fresh.post()
    fresh.post()
    fresh.post({**EVENT, "user_id": "other"})
    fresh.post({**EVENT, "event_id": "one too many"})
    fresh.post({**EVENT, "event_id": "one-too-many"})
    fresh.post(b"{broken")
    fresh.post(Content_Type="text/plain")
    fresh.post(Authorization="Bearer wrong")
    fresh.post(Authorization=f"Bearer {READ_TOKEN}")

    assert {
        "accepted": 1,
        "duplicate": 1,
        "reused": 1,
        "invalid": 3,
        "full": 1,
        "unauthorized": 2,
    } == counted(fresh)


def test_only_posts_are_counted_as_events(fresh: WebService) -> None:
    """Look-ups, other methods, other addresses."""
    fresh.get("/v1/events/refund-7731")
    fresh.caller.get("/v1/events")
    fresh.caller.post("/v1/nowhere")
    fresh.caller.get("/livez")

    assert {} == counted(fresh)


def test_requests_are_timed_by_their_route(fresh: WebService) -> None:
    """The rule and never the address, which holds ids, or is whatever a stranger writes."""
    fresh.post({**EVENT, "event_id": "secret-event"})
    fresh.get("/v1/events/secret-event")
    fresh.get("/v1/users/secret-user/chats")
    fresh.get("/v1/chats/secret-chat")
    fresh.get("/secret-path")

    text = scrape(fresh)

    timed = labels(text, "relay_request_seconds_count")
    assert {
        "/v1/events": 1,
        "/v1/events/<event_id>": 1,
        "/v1/users/<user_id>/chats": 1,
        "/v1/chats/<chat_id>": 1,
        "none": 1,
    } == {route: count for route, count in timed.items() if count}
    assert not re.search("secret", text)


def test_stats_are_read_at_each_scrape(service: WebService) -> None:
    """Backlog, held, failed, the breaker, and how long the first in line has waited."""
    bench = service.bench
    bench.open_gate()
    outcomes: dict[str, Outcome] = {
        "held": UNKNOWN,
        "failed-1": REFUSED,
        "failed-2": REFUSED,
        "opened": CREATED,
    }
    for event_id, outcome in outcomes.items():
        bench.accept(event_id)
        bench.worker().settle(bench.grant(), outcome)
    bench.accept("called")
    bench.grant()
    bench.accept("waiting")
    bench.set_fields("waiting", accepted_ms=bench.now_ms() - 60_000)
    bench.set_gate(state="half_open")

    metrics_now = samples(scrape(service))

    assert {
        "relay_backlog_events": 2,
        "relay_held_events": 1,
        "relay_failed_events": 2,
        "relay_breaker_open": 1,
    } == {name: metrics_now[name] for name in metrics_now if name.endswith(("_events", "_open"))}
    assert 60 <= metrics_now["relay_oldest_waiting_seconds"] < 70


def test_pauses_and_probes_are_read_at_each_scrape(service: WebService) -> None:
    """Workers, a probe that fails, and an operator's pause."""
    names = ("relay_workers", "relay_probe_failing", "relay_paused")
    idle = samples(scrape(service))
    worker = service.bench.worker()
    worker.take("probe")
    worker.report_probe("probe", problem="answered 503")
    service.bench.operations().pause(by="anna")
    held_back = samples(scrape(service))
    service.bench.operations().resume(by="anna")

    assert [0, 0, 0] == [idle[name] for name in names]
    assert [1, 1, 1] == [held_back[name] for name in names]
    assert 0 == samples(scrape(service))["relay_paused"]


def test_the_release_is_a_label(service: WebService) -> None:
    """As Prometheus' users count releases."""
    assert {VERSION: 1} == labels(scrape(service), "relay_build_info")


def test_an_idle_relay_is_all_zeros(service: WebService) -> None:
    """Present and zero is not the same as absent."""
    metrics_now = samples(scrape(service))

    assert {0} == {
        metrics_now[f"relay_{name}"]
        for name in (
            "backlog_events",
            "held_events",
            "failed_events",
            "breaker_open",
            "oldest_waiting_seconds",
        )
    }


def test_without_redis_there_is_all_that_needs_none(cut_off: WebService) -> None:
    """200, without what would have been read from it: no old value passes for a new one."""
    cut_off.post()

    text = scrape(cut_off)

    assert counted(cut_off)["unavailable"] >= 1
    assert not re.search("relay_(backlog|oldest|held|failed|breaker)", text)
