"""An operator, and the situations that he finds: the command line over a real Redis."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from click.testing import CliRunner, Result
from redis.exceptions import ConnectionError as RedisConnectionError

from app.chats.grant import Grant, SettleResult
from app.chats.outcome import Outcome
from app.chats.record import as_json
from app.operate.commands import cli
from app.operate.context import CliContext
from app.store.grants import GrantStore
from app.store.keys import Keys
from app.store.operations import Operations
from app.store.scripts import Scripts
from tools.model.outcomes import REFUSED, UNKNOWN
from tools.model.store_driver import LIMITS, TTL_SECONDS, StoreDriver
from tools.stack.redis_client import connect_to

# The breaker is no matter here, however many outcomes are unknown.
CALM = replace(LIMITS, threshold=1_000_000)
NAME = "anna"


class LossyScripts(Scripts):
    """Scripts whose next replies are lost, as many as ``lost`` says, after ``spared`` are not."""

    spared: int = 0
    lost: int = 0

    def _execute(self, *command: Any, acknowledge: bool) -> Any:
        reply = super()._execute(*command, acknowledge=acknowledge)
        if self.spared:
            self.spared -= 1
        elif self.lost:
            self.lost -= 1
            raise RedisConnectionError("the reply was lost")
        return reply


@dataclass
class Operator:
    """Runs commands, and lets things happen to events."""

    url: str
    bench: StoreDriver
    scripts: LossyScripts

    @classmethod
    @contextmanager
    def connected_to(cls, url: str) -> Iterator[Self]:
        """Connect; one thread at a time may use it."""
        with connect_to(url) as client:
            bench = StoreDriver(client, Keys("relay"))
            yield cls(url, bench, LossyScripts(client.relay, bench.keys))

    @property
    def operations(self) -> Operations:
        """Context of the commands."""
        return Operations(self.scripts, record_ttl_seconds=TTL_SECONDS)

    def run(self, *arguments: str, text: str | None = None) -> Result:
        """Run one command; ``text`` is its standard input."""
        context = CliContext(connect=lambda: self.operations, settings=list)
        return CliRunner().invoke(cli, arguments, obj=context, input=text, catch_exceptions=False)

    def refused(self, *arguments: str) -> str:
        """Run a command that changes nothing, and return its reason."""
        result = self.run(*arguments)
        assert (1, "") == (result.exit_code, result.stdout)
        (line,) = result.stderr.splitlines()
        return line.removeprefix("Nothing was done: ")

    def misused(self, *arguments: str) -> str:
        """Run a command that is refused, and return its message."""
        result = self.run(*arguments)
        assert (2, "") == (result.exit_code, result.stdout)
        return result.stderr.splitlines()[-1].removeprefix("Error: ")

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json``, and return its output, parsed."""
        result = self.run(*arguments, "--json")
        assert 0 == result.exit_code, result.output
        return json.loads(result.stdout)

    def decide(self, event_id: str, *decision: str, by: str = NAME) -> Any:
        """The record of a held event that was resolved."""
        return self.json("resolve", event_id, *decision, "--yes", "--as", by)

    def document(self, event_id: str = "e1") -> Any:
        """The record as the HTTP API shows it."""
        return json.loads(json.dumps(as_json(self.bench.record(event_id))))

    def history(self, event_id: str = "e1") -> list[dict[str, Any]]:
        """Return the history that ``explain`` prints, without instants."""
        history = self.json("explain", event_id)["history"]
        return [
            {name: value for name, value in moment.items() if name != "at" and value is not None}
            for moment in history
        ]

    def worker(self, **options: Any) -> GrantStore:
        """A worker whose calls may come to anything."""
        return self.bench.worker(limits=CALM, **options)

    def settle(self, grant: Grant, outcome: Outcome) -> SettleResult:
        """Let an answer come."""
        return self.worker().settle(grant, outcome)

    def hold(self, event_id: str = "e1", **fields: Any) -> Grant:
        """Make a held event."""
        return self.end(event_id, UNKNOWN, **fields)

    def fail(self, event_id: str = "e1", outcome: Outcome = REFUSED, **fields: Any) -> Grant:
        """Have an event that failed."""
        return self.end(event_id, outcome, **fields)

    def end(self, event_id: str, outcome: Outcome, **fields: Any) -> Grant:
        """Have an event whose call came to that."""
        grant = self.bench.granted(event_id, **fields)
        self.settle(grant, outcome)
        return grant

    def forget(self, event_id: str) -> None:
        """Let the time of a record be over."""
        self.bench.client.delete(self.bench.keys.event(event_id))
        ended_ms = self.bench.now_ms() - 1
        self.bench.client.zadd(self.bench.key("failed"), {event_id: ended_ms}, xx=True)
