"""Web, worker and operator reach one Redis by each way that ``REDIS_URL`` can name."""

import json
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from redis import Redis

from tests.channel.raw_server import CERTIFICATE
from tests.system.redis_ways import (
    PASSWORD,
    QUOTED_PASSWORD,
    QUOTED_USER,
    TRUSTING,
    WAYS,
    require_password,
)
from tools.prove.ha import HaDeployment
from tools.stack.deployment import Deployment
from tools.stack.processes import wait_until
from tools.stack.redis_proxy import RedisProxy
from tools.stack.relay import operate
from tools.stack.valkey import Valkey

EXIT_UNAVAILABLE = 3


@pytest.fixture(scope="module", params=WAYS)
def relay(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A web and a worker on a Redis that is reached in one of the ways."""
    directory = tmp_path_factory.mktemp("way")
    with WAYS[request.param](directory / "valkey") as url, HaDeployment(directory, url) as relay:
        worker, caller = relay.start_worker(), relay.start_web()
        caller.wait_until_ready()
        worker.wait_for_line("worker_started")
        yield relay


def test_an_event_is_opened_while_its_caller_waits(relay: Deployment) -> None:
    """Web accepts, the worker calls and settles, web receives the notice, and looks up."""
    posted = relay.caller.post({"event_id": "e1", "user_id": "u1"}, Prefer="wait=20")

    assert (200, "wait=20") == (posted.status_code, posted.headers["Preference-Applied"])
    (create,) = relay.creates_of("u1")
    record = posted.json()
    assert create.chat_id == record["chat"]["id"]
    assert record == relay.caller.record("e1")
    assert record == relay.caller.get(f"/v1/chats/{create.chat_id}").json()
    assert [record] == relay.caller.get("/v1/users/u1/chats").json()["chats"]


def test_metrics_read_the_backlog(relay: Deployment) -> None:
    """A scrape of web reads Redis as well."""
    assert "relay_backlog_events 0.0\n" in relay.caller.get("/metrics").text


def test_an_operator_reads_the_status(relay: Deployment) -> None:
    """With no more than the same address."""
    relay.caller.post({"event_id": "e2", "user_id": "u2"}, Prefer="wait=20")
    environ = {"REDIS_URL": relay.environ["REDIS_URL"]}

    status = operate(environ, "status", "--json")
    explained = operate(environ, "explain", "e2", "--json")

    assert (0, "") == (status.returncode, status.stderr)
    assert (0, 0) == tuple(json.loads(status.stdout)[name] for name in ("waiting", "calling"))
    assert (0, "") == (explained.returncode, explained.stderr)
    assert "opened" == json.loads(explained.stdout)["record"]["status"]


def test_a_database_holds_all_of_it(tmp_path: Path) -> None:
    """Keys are in the URL's database, and in no other one."""
    with Valkey(tmp_path / "valkey") as server:
        url = f"redis://127.0.0.1:{server.port}/7"
        with HaDeployment(tmp_path, url) as relay:
            relay.start_web().wait_until_ready()
            relay.caller.post({"event_id": "e1", "user_id": "u1"})

        with server.connect() as client, Redis.from_url(url) as seventh:
            assert (0, 1) == (client.dbsize(), seventh.exists("{relay}:event:e1"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of a Redis that lets the relay in by none of them."""
    with Valkey(tmp_path_factory.mktemp("guarded")) as server:
        require_password(server)
        with RedisProxy(server.port, certificate=CERTIFICATE) as tls:
            plain, secure = f"127.0.0.1:{server.port}/0", f"127.0.0.1:{tls.port}/0"
            login = f"{QUOTED_USER}:{QUOTED_PASSWORD}"
            yield {
                "no password": f"redis://{plain}",
                "another password": f"redis://:{QUOTED_PASSWORD}x@{plain}",
                "another user": f"redis://nobody:{QUOTED_PASSWORD}@{plain}",
                "another authority": f"rediss://{login}@{secure}?ssl_ca_certs={certifi.where()}",
                "the system's authorities": f"rediss://{login}@{secure}",
                "another host": f"rediss://{login}@localhost:{tls.port}/0?{TRUSTING}",
                "no tls": f"redis://{login}@{secure}",
            }


@pytest.mark.parametrize(
    ("address", "check"),
    [
        ("no password", "redis: NOAUTH "),
        ("another password", "redis: WRONGPASS "),
        ("another user", "redis: WRONGPASS "),
        ("another authority", "redis: TLS: CERTIFICATE_VERIFY_FAILED"),
        ("the system's authorities", "redis: TLS: CERTIFICATE_VERIFY_FAILED"),
        ("another host", "redis: TLS: CERTIFICATE_VERIFY_FAILED"),
        ("no tls", "redis: does not answer"),
    ],
)
def test_an_invalid_signature_is_refused(
    guarded: dict[str, str], tmp_path: Path, address: str, check: str
) -> None:
    """Neither side gives in: web is not ready and accepts nothing, and the operator learns why."""
    environ = {"REDIS_URL": guarded[address]}
    with HaDeployment(tmp_path, environ["REDIS_URL"]) as relay:
        caller = relay.start_web()
        status = operate(environ, "status")
        wait_until(lambda: caller.answers("/livez"), 30, "/livez")

        posted = caller.post({"event_id": "e1", "user_id": "u1"})

        ready = caller.get("/readyz")

        assert (503, 503) == (posted.status_code, ready.status_code)
        (error,) = ready.json()["errors"]
        assert error["check"].startswith(check)
        assert not {"127.0.0.1", "localhost"} & set(error["check"].replace(":", " ").split())
        assert (EXIT_UNAVAILABLE, "", 1) == (
            status.returncode,
            status.stdout,
            len(status.stderr.splitlines()),
        )
        output = status.stderr + posted.text + relay.processes[0].log.read_text()
        assert not [secret for secret in (PASSWORD, QUOTED_PASSWORD) if secret in output]
