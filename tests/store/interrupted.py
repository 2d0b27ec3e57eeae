"""Scripts whose commands are refused in mid-script, one at a time, in a copy of a relay's keys.

Redis undoes nothing of a script that it stops. The faults are injected by Lua that stands before
the script, and so is the clock, so that runs can be compared.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from redis.exceptions import ResponseError

from app.chats.grant import new_token
from app.chats.record import Status
from app.store.client import Argument
from app.store.keys import Keys
from app.store.scripts import read_script
from tools.model.rules import broken_rules
from tools.model.store_driver import StoreDriver
from tools.model.virtual import DIGESTS
from tools.stack.redis_client import Client

INJECTED = "ERR injected"
# In none of them is anything lost for good: the gate may learn something twice, a lost ring costs
# a second, and the count is the test's own. The counts of minutes (MINUTE) may miss one.
NOT_COMPARED = {"gate", "bell", "commands"}
MINUTE = "minute:"
TTL_STEP_MS = 30_000

# ARGV: the script's argument, the number of the command to refuse, the clock.
_BEFORE = """
local commands, fault, now = 0, tonumber(ARGV[2]), tonumber(ARGV[3])
local real = redis
local function is_refused()
  commands = commands + 1
  return commands == fault
end
local redis = {
  call = function(name, ...)
    if is_refused() then error('ERR injected') end
    if name == 'TIME' then return {math.floor(now / 1000), (now % 1000) * 1000} end
    return real.call(name, ...)
  end,
  pcall = function(...)
    if is_refused() then return {err = 'ERR injected'} end
    return real.pcall(...)
  end,
}
local function script()
"""
_AFTER = """
end
local reply = script()
real.call('SET', KEYS[1] .. ':commands', commands)
return reply
"""


@dataclass(frozen=True)
class Command:
    """One run of a script: its name and the text of its arguments."""

    name: str
    arguments: str


class Recorder:
    """A client that notes the scripts that are run through it."""

    def __init__(self, client: Client) -> None:
        """Note nothing yet."""
        self.commands: list[Command] = []
        self._client = client

    def execute(self, *command: Argument) -> Any:
        """Send a command, and note it where it runs a script."""
        if command[0] == "EVALSHA":
            arguments = command[4]
            assert isinstance(arguments, bytes)
            self.commands.append(Command(DIGESTS[str(command[1])], arguments.decode()))
        return self._client.relay.execute(*command)

    def execute_pipeline(self, *commands: tuple[Argument, ...]) -> list[Any]:
        """Send the commands; no replica has to confirm them."""
        first, *_ = commands
        return [self.execute(*first), 100]

    def drop_connections(self) -> None:
        """Do nothing: there is no second server."""


@dataclass(frozen=True)
class Interrupted:
    """The runs of one command on copies of one relay."""

    client: Client
    before: StoreDriver
    command: Command
    now_ms: int

    def check(self) -> int:
        """Let each command of the script be refused once; return how many there are."""
        expected, replies = self._undisturbed()
        commands = int(str(self.client.get(expected.key("commands"))))
        for number in range(1, commands + 1):
            relay = self._copy(f"fault-{number}")
            reply = self._run(relay, fault=number)
            if reply is INJECTED:
                reply = self._run(relay)
            where = f"{self.command.name}, command {number} of {commands}"
            assert reply in replies, where
            assert self._contents(expected) == self._contents(relay), where
            self._remove(relay)
        self._remove(expected)
        return commands

    def check_unrepeated(self) -> list[str]:
        """Let each command of the script be refused once, and then only a worker take.

        Return the keys of texts and chats that do not end with their records.
        """
        relay = self._copy("counted")
        self._run(relay)
        commands = int(str(self.client.get(relay.key("commands"))))
        self._remove(relay)
        faults = []
        for number in range(1, commands + 1):
            relay = self._copy(f"fault-{number}")
            self._run(relay, fault=number)
            for event_id in relay.queue("calling"):
                relay.lose_worker(event_id)
            for _ in range(2):
                for event_id in relay.queue("due"):
                    relay.make_due(event_id)
                relay.worker().take(new_token())
            faults += [
                f"{self.command.name}, command {number} of {commands}: {fault}"
                for fault in broken_rules(self.client, relay.keys)
                if fault.startswith((relay.key("text:"), relay.key("chat:")))
                and not _will_be_mended(relay, fault)
            ]
            self._remove(relay)
        return faults

    def _undisturbed(self) -> tuple[StoreDriver, list[Any]]:
        """Run the command twice; return what the first left, and both replies."""
        expected, repeated = self._copy("undisturbed"), self._copy("repeated")
        first = self._run(expected)
        self._run(repeated)
        second = self._run(repeated)
        self._remove(repeated)
        return expected, [first, second]

    def _run(self, relay: StoreDriver, fault: int = 0) -> Any:
        text = _BEFORE + read_script(self.command.name) + _AFTER
        try:
            reply = self.client.eval(
                text, 1, relay.keys.tag, self.command.arguments, fault, self.now_ms
            )
        except ResponseError as error:
            if INJECTED not in str(error):
                raise
            return INJECTED
        # Reported once are lost and expired events; what the breaker changed to is the gate's.
        parts = {"take": slice(2, None), "settle": slice(None, None, 2)}
        return reply[parts[self.command.name]] if self.command.name in parts else reply

    def _copy(self, prefix: str) -> StoreDriver:
        copy = StoreDriver(self.client, Keys(prefix))
        for name in _names(self.before):
            self.client.copy(self.before.key(name), copy.key(name))
        return copy

    def _remove(self, relay: StoreDriver) -> None:
        self.client.unlink(*map(relay.key, _names(relay)))

    def _contents(self, relay: StoreDriver) -> dict[str, Any]:
        names = {name for name in _names(relay) if not name.startswith(MINUTE)} - NOT_COMPARED
        return {name: _content(self.client, relay.key(name)) for name in names}


def _will_be_mended(relay: StoreDriver, fault: str) -> bool:
    """Return whether a held event's text ends: it is kept again by any decision about the event.

    Or one that is not needed any more ends by itself.
    """
    is_mortal = relay.ttl_ms("text:e1") > 0
    is_held = relay.text() is not None and relay.record().status is Status.UNKNOWN
    return is_mortal and (is_held or fault.endswith("not needed"))


def recorded(bench: StoreDriver, act: Callable[[StoreDriver], object]) -> Command:
    """Return the last script that ``act`` runs, which leaves no trace in ``bench`` itself."""
    copy = StoreDriver(bench.client, Keys("recorded"))
    for name in _names(bench):
        bench.client.copy(bench.key(name), copy.key(name))
    recorder = Recorder(bench.client)
    act(StoreDriver(cast("Client", SimpleNamespace(relay=recorder)), copy.keys))
    bench.client.unlink(*map(copy.key, _names(copy)))
    return recorder.commands[-1]


def _names(relay: StoreDriver) -> list[str]:
    prefix = relay.key("")
    names = cast("list[str]", relay.client.keys(f"{prefix}*"))
    return [name.removeprefix(prefix) for name in names]


def _content(client: Client, key: str) -> tuple[Any, int]:
    """Return what is under the key, and when it ends, in steps that two runs share."""
    kind = str(client.type(key))
    read: dict[str, Callable[[], Any]] = {
        "string": lambda: client.get(key),
        "zset": lambda: client.zrange(key, 0, -1, withscores=True),
        "list": lambda: client.lrange(key, 0, -1),
        "hash": lambda: client.hgetall(key),
    }
    content = read[kind]()
    is_record = isinstance(content, str) and content.startswith("{")
    left_ms = client.pttl(key)
    return json.loads(content) if is_record else content, round(left_ms / TTL_STEP_MS)
