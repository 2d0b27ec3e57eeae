"""Commands that web and worker send to Redis for each event, counted by MONITOR."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from socket import create_connection

import pytest

from tools.stack.deployment import Deployment
from tools.stack.processes import stop_child, wait_until
from tools.stack.valkey import Valkey
from tools.stack.verdict import judge

EVENTS = 100
# Probe, scripts sent as text, and takes that find nothing; one more round trip an event would be
# twice as many.
START_AND_IDLE = EVENTS // 2
LIMIT_SECONDS = 30
END = "end-of-monitored"

# 1700000000.123456 [0 127.0.0.1:50000] "EVALSHA" …; commands inside a script have no address.
_COMMAND = re.compile(r'[\d.]+ \[\d+ [^\]]*:\d+\] "(?P<name>[^"]+)"')
# Sent once for each connection, or while there is nothing to do.
_NOT_FOR_AN_EVENT = {
    *("HELLO", "CLIENT", "AUTH", "SELECT", "PING", "INFO", "CONFIG"),
    *("BLPOP", "SUBSCRIBE"),
}


@contextmanager
def monitored(valkey: Valkey) -> Iterator[list[str]]:
    """Yield a list that has, afterwards, every command that was sent for an event's sake."""
    commands: list[str] = []
    address = ("127.0.0.1", valkey.port)
    with create_connection(address) as monitor, create_connection(address) as marker:
        lines = monitor.makefile(encoding="utf-8", errors="replace")
        monitor.sendall(b"MONITOR\r\n")
        assert "+OK\n" == lines.readline()
        yield commands
        marker.sendall(f"ECHO {END}\r\n".encode())
        for line in takewhile(lambda line: END not in line, lines):
            found = _COMMAND.match(line.removeprefix("+"))
            if found and found["name"].upper() not in _NOT_FOR_AN_EVENT:
                commands.append(found["name"].upper())


@pytest.fixture(scope="module")
def commands(deployment: Deployment, no_worker_stays: None) -> Mapping[str, Sequence[str]]:
    """The commands for the same events: posted, posted again, looked up, called by a worker."""
    deployment.clear()
    deployment.kill_workers()
    # Web sends a script as text where Redis does not have it yet.
    deployment.caller.post({"event_id": "e0", "user_id": "e0"}).raise_for_status()
    deployment.caller.record("e0")
    with monitored(deployment.valkey) as posts:
        for number in [*range(EVENTS)] * 2:
            event = {"event_id": f"e{number}", "user_id": f"e{number}"}
            deployment.caller.post(event).raise_for_status()
    with monitored(deployment.valkey) as look_ups:
        for number in range(EVENTS):
            deployment.caller.record(f"e{number}")
    with monitored(deployment.valkey) as calls:
        worker = deployment.start_worker()
        wait_until(lambda: len(worker.lines("call")) == EVENTS, LIMIT_SECONDS, "the calls")
        stop_child(worker.child)
    judge(deployment)
    return {"posts": posts, "look-ups": look_ups, "calls": calls}


def test_accepting_an_event_is_one_round_trip(commands: Mapping[str, Sequence[str]]) -> None:
    """Claiming and scheduling are one command, for a new event and for a duplicate."""
    assert 2 * EVENTS == len(commands["posts"])


def test_look_up_is_one_round_trip(commands: Mapping[str, Sequence[str]]) -> None:
    """The record is read as it is answered."""
    assert EVENTS == len(commands["look-ups"])


def test_worker_needs_two_round_trips_for_an_event(commands: Mapping[str, Sequence[str]]) -> None:
    """Take and settle; nothing is read or written beside them."""
    assert EVENTS <= len(commands["calls"]) <= 2 * EVENTS + START_AND_IDLE
