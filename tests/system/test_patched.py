"""Tests of the entry points: each patches before it imports anything else."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gevent import monkey

from tools.stack.deployment import READ_TOKEN, SUBMIT_TOKEN, Deployment
from tools.stack.processes import free_port, start_child, stop_child
from tools.stack.relay import PYTHON, ROOT, Process, RelayClient

# gevent's MonkeyPatchWarning is one; `-W` passes over a class that it cannot import.
STRICT = [PYTHON, "-W", "error::RuntimeWarning", "-m", "tests.system.patched"]
STOP_SECONDS = 20


@dataclass(frozen=True)
class EntryPointRun:
    """An entry point that has ended: its first process, and what all of them reported."""

    pid: int
    code: int
    log: str
    reports: list[dict[str, Any]]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Environment of the entry points."""
    with Deployment(tmp_path_factory.mktemp("patched")) as relay:
        yield relay


def start(relay: Deployment, name: str, *arguments: str, **settings: str) -> Process:
    """Start a module as ``python -m`` does, with warnings as errors."""
    log = relay.directory / f"{name}.log"
    with log.open("wb") as output:
        child = start_child(
            [*STRICT, str(reports_of(relay, name)), *arguments],
            env={**relay.environ, **settings, "PATH": os.environ["PATH"]},
            cwd=ROOT,
            output=output,
        )
    return Process(child, log)


def reports_of(relay: Deployment, name: str) -> Path:
    """Path to which the processes of an entry point report."""
    return relay.directory / f"{name}.reports"


def end(relay: Deployment, name: str, process: Process, code: int) -> EntryPointRun:
    """Gather what is known of an entry point that has ended."""
    reports = reports_of(relay, name)
    lines = reports.read_text().splitlines() if reports.exists() else []
    return EntryPointRun(
        process.pid, code, process.log.read_text(), [json.loads(line) for line in lines]
    )


@pytest.fixture(scope="module")
def web(relay: Deployment) -> EntryPointRun:
    """Gunicorn and a process that it forked, which has served."""
    port = free_port()
    arguments = ["gunicorn", "--config", "config/gunicorn.py", "--bind", f"127.0.0.1:{port}"]
    process = start(relay, "web", *arguments, "app.wsgi:application")
    caller = RelayClient(f"http://127.0.0.1:{port}", SUBMIT_TOKEN, READ_TOKEN)
    try:
        caller.wait_until_ready()
        assert 202 == caller.post({"event_id": "e1", "user_id": "u1"}).status_code
    finally:
        code = stop_child(process.child, STOP_SECONDS)
    return end(relay, "web", process, code)


@pytest.fixture(scope="module")
def worker(relay: Deployment) -> EntryPointRun:
    """A worker that has begun to work."""
    process = start(relay, "worker", "app.worker")
    try:
        process.wait_for_line("worker_started")
    finally:
        code = stop_child(process.child, STOP_SECONDS)
    return end(relay, "worker", process, code)


@pytest.fixture(scope="module")
def operator(relay: Deployment) -> EntryPointRun:
    """An operator's command that has read Redis."""
    process = start(relay, "operate", "app.operate", "status")
    return end(relay, "operate", process, process.child.wait(STOP_SECONDS))


def test_web_is_patched_in_every_process(web: EntryPointRun) -> None:
    """Gunicorn's own, before anything is imported, and so the one that it forks."""
    assert (0, False) == (web.code, "Warning" in web.log)
    assert 2 == len(web.reports)
    assert [True, True] == [report["is_patched"] for report in web.reports]


def test_the_gunicorn_master_starts_no_greenlet(web: EntryPointRun) -> None:
    """It would run on in every process that is forked."""
    (master,) = [report for report in web.reports if report["pid"] == web.pid]

    assert [] == master["greenlets"]


def test_the_worker_is_patched(worker: EntryPointRun) -> None:
    """Before it reads its settings."""
    assert (0, False) == (worker.code, "Warning" in worker.log)
    assert [True] == [report["is_patched"] for report in worker.reports]


def test_the_operators_command_is_patched(operator: EntryPointRun) -> None:
    """No deadline holds without it."""
    assert (0, False) == (operator.code, "Warning" in operator.log)
    assert [True] == [report["is_patched"] for report in operator.reports]


def test_the_tests_are_not_patched() -> None:
    """They measure the relay from outside, with the system's own sockets and threads."""
    assert not monkey.is_module_patched("socket")
