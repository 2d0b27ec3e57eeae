"""Tests of start-up: a process that cannot work logs each reason, and ends."""

import json
import signal
from collections.abc import Iterator

import pytest

from config.settings import HEADER_SENTENCE
from config.version import VERSION
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import SUBMIT_TOKEN, Deployment
from tools.stack.processes import free_port, wait_until
from tools.stack.relay import operate

URL = {"REDIS_URL": "redis+sentinel://:password@a:1,b:2"}
URL_PROBLEM = (
    "REDIS_URL: must name the service, as in redis+sentinel://host:26379,host:26379/service/0"
)
WRONG = {
    "web": (
        {"SUBMIT_TOKENS": SUBMIT_TOKEN, "MAX_BACKLOG": "many", **URL},
        [
            "MAX_BACKLOG: is 'many', and must be a whole number from 1 to 100000000",
            URL_PROBLEM,
            "SUBMIT_TOKENS: entry 1 must be name:token",
        ],
    ),
    "worker": (
        {"CHANNEL_ACCESS_KEY": "", "ON_UNKNOWN": "guess", "SSL_CERT_FILE": "/nowhere", **URL},
        [
            "CHANNEL_ACCESS_KEY: is not set, and must be " + HEADER_SENTENCE,
            "ON_UNKNOWN: is 'guess', and must be hold or recreate",
            URL_PROBLEM,
            "SSL_CERT_FILE: cannot read '/nowhere' (No such file or directory)",
        ],
    ),
}


@pytest.fixture
def evicting(relay: Deployment) -> Iterator[Deployment]:
    """A relay whose Redis may drop what was accepted."""
    with relay.connect() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        yield relay
        client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize("name", ["web", "worker"])
def test_wrong_settings_end_it(relay: Deployment, name: str) -> None:
    """Exit code 2, all problems on a line each, no traceback, no secret."""
    settings, problems = WRONG[name]

    process = relay.start(name, **settings)

    assert 2 == process.child.wait(30)
    assert problems == sorted(process.log.read_text().splitlines())


def test_start_names_release_redis_and_variables_without_effect(relay: Deployment) -> None:
    """One line has the settings, with the host and database of Redis; each variable a warning."""
    url = relay.valkey.url.replace("://", "://:geheim@")
    given = {"REDIS_URL": url, "WEB_THREADS": "many", "MAX_BACKLOGS": "geheim"}
    caller = relay.start_web(**given)
    worker = relay.start_worker(**given, METRICS_PORT="tcp://10.0.0.1:9100")

    worker.wait_for_line("setting_ignored", name="MAX_BACKLOGS")
    relay.processes[-2].wait_for_line("setting_ignored", name="MAX_BACKLOGS")

    for process, names in (
        (relay.processes[-2], {"WEB_THREADS", "MAX_BACKLOGS"}),
        (worker, {"WEB_THREADS", "MAX_BACKLOGS", "METRICS_PORT"}),
    ):
        (settings,) = process.lines("settings")
        assert (VERSION, relay.valkey.url) == (settings["version"], settings["REDIS_URL"])
        assert names == {line["name"] for line in process.lines("setting_ignored", level="warning")}
        assert "geheim" not in process.log.read_text()
        process.kill()
    relay.callers.remove(caller)


# A locale of one byte a character, and a terminal that knows Korean and no accents.
LEGACY = {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "euc-kr",
}


def test_any_locale_will_do(relay: Deployment) -> None:
    """Files of ours are UTF-8, and so is the log; what a terminal cannot show stays readable."""
    relay.channel_io.plan(Behaviour.USER_NOT_FOUND, user_id="u-locale")
    caller = relay.start_web(**LEGACY)
    worker = relay.start_worker(**LEGACY, SPOOL_DIR=str(relay.directory / "수신함"))
    caller.wait_until_ready()
    event = {"event_id": "locale", "user_id": "u-locale", "metadata": {"é": "채널"}}
    assert 202 == caller.post(event).status_code
    caller.wait_for("locale", "failed")

    environ = {**relay.environ, **LEGACY, "PROMETHEUS_MULTIPROC_DIR": "/nonexistent"}
    listed = operate(environ, "list", "--status", "failed", "--json")
    settings = operate(environ, "settings")
    explained = operate(environ, "explain", "locale")

    assert {"é": "채널"} == json.loads(listed.stdout)[0]["metadata"]
    assert (0, 0) == (settings.returncode, explained.returncode)
    assert ["", "", ""] == [done.stderr for done in (listed, settings, explained)]
    assert 200 == caller.get("/docs").status_code
    worker.kill()
    relay.callers.remove(caller)


@pytest.mark.parametrize("name", ["web", "worker"])
def test_an_evicting_redis_ends_it(evicting: Deployment, name: str) -> None:
    """It must not run where accepted events can vanish; gunicorn does not try again and again."""
    process = evicting.start(name)

    assert 3 == process.child.wait(30)
    (line,) = process.lines("redis_unsafe")
    assert "maxmemory-policy is allkeys-lru" in line["fault"]
    assert "Traceback" not in process.log.read_text()


def test_an_evicting_redis_can_be_allowed(evicting: Deployment) -> None:
    """Loudly: in both logs, and at ``/readyz``."""
    worker = evicting.start_worker(REDIS_ALLOW_UNSAFE="1")
    caller = evicting.start_web(REDIS_ALLOW_UNSAFE="1")

    caller.wait_until_ready()

    (warning,) = caller.get("/readyz").json()["warnings"]
    assert "maxmemory-policy is allkeys-lru" in warning
    assert worker.wait_for_line("worker_started")
    for process in evicting.processes[-2:]:
        assert process.lines("redis_unsafe", level="error", allowed=True)
    worker.kill()
    evicting.callers.remove(caller)


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_stop_while_it_starts(relay: Deployment, name: str) -> None:
    """The signal is handled as soon as possible, also as first process of a container."""
    relay.valkey.pause()  # each start reads its configuration
    process = relay.start(name)
    process.wait_for_line("settings")

    process.child.send_signal(signal.SIGTERM)
    relay.valkey.resume()

    assert 0 == process.child.wait(30)


def test_without_redis_both_start_and_wait_for_it(relay: Deployment) -> None:
    """Redis may start last: until then ``/readyz`` is 503, and the worker waits."""
    closed_url = f"redis://127.0.0.1:{free_port()}/0"
    worker = relay.start_worker(REDIS_URL=closed_url)
    caller = relay.start_web(REDIS_URL=closed_url)

    wait_until(lambda: caller.answers("/livez"), 30, "/livez")

    assert 503 == caller.get("/readyz").status_code
    worker.wait_for_line("worker_started")
    assert worker.child.poll() is None
    worker.kill()
    relay.callers.remove(caller)
