"""Live is who serves; ready is who could accept an event now."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.service import EVENT, VERSION, WebService, problem, serve, slug
from tools.stack.redis_client import Client, connect_to
from tools.stack.valkey import Valkey

EVICTING = "redis: maxmemory-policy is allkeys-lru"
NOT_LASTING = "redis: neither AOF nor RDB persistence is on"
FULL = "OOM command not allowed when used memory > 'maxmemory'"


@pytest.fixture
def evicting(client: Client) -> Iterator[Client]:
    """A Redis that drops what it likes when its memory is full."""
    client.config_set("maxmemory-policy", "allkeys-lru")
    yield client
    client.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def forgetful(client: Client) -> Iterator[Client]:
    """A Redis that keeps nothing on disk."""
    client.config_set("appendonly", "no")
    yield client
    client.config_set("appendonly", "yes")


def test_live_needs_nothing(cut_off: WebService) -> None:
    """Restarting us does not bring Redis back."""
    response = cut_off.caller.get("/livez")

    assert (200, {"status": "ok", "version": VERSION}) == (
        response.status_code,
        response.get_json(),
    )
    assert response.headers["Cache-Control"] == "no-store"


def test_ready_with_a_safe_redis(service: WebService) -> None:
    """And nothing to warn about."""
    response = service.caller.get("/readyz")

    assert (200, {"status": "ok", "warnings": []}) == (response.status_code, response.get_json())
    assert response.headers["Cache-Control"] == "no-store"


def test_not_ready_without_redis(cut_off: WebService) -> None:
    """The failing check is named, and nothing of our network."""
    content = problem(cut_off.caller.get("/readyz"))

    assert content["type"] == "/problems/not-ready"
    assert content["errors"] == [{"check": "redis: does not answer"}]
    assert content["detail"] == "redis: does not answer"


def test_not_ready_with_a_redis_that_drops_events(evicting: Client) -> None:
    """The load balancer sends elsewhere, and the operator reads why."""
    content = problem(serve(evicting).caller.get("/readyz"))

    assert content["type"] == "/problems/not-ready"
    (error,) = content["errors"]
    assert error["check"].startswith(EVICTING)


@pytest.fixture
def full(client: Client) -> Iterator[Client]:
    """A Redis that has no memory left."""
    client.config_set("maxmemory", 1)
    yield client
    client.config_set("maxmemory", 0)


@pytest.mark.parametrize("allow_unsafe", [False, True])
def test_not_ready_with_a_redis_that_refuses_writes(full: Client, allow_unsafe: bool) -> None:  # noqa: FBT001 - a parameter
    """No event can be accepted, whatever the operator allows; the check has Redis' words."""
    service = serve(full, allow_unsafe=allow_unsafe)

    content = problem(service.caller.get("/readyz"))

    (error,) = content["errors"]
    assert FULL in error["check"]
    assert content["detail"] == error["check"]
    assert slug(service.post()) == "unavailable"


def test_the_override_makes_it_a_warning(evicting: Client) -> None:
    """``REDIS_ALLOW_UNSAFE`` is logged as a warning."""
    response = serve(evicting, allow_unsafe=True).caller.get("/readyz")

    (warning,) = response.get_json()["warnings"]
    assert response.status_code == 200
    assert warning.startswith(EVICTING)


def test_a_redis_that_keeps_nothing_is_warned_about(forgetful: Client) -> None:
    """It works until it restarts."""
    response = serve(forgetful).caller.get("/readyz")

    (warning,) = response.get_json()["warnings"]
    assert response.status_code == 200
    assert warning.startswith(NOT_LASTING)


def test_a_redis_that_comes_back_is_used_again(tmp_path: Path) -> None:
    """Stopped: 503 for all that needs it. Started: as before, with what was accepted."""
    with Valkey(tmp_path) as server, connect_to(server.url) as client:
        service = serve(client)
        first = service.post().get_json()

        server.stop()
        stopped = [slug(service.caller.get("/readyz")), slug(service.post())]
        stopped.append(slug(service.get("/v1/events/refund-7731")))
        server.start()

        assert stopped == ["not-ready", "unavailable", "unavailable"]
        assert service.caller.get("/readyz").status_code == 200
        assert first == service.get("/v1/events/refund-7731").get_json()
        assert service.post(EVENT).headers["Idempotent-Replayed"] == "true"
