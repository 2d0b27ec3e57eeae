"""Check of a relay after a fault, as one row of the table."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tools.prove.table import ProofRow
from tools.stack.deployment import Deployment
from tools.stack.load import TEXT
from tools.stack.oracle import Json, Run, faults_of, lost_answers, lost_events, unasked
from tools.stack.processes import wait_until
from tools.stack.verdict import find_breaks, find_leaks, run_of

SETTLE_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault that was injected: its name, count, and end (monotonic seconds).

    ``forgotten`` are events whose records Redis was made to lose; none of them may have a second
    chat. Unless ``may_recreate``, no event consented to a second call. ``most_messages`` of an
    event may be made: two where the fault breaks a condition of the promise. ``consents`` counts
    an operator's to one more create of an event, ``redriven`` those to one more message.
    """

    name: str
    times: int = 1
    over_at: float | None = None
    forgotten: Collection[str] = ()
    may_recreate: bool = False
    most_messages: int = 1
    consents: Mapping[str, int] = field(default_factory=dict)
    redriven: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


def account(deployment: Deployment, doing: Fault, faults: Iterable[str] = ()) -> ProofRow:
    """Wait until everything is settled or held, and check it by the oracle.

    ``faults`` were found earlier.
    """
    wait_until_settled(deployment)
    settled_at = time.monotonic()
    run = _run_of(deployment, doing)
    row = count_events(doing.name, [run])
    return replace(
        row,
        times=doing.times,
        accepted=len(deployment.accepted),
        recovery_seconds=None if doing.over_at is None else settled_at - doing.over_at,
        faults=(
            *faults,
            *faults_of(run),
            *_doubts(deployment, run, doing),
            *_find_texts(deployment, run),
            *find_process_faults(deployment),
        ),
        note=doing.note,
    )


def count_events(name: str, runs: Sequence[Run]) -> ProofRow:
    """Build a row with the events of all ``runs``, and no faults yet."""
    statuses = Counter(record["status"] for run in runs for record in run.found)
    return ProofRow(
        name=name,
        times=1,
        accepted=sum(len(run.records) for run in runs),
        opened=statuses["opened"],
        failed=statuses["failed"],
        unknown=statuses["unknown"],
        created_twice=sum(len(list(unasked(run))) for run in runs),
        lost=sum(len([*lost_events(run), *lost_answers(run)]) for run in runs),
    )


def wait_until_settled(deployment: Deployment) -> None:
    """Return once nothing is due, called or spooled, or after a minute."""
    with suppress(TimeoutError):
        wait_until(
            lambda: not open_events(deployment) and not [*deployment.spool.glob("*.jsonl")],
            SETTLE_TIMEOUT_SECONDS,
            "everything to be settled or held",
        )


def open_events(deployment: Deployment) -> int:
    """Return how many events are accepted or calling."""
    return count(deployment, "due") + count(deployment, "calling")


def count(deployment: Deployment, queue: str) -> int:
    """Return how many events are in one of the relay's sorted sets."""
    with deployment.connect() as client:
        return int(client.relay.execute("ZCARD", f"{{relay}}:{queue}"))


def records_of(deployment: Deployment) -> dict[str, Json | None]:
    """Look up the record of every accepted event."""
    accepted = deployment.accepted
    return {event_id: deployment.caller.find(event_id) for event_id in sorted(accepted)}


def _run_of(deployment: Deployment, doing: Fault) -> Run:
    forgotten = doing.forgotten
    records = {
        event_id: record
        for event_id, record in records_of(deployment).items()
        if event_id not in forgotten
    }
    run = run_of(deployment, records)
    users = _users_of(deployment, forgotten)
    lost = {create.chat_id for create in run.creates if create.user_id in users}
    return replace(
        run,
        creates=[create for create in run.creates if create.user_id not in users],
        messages=[message for message in run.messages if message.chat_id not in lost],
        opens=[opened for opened in run.opens if opened.chat_id not in lost],
        seen=[record for record in run.seen if record["event_id"] not in forgotten],
        received={*run.received} - lost,
        consents=doing.consents,
        allowed_messages={
            event_id: doing.most_messages + doing.redriven.get(event_id, 0) for event_id in records
        },
    )


def _users_of(deployment: Deployment, event_ids: Collection[str]) -> set[str]:
    seen = (record for caller in deployment.callers for record in caller.seen)
    return {record["user_id"] for record in seen if record["event_id"] in event_ids}


def _doubts(deployment: Deployment, run: Run, doing: Fault) -> Iterator[str]:
    """Yield faults of consent and of forgotten events, which the oracle cannot find."""
    for record in run.found:
        if record["possible_orphan"] and not doing.may_recreate:
            yield f"{record['event_id']} was called again without consent"
    creates = Counter(create.user_id for create in deployment.creates)
    for user_id in _users_of(deployment, doing.forgotten):
        if creates[user_id] > 1:
            yield f"{creates[user_id]} chats of {user_id} were created"


def _find_texts(deployment: Deployment, run: Run) -> Iterator[str]:
    """Yield a sentence for each place that has a message's text, and may not."""
    files = [process.log for process in deployment.processes]
    files += deployment.spool.glob("*") if deployment.spool.is_dir() else []
    yield from (
        f"{file.name} has a text" for file in files if TEXT in file.read_text("utf-8", "replace")
    )
    yield from ("an answer has a text" for record in run.seen if TEXT in str(record))
    with deployment.connect() as client:
        for record in run.found:
            message = (record.get("tasks") or {}).get("message", {})
            key = f"{{relay}}:text:{record['event_id']}"
            if message.get("status") == "done" and client.relay.execute("EXISTS", key):
                yield f"{record['event_id']} keeps the text of a message that is sent"


def find_process_faults(deployment: Deployment) -> Iterator[str]:
    """Yield a sentence for each process that broke or ended, and for each leak."""
    for process in deployment.processes:
        yield from (f"{process.log.name} has {event}" for event in find_breaks(process))
        if process.child.poll() not in {None, 0, -9}:
            yield f"{process.log.name} ended by itself"
    yield from (f"leaked: {leak}" for leak in find_leaks(deployment))
