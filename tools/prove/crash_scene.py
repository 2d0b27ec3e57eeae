"""One crash in a relay of its own: strike, recovery, check."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import requests

from app.chats.grant import new_token
from app.chats.record import as_json
from app.operate.log_lines import UnreadableLine, read_created_lines
from app.store.keys import Keys
from app.store.operations import Operations
from app.store.scripts import Scripts
from tools.model.store_driver import StoreDriver
from tools.prove.account import find_process_faults
from tools.prove.crash_points import HOLDS, DurableStep, Edge, Hold, dump_holds
from tools.prove.crash_table import NOT_SENT, REDIS_GONE, Crash, Kind, Way
from tools.stack.deployment import READ_TOKEN, SUBMIT_TOKEN, Deployment
from tools.stack.oracle import ENDS, Json, Run, faults_of
from tools.stack.processes import free_port, start_child, wait_until
from tools.stack.redis_client import Client
from tools.stack.relay import ROOT, Process, RelayClient
from tools.stack.verdict import run_of

TIMEOUT_SECONDS = 60
WORKER = ("tools.prove.held_worker",)
WEB = ("gunicorn", "--config", "config/gunicorn.py", "tools.prove.held_web:application", "--bind")
# A process logs one of these once it has got SIGTERM.
STOP_LINES = ("worker_stopping", "Handling signal: term")


@dataclass(frozen=True)
class CrashResult:
    """Result of one crash; ``faults`` are sentences, none when it is good."""

    run: Run
    faults: list[str]
    recovery_seconds: float


class CrashScene:
    """A crash, and the relay that it strikes."""

    def __init__(self, crash: Crash, relay: Deployment, client: Client) -> None:
        """Nothing has happened yet."""
        self._crash = crash
        self._relay = relay
        self._bench = StoreDriver(client, Keys("relay"))
        self._operations = Operations(
            Scripts(client.relay, self._bench.keys), record_ttl_seconds=3600
        )
        self._kinds = {kind.name: kind for kind in crash.kinds}
        self._mark = relay.directory / "mark"
        self._redis_gone = relay.directory / "redis-gone"
        self._is_struck = Event()
        self._faults: list[str] = []
        self._seen: list[Json] = []

    def play(self) -> CrashResult:
        """Strike, recover, and check every record."""
        self._prepare()
        struck = (
            self._strike_web()
            if self._crash.step is DurableStep.ACCEPTED
            else self._strike_worker()
        )
        began = time.monotonic()
        self._put_right(struck)
        seconds = time.monotonic() - began
        self._compare(self._crash.end_of)
        self._read_logs()
        self._compare(self._crash.end_with_log)
        return self._finding(seconds)

    def _prepare(self) -> None:
        """Queue every event, and report a good probe, so that the first calls are the events'."""
        worker, token = self._bench.worker(way=self._relay.way), new_token()
        worker.take(token)
        worker.report_probe(token, problem=None)
        for name, kind in self._kinds.items():
            if kind.behaviour is not None:
                self._relay.channel_io.plan(
                    kind.behaviour, user_id=f"u-{name}", withheld=self._crash.withheld
                )
            if self._crash.step is not DurableStep.ACCEPTED:
                self._bench.accept(name, user_id=f"u-{name}")
        if NOT_SENT in self._crash.kinds:
            self._relay.channel_io.stop()

    def _strike_worker(self) -> Process:
        """Start a worker, strike while it makes all calls at once, and return it."""
        concurrency = str(len(self._kinds))
        worker = self._start("worker", *WORKER, WORKER_CONCURRENCY=concurrency)
        is_spooled = self._crash.step is DurableStep.SPOOLED
        if is_spooled:
            self._wait_for(self._redis_gone)
            self._take_redis_away()
            self._redis_gone.unlink()
        self._wait_until_held()
        self._strike(worker)
        self._let_go()
        if self._crash.way in REDIS_GONE and not is_spooled:
            worker.wait_for_line("redis_unavailable")
        self._leave(worker)
        return worker

    def _strike_web(self) -> Process:
        """Start a web, strike while all events are posted at once, and return it.

        Afterwards the events are posted again, as every caller must do.
        """
        port = free_port()
        web = self._start("web", *WEB, f"127.0.0.1:{port}")
        caller = RelayClient(f"http://127.0.0.1:{port}", SUBMIT_TOKEN, READ_TOKEN)
        caller.wait_until_ready()
        with ThreadPoolExecutor(len(self._kinds)) as pool:
            posts = [pool.submit(self._post_until_struck, caller, name) for name in self._kinds]
            self._wait_until_held()
            self._strike(web)
            self._let_go()
        if self._crash.way is Way.STOP and not all(post.result() for post in posts):
            self._faults.append("a request that was under way at SIGTERM got no answer")
        self._leave(web)
        self._post_again()
        self._seen += caller.seen
        return web

    def _post_until_struck(self, caller: RelayClient, name: str) -> bool:
        """Post an event until it is confirmed or the strike has come; return which.

        Every event must reach the step, so a post that a slow machine refuses is sent again.
        """
        until = time.monotonic() + TIMEOUT_SECONDS
        while not (is_confirmed := _post(caller, name)):
            if self._is_struck.is_set() or time.monotonic() > until:
                break
        return is_confirmed

    def _wait_until_held(self) -> None:
        """Return once the calls are held at the point. Raises TimeoutError."""
        if self._crash.withheld is None:
            self._wait_for(self._mark)
            return
        self._relay.channel_io.wait_for_arrivals(len(self._kinds), TIMEOUT_SECONDS)
        wait_until(self._has_read_all, TIMEOUT_SECONDS, "the worker to read what was sent")

    def _wait_for(self, mark: Path) -> None:
        wait_until(mark.exists, TIMEOUT_SECONDS, f"the calls to be held: {self._crash}")

    def _has_read_all(self) -> bool:
        """Check that the worker has read what the stand-in has sent.

        https://docs.kernel.org/networking/proc_net_tcp.html: the queues are "sent:received".
        """
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        ends = [line.split()[2:5] for line in lines]
        port = f":{self._relay.channel_io.port:04X}"
        return all(int(queues[9:], 16) == 0 for remote, _, queues in ends if remote.endswith(port))

    def _strike(self, process: Process) -> None:
        self._is_struck.set()
        if self._crash.way is Way.KILL:
            process.kill()
        elif self._crash.way is Way.STOP:
            process.child.terminate()
            wait_until(lambda: any(map(process.lines, STOP_LINES)), TIMEOUT_SECONDS, "the stop")
        elif self._crash.step is DurableStep.SPOOLED:
            self._bring_redis_back()  # while the answers are written
        else:
            self._take_redis_away()

    def _let_go(self) -> None:
        self._mark.unlink(missing_ok=True)
        self._relay.channel_io.release()

    def _post_again(self) -> None:
        caller = self._relay.start_web()
        caller.wait_until_ready()
        self._faults += [
            f"{name} was not accepted again" for name in self._kinds if not _post(caller, name)
        ]

    def _leave(self, struck: Process) -> None:
        """End the trouble: check the exit code of a struck process, and bring Redis back."""
        code = {Way.KILL: -9, Way.STOP: 0}.get(self._crash.way)
        if code is not None and struck.child.wait(TIMEOUT_SECONDS) != code:
            self._faults.append(f"the exit code was {struck.child.returncode}, not {code}")
        self._bring_redis_back()

    def _take_redis_away(self) -> None:
        if self._crash.redis_way is Way.FREEZE_REDIS:
            self._relay.valkey.pause()
        else:
            self._relay.valkey.kill()

    def _bring_redis_back(self) -> None:
        """Start or resume Redis, where it is away."""
        if self._crash.redis_way is Way.FREEZE_REDIS:
            self._relay.valkey.resume()
        elif not self._relay.valkey.is_running:
            self._relay.valkey.start()

    def _put_right(self, struck: Process) -> None:
        """Start what is missing, expire the leases of a killed worker, and wait for all events."""
        if self._crash.way is Way.KILL:
            self._relay.expire_leases()
        if self._crash.step is DurableStep.ACCEPTED or struck.child.poll() is not None:
            self._relay.start_worker()
        if NOT_SENT in self._crash.kinds:
            if not self._crash.is_lost:
                wait_until(self._was_not_sent, TIMEOUT_SECONDS, "a call that was not sent")
            self._relay.channel_io.start()
        wait_until(self._is_over, TIMEOUT_SECONDS, f"all to be settled or held: {self._crash}")

    def _was_not_sent(self) -> bool:
        return any(worker.lines("call", outcome="not_sent") for worker in self._relay.workers)

    def _is_over(self) -> bool:
        records = self._records()
        self._seen += records.values()
        return all(record["status"] in ENDS for record in records.values())

    def _records(self) -> dict[str, Json]:
        return {name: as_json(self._bench.record(name)) for name in self._kinds}

    def _compare(self, end_of: Callable[[Kind], str]) -> None:
        for name, record in self._records().items():
            if record["status"] != (end := end_of(self._kinds[name])):
                self._faults.append(f"{name} is {record['status']}, and should be {end}")

    def _read_logs(self) -> None:
        """Recover the chats of all logs, like ``recover --from-log --trust-log``."""
        for worker in self._relay.workers:
            with worker.log.open("rb") as log:
                for line in read_created_lines(log):
                    if not isinstance(line, UnreadableLine):
                        self._operations.recover(line, is_trusted=True)

    def _finding(self, recovery_seconds: float) -> CrashResult:
        records: dict[str, Json | None] = {**self._records()}
        run = run_of(self._relay, records)
        run = replace(run, seen=[*run.seen, *self._seen])
        if self._crash.is_unsent and run.creates:
            self._faults.append("a call was made")
        faults = [*self._faults, *faults_of(run), *find_process_faults(self._relay)]
        return CrashResult(run, [f"{self._crash}: {fault}" for fault in faults], recovery_seconds)

    def _start(self, name: str, *module: str, **settings: str) -> Process:
        log = self._relay.directory / f"{name}-struck.log"
        holds = {HOLDS: dump_holds(list(self._holds()))}
        with log.open("ab") as output:
            child = start_child(
                [sys.executable, "-m", *module],
                env={**self._relay.environ, **settings, **holds},
                cwd=ROOT,
                output=output,
            )
        self._relay.processes.append(Process(child, log))
        return self._relay.processes[-1]

    def _holds(self) -> Iterator[Hold]:
        """Yield the holds of the process; for a spooled result Redis goes before the settle."""
        crash, calls = self._crash, len(self._kinds)
        if crash.step is DurableStep.SPOOLED:
            yield Hold(Edge.BEFORE, DurableStep.SETTLED, calls, self._redis_gone)
        if crash.withheld is None:
            # A single take precedes all events.
            is_take = (crash.edge, crash.step) == (Edge.BEFORE, DurableStep.GRANTED)
            yield Hold(crash.edge, crash.step, 1 if is_take else calls, self._mark)


def _post(caller: RelayClient, name: str) -> bool:
    """Post an event, and return whether it was confirmed."""
    try:
        return caller.post({"event_id": name, "user_id": f"u-{name}"}).ok
    except (requests.ConnectionError, requests.Timeout):
        return False
