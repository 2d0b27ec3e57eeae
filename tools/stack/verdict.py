"""Verdict on a deployment after a test."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.stack.deployment import SECRETS, Deployment, Json
from tools.stack.oracle import Run, faults_of, has_ended, leaks_in
from tools.stack.processes import wait_until
from tools.stack.relay import Process

SETTLE_TIMEOUT_SECONDS = 40
# Log events of unexpected exceptions, which end no process.
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
    """Apply the oracle to all events since ``clear``, once each is complete or held."""
    records = {event_id: _wait_for_end(deployment, event_id) for event_id in deployment.accepted}
    assert [] == faults_of(run_of(deployment, records))


def run_of(deployment: Deployment, records: Mapping[str, Json | None]) -> Run:
    """Collect the facts for the oracle."""
    return Run(
        creates=deployment.creates,
        messages=deployment.messages,
        opens=deployment.opens,
        records=records,
        seen=[record for caller in deployment.callers for record in caller.seen],
        received=_received_ids(deployment) - deployment.only_logged,
        spooled=spooled_ids(deployment),
    )


def find_leaks(deployment: Deployment) -> list[str]:
    """Find secrets and personal data in logs, spool files and Redis."""
    return [
        f"{path.name}: {leak}"
        for path in _written_files(deployment.directory)
        for leak in leaks_in(path.read_text(errors="replace"), SECRETS)
    ]


def find_breaks(process: Process) -> list[str]:
    """Return the events of ``BREAKS`` that a process has logged."""
    return [event for event in BREAKS if process.lines(event)]


def spooled_ids(deployment: Deployment) -> list[str]:
    """Return the chat ids in spool files."""
    text = "".join(path.read_text() for path in deployment.spool.glob("*.jsonl"))
    return [create.chat_id for create in deployment.creates if create.chat_id in text]


def _wait_for_end(deployment: Deployment, event_id: str) -> Json | None:
    def is_over() -> bool:
        record = deployment.caller.find(event_id)
        return record is None or has_ended(record)

    wait_until(is_over, SETTLE_TIMEOUT_SECONDS, f"{event_id} to be complete or held")
    return deployment.caller.find(event_id)


def _received_ids(deployment: Deployment) -> set[str]:
    calls = [line for worker in deployment.workers for line in worker.lines("call")]
    created = {line.get("chat_id") for line in calls}
    return {create.chat_id for create in deployment.creates if create.chat_id in created}


def _written_files(directory: Path) -> Iterator[Path]:
    """Return logs, spool files and Redis's append-only file."""
    return (path for path in directory.rglob("*") if path.is_file())
