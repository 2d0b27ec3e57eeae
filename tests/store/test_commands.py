"""The commands of Redis that an event without tasks costs, script by script.

They are those of the release before tasks, and two for the count of its minute.
"""

from collections.abc import Callable

import pytest

from app.chats.outcome import Outcome
from app.store.scripts import read_script
from tests.store.interrupted import recorded
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN
from tools.model.store_driver import StoreDriver, event_of

READ = ["MGET"]
MINUTE = ["HINCRBY", "PEXPIRE"]

_BEFORE = """
local names, real = {}, redis
local function noted(run)
  return function(name, ...)
    names[#names + 1] = name
    return real[run](name, ...)
  end
end
local redis = {call = noted('call'), pcall = noted('pcall')}
local function script()
"""
_AFTER = """
end
script()
return names
"""


def commands_of(bench: StoreDriver, act: Callable[[StoreDriver], object]) -> list[str]:
    """Return the commands of the last script that ``act`` runs, by name."""
    command = recorded(bench, act)
    text = _BEFORE + read_script(command.name) + _AFTER
    names: list[str] = bench.client.eval(text, 1, bench.keys.tag, command.arguments)
    return names


def test_an_accept(bench: StoreDriver) -> None:
    """A new event: read, judged, scheduled, written, counted, rung for."""
    names = commands_of(bench, lambda one: one.intake().accept(event_of()))

    judged = ["TIME", "ZCARD", "ZCARD"]
    assert [*READ, *judged, "ZADD", "SET", *MINUTE, "LLEN", "LPUSH"] == names


def test_a_duplicate(bench: StoreDriver) -> None:
    """One read."""
    bench.accept()

    assert READ == commands_of(bench, lambda one: one.intake().accept(event_of()))


def test_a_take(bench: StoreDriver) -> None:
    """The only event that is due is granted."""
    bench.accept()

    names = commands_of(bench, lambda one: one.worker().take("token"))

    gate = ["HDEL", "HGETALL", "ZREMRANGEBYSCORE", "ZADD", "HSET"]
    found = ["ZRANGEBYSCORE"] * 4 + READ
    granted = ["HSET", "SET", "ZADD", "SET", "ZREM", "ZREM", "ZREM"]
    assert ["TIME", "GET", *gate, *found, *granted] == names


INDEXED = ["SET", "ZADD", "ZREMRANGEBYRANK", "PTTL", "PEXPIRE"]
SETTLED = {
    "created": (CREATED, ["HINCRBY", "HDEL", *INDEXED, "SET", *["ZREM"] * 4]),
    "refused": (
        REFUSED,
        ["HINCRBY", "HDEL", "ZADD", "ZREMRANGEBYSCORE", "SET", *["ZREM"] * 3],
    ),
    "unknown": (UNKNOWN, ["HINCRBY", "ZADD", "SET", *["ZREM"] * 3]),
}


@pytest.mark.parametrize(("outcome", "expected"), SETTLED.values(), ids=SETTLED)
def test_a_settle(bench: StoreDriver, outcome: Outcome, expected: list[str]) -> None:
    """Gate and record are read; gate, places and record are written; a notice and a tombstone."""
    grant = bench.granted()

    names = commands_of(bench, lambda one: one.worker().settle(grant, outcome))

    begun = ["TIME", "HDEL", "HGETALL", *READ]
    assert [*begun, *expected, "PUBLISH", *MINUTE, "SET"] == names
