"""Tests of generated requests: the service behaves as its OpenAPI document states.

https://schemathesis.readthedocs.io
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from app.chats.grant import Grant, Task
from app.chats.outcome import Done, Outcome, Resolved
from app.store.keys import Keys
from tests.web.service import READ_TOKEN, SUBMIT_TOKEN, WEBHOOK_SECRET
from tools.model.outcomes import REFUSED, UNKNOWN, created
from tools.model.store_driver import StoreDriver
from tools.stack.processes import free_port, stop_child
from tools.stack.redis_client import connect_to
from tools.stack.relay import ROOT, RelayClient, start_process

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
PHASES = ["examples", "coverage", "fuzzing", "stateful"]
SEED = 7731
EXAMPLES = 4

CONFIGURATION = f"""
cache.enabled = false
hooks = "tests.web.schemathesis_hooks"
auth.openapi.submitToken.bearer = "{SUBMIT_TOKEN}"
auth.openapi.readToken.bearer = "{READ_TOKEN}"

[generation]
database = "none"  # the seed says it all
max-examples = {EXAMPLES}

[phases.coverage]
unexpected-methods = ["TRACE"]  # tests of our own try them all
"""


@contextmanager
def running_web(redis_url: str, log: Path) -> Iterator[str]:
    """The web process as the Procfile has it; where it is."""
    port = free_port()
    environ = {
        "REDIS_URL": redis_url,
        "SUBMIT_TOKENS": f"orders:{SUBMIT_TOKEN}",
        "READ_TOKENS": f"crm:{READ_TOKEN}",
        "WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "WEB_CONCURRENCY": "1",
    }
    web = start_process("web", environ, log, "--bind", f"127.0.0.1:{port}")
    try:
        RelayClient(f"http://127.0.0.1:{port}", SUBMIT_TOKEN, READ_TOKEN).wait_until_ready()
        yield f"http://127.0.0.1:{port}"
    finally:
        stop_child(web.child)


@contextmanager
def settling(redis_url: str) -> Iterator[None]:
    """Meanwhile each event is settled or held soon after it is accepted."""
    stopping = Event()
    with connect_to(redis_url) as client:
        thread = Thread(target=_settle_all, args=(StoreDriver(client, Keys("relay")), stopping))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()


def _settle_all(bench: StoreDriver, stopping: Event) -> None:
    bench.open_gate()
    worker, settled = bench.worker(), 0
    while not stopping.wait(0.02):
        grant = bench.take(worker)
        if isinstance(grant, Grant):
            settled += 1
            worker.settle(grant, _outcome(grant.task, settled))


def _outcome(task: Task, number: int) -> Outcome:
    """Return one outcome after the other, of those that the task can have."""
    if task is Task.RESOLVE:
        return Resolved(f"user-{number}")
    if task is Task.CREATE:
        chat = created(f"chat-{number}")
        return (chat, REFUSED, chat, UNKNOWN)[number % 4]
    return Done(has_acted=True)


@pytest.fixture
def url(redis_url: str, tmp_path: Path) -> Iterator[str]:
    """A relay that is asked over HTTP, and has nothing to complain of in the end."""
    log = tmp_path / "web.log"
    with settling(redis_url), running_web(redis_url, log) as address:
        yield address
    levels = {json.loads(line)["level"] for line in log.read_text().splitlines()}
    # A warning is gunicorn's, of a request that is no HTTP.
    assert levels <= {"info", "warning"}


def test_nothing_is_found(url: str, tmp_path: Path) -> None:
    """By all checks: with the examples, at every edge of a schema, at random, and by the links."""
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)

    ran = subprocess.run(
        [
            *(SCHEMATHESIS, "--config-file", configuration, "run", f"{url}/openapi.json"),
            *("--checks", "all", "--phases", ",".join(PHASES), "--seed", str(SEED)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    for phase in PHASES:
        assert re.search(rf"✅ +{phase.title()} \(in ", ran.stdout)
    assert re.search(r"[1-9]\d* generated", ran.stdout)
