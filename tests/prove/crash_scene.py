"""One crash in a relay of its own: what happens, what is put right, and what is left."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import requests

from app.chats.grant import new_token
from app.chats.record import as_json
from app.chats.steps import BEFORE, Step
from app.operate.log_lines import CreatedLine, read_created_lines
from app.store.client import Client
from app.store.keys import Keys
from app.store.operations import Operations
from app.store.scripts import Scripts
from tests.prove.crash_table import NOT_SENT, REDIS_GONE, Crash, Kind
from tests.prove.ending import Orders, Strike, Way
from tests.stack.oracle import ENDS, Json, Run, faults_of
from tests.stack.processes import free_port, start_child, wait_until
from tests.stack.relay import ROOT, Caller, Process
from tests.store.bench import Bench
from tests.system.deployment import READ_TOKEN, SUBMIT_TOKEN, Deployment
from tests.system.verdict import run_of

TIMEOUT_SECONDS = 60
GUNICORN = ("gunicorn", "--config", "config/gunicorn.py", "app.wsgi:application", "--bind")


@dataclass(frozen=True)
class Finding:
    """What came of one crash; ``faults`` are sentences, and none is good."""

    run: Run
    faults: list[str]
    recovery_seconds: float


class Scene:
    """A crash, and the relay that it happens to."""

    def __init__(self, crash: Crash, relay: Deployment, client: Client) -> None:
        """Nothing has happened yet."""
        self._crash = crash
        self._relay = relay
        self._bench = Bench(client, Keys("relay"))
        self._operations = Operations(Scripts(client, self._bench.keys), record_ttl_seconds=3600)
        self._kinds = {kind.name: kind for kind in crash.kinds}
        self._mark = relay.directory / "mark"
        self._faults: list[str] = []
        self._seen: list[Json] = []

    def play(self) -> Finding:
        """Let it happen, put everything right again, and look at what is left."""
        self._prepare()
        struck = self._strike_web() if self._crash.step is Step.ACCEPTED else self._strike_worker()
        began = time.monotonic()
        self._put_right(struck)
        seconds = time.monotonic() - began
        self._compare(self._crash.end_of)
        self._read_logs()
        self._compare(self._crash.end_with_log)
        return self._finding(seconds)

    def _prepare(self) -> None:
        """Every event waits, and Channel.io was found well: the first calls are the events'."""
        worker, token = self._bench.worker(base_url=self._relay.channel_io.url), new_token()
        worker.take(token)
        worker.probed(token, problem=None)
        for name, kind in self._kinds.items():
            if kind.behaviour is not None:
                self._relay.channel_io.plan(kind.behaviour, user_id=f"u-{name}")
            if self._crash.step is not Step.ACCEPTED:
                self._bench.accept(name, user_id=f"u-{name}")
        if NOT_SENT in self._crash.kinds:
            self._relay.channel_io.stop()

    def _strike_worker(self) -> Process:
        """A worker, with a thread for each event, to which it has happened."""
        worker = self._start("worker", "app.worker", WORKER_CONCURRENCY=str(len(self._kinds)))
        self._wait_for_mark()
        if self._crash.way in REDIS_GONE and self._crash.step is not Step.SPOOLED:
            worker.wait_for_line("redis_unavailable")
        self._leave(worker)
        return worker

    def _strike_web(self) -> Process:
        """A web to which it has happened while all events were posted at once; they are repeated
        then, as every caller must.
        """
        port = free_port()
        web = self._start("web", *GUNICORN, f"127.0.0.1:{port}", WEB_THREADS="16")
        caller = Caller(f"http://127.0.0.1:{port}", SUBMIT_TOKEN, READ_TOKEN)
        caller.wait_until_ready()
        with ThreadPoolExecutor(len(self._kinds)) as pool:
            are_confirmed = list(pool.map(partial(self._post_until_struck, caller), self._kinds))
        self._wait_for_mark()
        if self._crash.way is Way.STOP and not all(are_confirmed):
            self._faults.append("a request that was under way at SIGTERM got no answer")
        self._leave(web)
        self._post_again()
        self._seen += caller.seen
        return web

    def _post_until_struck(self, caller: Caller, name: str) -> bool:
        """Whether it was confirmed. All must come to the step: what a machine that is slow for a
        moment refuses before the strike is sent again, as every caller must.
        """
        until = time.monotonic() + TIMEOUT_SECONDS
        while not (is_confirmed := _post(caller, name)):
            if self._mark.exists() or time.monotonic() > until:
                break
        return is_confirmed

    def _post_again(self) -> None:
        caller = self._relay.start_web()
        caller.wait_until_ready()
        self._faults += [
            f"{name} was not accepted again" for name in self._kinds if not _post(caller, name)
        ]

    def _leave(self, struck: Process) -> None:
        """The trouble is over: the process has ended, if it was to, and Redis is there."""
        code = {Way.KILL: -9, Way.STOP: 0}.get(self._crash.way)
        if code is not None and struck.child.wait(TIMEOUT_SECONDS) != code:
            self._faults.append(f"the exit code was {struck.child.returncode}, not {code}")
        valkey = self._relay.valkey
        if self._crash.redis_way is Way.LOSE_REDIS:
            wait_until(lambda: not valkey.is_running, TIMEOUT_SECONDS, "Valkey to end")
            valkey.start()
        elif self._crash.redis_way is Way.FREEZE_REDIS:
            valkey.resume()
        self._mark.unlink()

    def _put_right(self, struck: Process) -> None:
        """A worker is there, and Channel.io; leases of the dead are over. All events end."""
        if self._crash.way is Way.KILL:
            self._relay.expire_leases()
        if self._crash.step is Step.ACCEPTED or struck.child.poll() is not None:
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
        """As ``recover --from-log`` does."""
        for worker in self._relay.workers:
            with worker.log.open(errors="replace") as log:
                for line in read_created_lines(log):
                    if isinstance(line, CreatedLine):
                        line.settle(self._operations)

    def _finding(self, recovery_seconds: float) -> Finding:
        records: dict[str, Json | None] = {**self._records()}
        run = run_of(self._relay, records)
        run = Run(
            creates=run.creates,
            records=records,
            seen=[*run.seen, *self._seen],
            received=run.received,
            spooled=run.spooled,
        )
        if self._crash.is_unsent and run.creates:
            self._faults.append("a call was made")
        said = [*self._faults, *faults_of(run)]
        return Finding(run, [f"{self._crash}: {fault}" for fault in said], recovery_seconds)

    def _start(self, name: str, module: str, *arguments: str, **settings: str) -> Process:
        log, redis = self._relay.directory / f"{name}-struck.log", self._relay.valkey
        orders = Orders(list(self._strikes()), redis.pid, redis.port).as_json()
        command = [sys.executable, "-m", "tests.prove.ending", orders, module, *arguments]
        with log.open("ab") as output:
            environ = {**self._relay.environ, **settings}
            child = start_child(command, env=environ, cwd=ROOT, output=output)
        self._relay.processes.append(Process(child, log))
        return self._relay.processes[-1]

    def _strikes(self) -> Iterator[Strike]:
        """Redis goes before the settle where something is to be spooled; what was to go anyway
        comes back then, while the answer is written.
        """
        crash, calls = self._crash, len(self._kinds)
        if crash.step is not Step.SPOOLED or crash.redis_way is None:
            yield Strike(crash.edge, crash.step, crash.way, calls, self._mark)
            return
        way = Way.HOLD if crash.way in REDIS_GONE else crash.way
        gone = self._mark.with_name("redis-gone")
        yield Strike(BEFORE, Step.SETTLED, crash.redis_way, calls, gone)
        yield Strike(crash.edge, crash.step, way, 1, self._mark)

    def _wait_for_mark(self) -> None:
        wait_until(self._mark.exists, TIMEOUT_SECONDS, f"the strike: {self._crash}")


def _post(caller: Caller, name: str) -> bool:
    """Whether it was confirmed."""
    try:
        return caller.post({"event_id": name, "user_id": f"u-{name}"}).ok
    except (requests.ConnectionError, requests.Timeout):
        return False
