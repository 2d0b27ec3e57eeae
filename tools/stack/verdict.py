"""Verdict on a deployment after any test."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.stack.deployment import SECRETS, Deployment, Json
from tools.stack.oracle import ENDS, Run, faults_of, leaks_in
from tools.stack.processes import wait_until
from tools.stack.relay import Process

SETTLE_TIMEOUT_SECONDS = 40
# Log events of exceptions that no code expects; the processes go on after them.
BREAKS = (
    "call_failed",
    "greenlet_failed",
    "log_record_broken",
    "probe_broke",
    "request_failed",
    "spool_failed",
    "taker_ended",
    "taker_failed",
)


def judge(deployment: Deployment) -> None:
    """Hold all that was accepted since ``clear`` to the oracle, once it is settled or held."""
    records = {event_id: _ended(deployment, event_id) for event_id in deployment.accepted}
    assert [] == faults_of(run_of(deployment, records))


def run_of(deployment: Deployment, records: Mapping[str, Json | None]) -> Run:
    """Collect the oracle's facts of a deployment and its current ``records``."""
    return Run(
        creates=deployment.creates,
        records=records,
        seen=[record for caller in deployment.callers for record in caller.seen],
        received=_received(deployment) - deployment.only_logged,
        spooled=spooled_ids(deployment),
    )


def find_leaks(deployment: Deployment) -> list[str]:
    """Find secrets and personal data in logs, spool files and Redis."""
    return [
        f"{path.name}: {leak}"
        for path in _written(deployment.directory)
        for leak in leaks_in(path.read_text(errors="replace"), SECRETS)
    ]


def find_breaks(process: Process) -> list[str]:
    """Return the events of ``BREAKS`` that a process has logged."""
    return [event for event in BREAKS if process.lines(event)]


def spooled_ids(deployment: Deployment) -> list[str]:
    """The chat ids that wait in spool files."""
    text = "".join(path.read_text() for path in deployment.spool.glob("*.jsonl"))
    return [create.chat_id for create in deployment.creates if create.chat_id in text]


def _ended(deployment: Deployment, event_id: str) -> Json | None:
    def ended() -> bool:
        record = deployment.caller.find(event_id)
        return record is None or record["status"] in ENDS

    wait_until(ended, SETTLE_TIMEOUT_SECONDS, f"{event_id} to be settled or held")
    return deployment.caller.find(event_id)


def _received(deployment: Deployment) -> set[str]:
    calls = [line for worker in deployment.workers for line in worker.lines("call")]
    created = {line.get("chat_id") for line in calls}
    return {create.chat_id for create in deployment.creates if create.chat_id in created}


def _written(directory: Path) -> Iterator[Path]:
    """Logs and spools, and all commands of Redis, from its append-only file."""
    return (path for path in directory.rglob("*") if path.is_file())
