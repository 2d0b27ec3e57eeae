"""Real processes: a wait is answered in one round trip, and metrics add up over all of them."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.scraped import OF_WEB, OF_WORKER, kinds, labels, samples
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.processes import free_port, wait_until
from tools.stack.relay import Process, RelayClient
from tools.stack.verdict import judge

Posted = Future[requests.Response]


@pytest.fixture
def relay(deployment: Deployment, no_worker_stays: None) -> Iterator[Deployment]:
    """The deployment without any event; webs of a test's own are gone after it."""
    deployment.clear()
    known = [*deployment.processes]
    yield deployment
    judge(deployment)
    del deployment.callers[1:]
    for process in deployment.processes:
        if process not in known and process not in deployment.workers:
            process.kill()


@pytest.fixture
def idle(relay: Deployment) -> Deployment:
    """The same, without a worker until the test starts one."""
    relay.kill_workers()
    return relay


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers beside this one."""
    with ThreadPoolExecutor() as pool:
        yield pool


def post(caller: RelayClient, event_id: str, seconds: int = 30) -> requests.Response:
    """Post an event of a user of its own, and wait."""
    return caller.post({"event_id": event_id, "user_id": event_id}, Prefer=f"wait={seconds}")


def scrape(address: str) -> str:
    """Read ``/metrics`` of that port."""
    response = requests.get(f"{address}/metrics", timeout=30)
    assert 200 == response.status_code
    return response.text


@pytest.mark.usefixtures("worker")
def test_one_round_trip_from_event_to_ids(relay: Deployment) -> None:
    """The answer to the post is the record with the chat that Channel.io made."""
    answer = post(relay.caller, "e1")

    assert (200, "wait=30") == (answer.status_code, answer.headers["Preference-Applied"])
    (create,) = relay.creates_of("e1")
    assert create.chat_id == answer.json()["chat"]["id"]


@pytest.mark.usefixtures("worker")
def test_a_wait_ends_when_the_event_is_held(relay: Deployment) -> None:
    """Held is an answer."""
    relay.channel_io.plan(Behaviour.CREATE_THEN_CLOSE)

    answer = post(relay.caller, "e1")

    assert (200, "unknown") == (answer.status_code, answer.json()["status"])


def accepted(relay: Deployment) -> list[str]:
    """The ids of the events that wait for their call."""
    with relay.connect() as client:
        return [str(event_id) for event_id in client.zrange("{relay}:due", 0, -1)]


@pytest.mark.usefixtures("worker")
def test_a_stopping_web_sees_its_waits_through(relay: Deployment, pool: ThreadPoolExecutor) -> None:
    """SIGTERM during a wait: its caller still gets the chat. The metrics' files are gone then."""
    caller = relay.start_web()
    web = relay.processes[-1]
    caller.wait_until_ready()
    directory = metrics_directory(web)
    assert directory.exists()
    relay.channel_io.plan(Behaviour.CREATE_THEN_WAIT)
    posted = pool.submit(post, caller, "e1")
    relay.channel_io.wait_for_arrivals()

    web.child.terminate()
    web.wait_for_line("Handling signal: term")
    relay.channel_io.release()

    assert (200, "opened") == (posted.result().status_code, posted.result().json()["status"])
    assert 0 == web.child.wait(20)
    assert not directory.exists()


def metrics_directory(web: Process) -> Path:
    """Return the directory of a web's only process."""
    (pid,) = children(web)
    maps = Path(f"/proc/{pid}/maps").read_text()
    (directory,) = {Path(found).parent for found in re.findall(r"/\S+/counter_\d+\.db", maps)}
    return directory


def test_redis_lost_during_a_wait_is_202(idle: Deployment, pool: ThreadPoolExecutor) -> None:
    """The event is accepted, and the caller gets 202."""
    with idle.connect() as client:
        client.config_set("appendfsync", "always")  # else the kill may take the event with it
    posted = pool.submit(post, idle.caller, "e1")
    wait_until(lambda: accepted(idle), 30, "the wait")
    accepted(idle)  # Redis answers again only after it has sent its earlier answers, web's as well

    killed_at = time.monotonic()
    idle.valkey.kill()
    try:
        answer = posted.result()
        seconds = time.monotonic() - killed_at
        scraped = requests.get(f"{idle.caller.url}/metrics", timeout=30)
    finally:
        idle.valkey.start()  # others use it as well

    assert (202, "wait=30") == (answer.status_code, answer.headers["Preference-Applied"])
    assert 5 > seconds
    assert 200 == scraped.status_code
    idle.start_worker()
    idle.caller.wait_for("e1", "opened")


@pytest.fixture
def several(relay: Deployment) -> Iterator[tuple[RelayClient, Process]]:
    """A web of three processes."""
    caller = relay.start_web(WEB_CONCURRENCY="3")
    web = relay.processes[-1]
    caller.wait_until_ready()
    wait_until(lambda: len(children(web)) == 3, 20, "three processes")
    yield caller, web
    web.kill()


def children(web: Process) -> list[int]:
    """The processes that serve, by what the log says and the system confirms."""
    found = Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()
    return [int(pid) for pid in found]


def counts(caller: RelayClient) -> tuple[float, float]:
    """Return how many events were accepted, and how many posts were timed."""
    text = scrape(caller.url)
    return (
        labels(text, "relay_events_total")["accepted"],
        labels(text, "relay_request_seconds_count")["/v1/events"],
    )


def test_counts_add_up_and_never_go_back(
    relay: Deployment, several: tuple[RelayClient, Process], pool: ThreadPoolExecutor
) -> None:
    """Over several processes, when one is replaced, and when the settings are read again."""
    caller, web = several
    events = [{"event_id": f"e{number}", "user_id": f"u{number}"} for number in range(40)]
    list(pool.map(caller.post, events))
    assert (40, 40) == counts(caller)

    killed = children(web)[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in children(web) and len(children(web)) == 3, 20, "another")
    assert (40, 40) == counts(caller)

    before = children(web)
    web.child.send_signal(signal.SIGHUP)
    wait_until(lambda: not {*before} & {*children(web)}, 20, "other processes")
    caller.wait_until_ready()
    list(pool.map(caller.post, events[:5]))

    assert (40, 45) == counts(caller)
    assert {"accepted": 40, "duplicate": 5} == {
        result: count
        for result, count in labels(scrape(caller.url), "relay_events_total").items()
        if count
    }


def test_metrics_are_those_of_the_contract(idle: Deployment) -> None:
    """These names and no others; what is counted with ids is nowhere."""
    port = free_port()
    idle.start_worker(METRICS_PORT=str(port), PROMETHEUS_MULTIPROC_DIR="/nonexistent")
    post(idle.caller, "secret-event")

    of_web, of_worker = scrape(idle.caller.url), scrape(f"http://127.0.0.1:{port}")

    assert (OF_WEB, OF_WORKER) == (kinds(of_web), kinds(of_worker))
    assert not re.search("secret", of_web + of_worker)
    assert {"relay_backlog_events": 0} == {
        name: value for name, value in samples(of_web).items() if "backlog" in name
    }


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_a_worker_with_metrics_finishes_its_call(
    idle: Deployment, name: str, tmp_path: Path
) -> None:
    """Repeated stop signals are handled alike: no thread has the system's default.

    Its metrics are its own: a directory for those of several processes stays empty.
    """
    port = free_port()
    worker = idle.start_worker(METRICS_PORT=str(port), **{name: str(tmp_path)})
    idle.channel_io.plan(Behaviour.CREATE_THEN_WAIT)
    idle.caller.post({"event_id": "e1", "user_id": "u1"})
    idle.channel_io.wait_for_arrivals()

    worker.child.terminate()
    worker.wait_for_line("worker_stopping")
    worker.child.terminate()
    assert 200 == requests.get(f"http://127.0.0.1:{port}/livez", timeout=30).status_code
    idle.channel_io.release()

    assert 0 == worker.child.wait(20)
    assert "opened" == idle.caller.record("e1")["status"]
    assert [] == [*tmp_path.iterdir()]


def test_a_metrics_port_in_use_ends_the_worker(relay: Deployment) -> None:
    """Exit code 2 and one line, no traceback."""
    port = relay.caller.url.rpartition(":")[2]

    worker = relay.start_worker(METRICS_PORT=port)

    assert 2 == worker.child.wait(30)
    assert worker.lines("metrics_port_unusable", port=int(port), level="error")
    assert "Traceback" not in worker.log.read_text()
