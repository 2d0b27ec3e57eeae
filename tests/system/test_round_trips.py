"""Commands that web and worker send to Redis for each event, counted by MONITOR."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from socket import create_connection

import pytest

from tests.stack.processes import stop_child, wait_until
from tests.stack.valkey import Valkey
from tests.system.deployment import Deployment

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


@pytest.fixture
def backlog(relay: Deployment, no_worker_stays: None) -> Iterator[Deployment]:
    """The deployment with waiting events; no worker runs before the test starts one."""
    relay.kill_workers()
    for number in range(EVENTS):
        post(relay, number)
    yield relay
    relay.worker()  # the oracle waits until every event is settled


def post(relay: Deployment, number: int) -> None:
    """Post an event of a user of its own."""
    event_id = f"e{number}"
    relay.caller.post({"event_id": event_id, "user_id": event_id}).raise_for_status()


def test_accepting_an_event_is_one_round_trip(backlog: Deployment) -> None:
    """Claiming and scheduling are one command, for a new event and for a duplicate."""
    with monitored(backlog.valkey) as commands:
        for number in range(2 * EVENTS):
            post(backlog, number)

    assert 2 * EVENTS == len(commands)


def test_look_up_is_one_round_trip(backlog: Deployment) -> None:
    """The record is read as it is answered."""
    with monitored(backlog.valkey) as commands:
        for number in range(EVENTS):
            backlog.caller.record(f"e{number}")

    assert EVENTS == len(commands)


def test_worker_needs_two_round_trips_for_an_event(backlog: Deployment) -> None:
    """Take and settle; nothing is read or written beside them."""
    with monitored(backlog.valkey) as commands:
        worker = backlog.start_worker()
        wait_until(lambda: len(worker.lines("call")) == EVENTS, LIMIT_SECONDS, "the calls")
        stop_child(worker.child)

    assert EVENTS <= len(commands) <= 2 * EVENTS + START_AND_IDLE
