"""A work loop over a real Redis and a real HTTP server, whose parts a test can make go wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

from app.channel.client import ChannelClient
from app.chats.errors import StoreUnavailable
from app.chats.event import OnUnknown
from app.chats.grant import Grant, Reply, Settled
from app.chats.outcome import Outcome
from app.chats.record import Record
from app.store.calls import CallStore
from app.store.client import Client
from app.store.keys import Keys
from app.worker.journal import Journal
from app.worker.loop import WorkLoop
from app.worker.metrics import Metrics
from app.worker.spool import Spool
from tests.stack.channel_io import ChannelIo
from tests.stack.processes import wait_until
from tests.store.bench import LIMITS, Bench

DEADLINE_SECONDS = 5
T = TypeVar("T")
After = Callable[[Any], object]


def lose_reply(_: object) -> None:
    """The script ran, and its answer did not arrive."""
    raise StoreUnavailable("the reply was lost")


class Calls(CallStore):
    """The real store of calls; a take is a ``grant`` or a ``wait``, by what came of it.

    ``after[name]`` are done after the next calls of that name; ``said`` has all names, in order.
    """

    def __init__(self, client: Client, blocking_client: Client, base_url: str) -> None:
        """Go wrong in no way yet."""
        super().__init__(
            client,
            blocking_client,
            Keys("relay"),
            base_url=base_url,
            limits=LIMITS,
            call_deadline_ms=DEADLINE_SECONDS * 1000,
            event_deadline_ms=3_600_000,
            on_unknown=OnUnknown.HOLD,
        )
        self.after: dict[str, list[After]] = {}
        self.said: list[str] = []

    def take(self, token: str) -> Reply:
        """Take."""
        reply = super().take(token)
        return self._do_after("grant" if isinstance(reply.taken, Grant) else "wait", reply)

    def settle(self, grant: Grant, outcome: Outcome) -> Settled:
        """Settle."""
        return self._do_after("settle", super().settle(grant, outcome))

    def settle_and_take(self, grant: Grant, outcome: Outcome, token: str) -> tuple[Settled, Reply]:
        """Settle, and take."""
        both = super().settle_and_take(grant, outcome, token)
        return self._do_after("settle_and_take", both)

    def release(self, token: str) -> str:
        """Release."""
        return self._do_after("release", super().release(token))

    def listen(self, seconds: float) -> None:
        """Listen."""
        super().listen(seconds)
        self._do_after("listen", None)

    def _do_after(self, name: str, result: T) -> T:
        try:
            if self.after.get(name):
                self.after[name].pop(0)(result)
        finally:
            self.said.append(name)
        return result


@dataclass
class Workbench:
    """One thread that works, and the means to watch it."""

    client: Client
    blocking_client: Client
    channel_io: ChannelIo
    directory: Path
    deadline_seconds: float = DEADLINE_SECONDS
    stopping: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        """Build what ``bootstrap`` builds; nothing runs yet."""
        self.store = Bench(self.client, Keys("relay"))
        self.calls = Calls(self.client, self.blocking_client, self.channel_io.url)
        self.spool = Spool(self.directory)
        channel = ChannelClient(
            base_url=self.channel_io.url,
            access_key="key",
            access_secret="secret",
            api_version=None,
            connect_timeout_seconds=1,
        )
        self.loop = WorkLoop(
            self.calls,
            channel,
            self.spool,
            Journal(Metrics()),
            deadline_seconds=self.deadline_seconds,
            stopping=self.stopping,
        )
        self.thread = Thread(target=self.loop.run, daemon=True)

    def start(self) -> None:
        """Let the thread work."""
        self.thread.start()

    def stop(self) -> None:
        """Let the thread end by itself; rung, so that it need not listen to the end."""
        self.stopping.set()
        self.client.lpush(self.store.key("bell"), 1)
        self.thread.join(30)
        assert not self.thread.is_alive()

    def wait_for(self, event_id: str, status: str) -> Record:
        """The record once it has that status."""
        wait_until(lambda: self.store.record(event_id).status == status, 20, status)
        return self.store.record(event_id)

    def wait_until_said(self, name: str, times: int = 1) -> None:
        """Return once the store was called so."""
        wait_until(lambda: self.calls.said.count(name) >= times, 20, name)
