"""The store in a monkey-patched process, the only kind in which deadlines pass.

``python -m tests.store.patched SOCKET URL OPTIONS``; ``driven.py`` starts it. Each line on the
socket is a command in JSON: a public method of ``Driver`` and its arguments.
"""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import MutableMapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import structlog  # noqa: E402
from redis.exceptions import RedisError  # noqa: E402
from redis.exceptions import TimeoutError as RedisTimeoutError  # noqa: E402
from structlog.testing import LogCapture  # noqa: E402

from app.store.audit import Auditor, Readiness  # noqa: E402
from app.store.client import COMMAND_SECONDS, RedisClient, deadline  # noqa: E402
from app.store.connector import Connector  # noqa: E402
from app.store.keys import Keys  # noqa: E402
from app.store.notices import Notices  # noqa: E402
from config.redis_url import parse_redis_url  # noqa: E402
from tools.model.store_driver import StoreDriver, event_of  # noqa: E402
from tools.stack.redis_client import connect_to  # noqa: E402

TICK_SECONDS = 0.005


class Driver:
    """One client of Redis, and what is built over it."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        """Connect when first used. ``options`` are those of the client and of the notices."""
        keys = Keys("relay")
        silent = {name: options.pop(name) for name in ("silent_seconds",) if name in options}
        plain = connect_to("redis://127.0.0.1:1/0")  # never used but for its relay's client
        plain.relay = RedisClient(Connector(parse_redis_url(url), slot_key=keys.tag), **options)
        self._client = plain.relay
        self._bench = StoreDriver(plain, keys)
        self._auditor = Auditor(self._client, keys)
        self._readiness: dict[float, Readiness] = {}
        self._notices = Notices(self._client, keys, **silent)
        self._logs = LogCapture()
        structlog.configure(processors=[self._logs])

    def execute(self, *command: Any, seconds: float = COMMAND_SECONDS) -> Any:
        """Execute a command within a deadline."""
        with deadline(seconds):
            return self._client.execute(*command)

    def execute_within(self, outer_seconds: float, *command: Any) -> bool:
        """Execute a command within a longer deadline; return whether the outer one came out."""
        outer = gevent.Timeout.start_new(outer_seconds)
        try:
            self.execute(*command)
        except gevent.Timeout as fired:
            return fired is outer
        finally:
            outer.close()
        return False

    def accept(self, event_id: str, *, seconds: float | None = None, replicas: int = 0) -> str:
        """Accept an event by ``seconds`` from now; return its status."""
        events = self._bench.intake(min_replicas_acked=replicas)
        until = None if seconds is None else time.monotonic() + seconds
        record, _ = events.accept(event_of(event_id), until=until)
        return record.status

    def find(self, event_id: str, *, seconds: float | None = None) -> bool:
        """Look an event up by ``seconds`` from now; return whether it is there."""
        until = None if seconds is None else time.monotonic() + seconds
        return self._bench.intake().find(event_id, until=until) is not None

    def audit(self) -> list[str]:
        """Audit; return the faults."""
        return list(self._auditor.audit().faults)

    def check_readiness(self, standing_seconds: float) -> list[list[str]]:
        """Answer a probe, one of those whose audit stands so long; return faults and warnings."""
        readiness = self._readiness.setdefault(
            standing_seconds,
            Readiness(self._auditor, allow_unsafe=False, standing_seconds=standing_seconds),
        )
        ready = readiness.check()
        return [list(ready.failing), list(ready.warnings)]

    def wait_for_event(self, seconds: float) -> None:
        """Wait at the bell."""
        self._bench.worker().wait_for_event(seconds)

    def storm(self, greenlets: int, rounds: int, most_seconds: float) -> dict[str, int]:
        """Have greenlets send ECHO within random deadlines; count how each ended."""
        ends: Counter[str] = Counter()

        def send(number: int) -> None:
            for turn in range(rounds):
                mine = f"{number}-{turn}"
                try:
                    reply = self.execute("ECHO", mine, seconds=random.uniform(0, most_seconds))  # noqa: S311 - no secret
                except RedisTimeoutError:
                    ends["late"] += 1
                else:
                    ends["own" if reply == mine else "another's"] += 1

        gevent.joinall([gevent.spawn(send, number) for number in range(greenlets)])
        return dict(ends)

    def load(self, rate: int, seconds: float) -> list[tuple[float, str]]:
        """Begin so many commands a second; return when each began, and how it ended."""
        ends = []
        began = time.monotonic()

        def send(began_at: float) -> None:
            try:
                self.execute("PING")
            except RedisError as error:
                ends.append((began_at, type(error).__name__))
            else:
                ends.append((began_at, "reply"))

        sends: list[gevent.Greenlet] = []
        while (passed := time.monotonic() - began) < seconds:
            sends += [gevent.spawn(send, passed) for _ in range(int(rate * passed) - len(sends))]
            gevent.sleep(TICK_SECONDS)
        gevent.joinall(sends)
        return ends

    def drop_connections(self) -> None:
        """Drop them, as a command does that meets a fail-over."""
        self._client.drop_connections()

    def open_files(self) -> int:
        """Count the descriptors of this process; nothing is left to the garbage collector."""
        return len(list(Path("/dev/fd").iterdir()))

    def watch(self, event_id: str, seconds: float) -> list[float]:
        """Wait for notices; return when one woke this greenlet, in seconds from the begin."""
        began = time.monotonic()
        wakes = []
        with self._notices.watch(event_id) as notice:
            while (left := seconds - (time.monotonic() - began)) > 0:
                if notice.wait(left):
                    wakes.append(time.monotonic() - began)
                    notice.clear()
        return wakes

    def break_off(self, event_id: str) -> None:
        """Fail while waiting."""
        with self._notices.watch(event_id):
            raise InterruptedError

    def notices(self) -> dict[str, Any]:
        """Return the state of the subscription."""
        return {"is_lost": self._notices.is_lost, "watched": self._notices.watched}

    def logs(self) -> list[MutableMapping[str, Any]]:
        """Return what was logged."""
        return list(self._logs.entries)

    def hold_up(self, seconds: float) -> None:
        """Let the loop run nothing for so long."""
        monkey.get_original("time", "sleep")(seconds)

    def longest_stop(self, seconds: float) -> float:
        """Return for how long, at most, the loop ran nothing else."""
        longest, before, end = 0.0, time.monotonic(), time.monotonic() + seconds
        while before < end:
            gevent.sleep(TICK_SECONDS)
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        return longest


def serve(connection: socket.socket, driver: Driver) -> None:
    """Carry out each command in greenlets of its own, until the test closes the line."""

    def run(command: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        done: dict[str, Any] = {"value": None, "error": None, "kind": None}
        try:
            done["value"] = getattr(driver, command["name"])(
                *command["arguments"], **command["options"]
            )
        except Exception as error:  # noqa: BLE001 - the test judges it
            done |= {"error": str(error), "kind": type(error).__name__}
        return done | {"seconds": time.monotonic() - began}

    def run_all(command: dict[str, Any]) -> None:
        runs = [gevent.spawn(run, command) for _ in range(command["times"])]
        reply = {"number": command["number"], "results": [each.get() for each in runs]}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    with connection.makefile("rb") as lines:
        for line in lines:
            gevent.spawn(run_all, json.loads(line))


if __name__ == "__main__":
    gc.disable()
    descriptor, url, options = sys.argv[1:]
    with socket.socket(fileno=int(descriptor)) as connection:
        serve(connection, Driver(url, json.loads(options)))
