"""Stand-in for Channel.io, with its interface for tests."""

from threading import Event
from types import TracebackType
from typing import Self

from tools.stack.channel_io.barrier import Barrier, Withheld
from tools.stack.channel_io.behaviours import Behaviour, Operation
from tools.stack.channel_io.channel import Channel
from tools.stack.channel_io.chats import Chats, Switches
from tools.stack.channel_io.control import PREFIX, Control
from tools.stack.channel_io.http_server import Arrival, HttpServer
from tools.stack.channel_io.ledger import Create, Ledger, Message, Open, Request
from tools.stack.channel_io.members import Members
from tools.stack.channel_io.rate_limit import LeakyBucket
from tools.stack.channel_io.script import Script, ScriptLine
from tools.stack.channel_io.service import StandInService
from tools.stack.processes import free_port, wait_until


class ChannelIo:
    """Channel.io on loopback, with the behaviours that the test sets.

    By default it creates every chat. ``limit_per_second`` adds a rate limit, a leaky bucket for
    ``burst`` requests; its 429 has a ``Retry-After`` if ``sends_retry_after``. Every answer takes
    ``latency_seconds``.
    """

    def __init__(
        self,
        access_key: str = "key",
        access_secret: str = "secret",  # noqa: S107 - the stand-in's own
        port: int = 0,
        *,
        limit_per_second: float | None = None,
        burst: int = 1000,
        sends_retry_after: bool = True,
        latency_seconds: float = 0,
    ) -> None:
        """Choose a port, which stays the same after a restart; do not listen yet."""
        self.port = port or free_port()
        self._ledger = Ledger()
        self._members = Members()
        self._chats = Chats(self._ledger)
        self._script = Script()
        self._stopping = Event()
        self._barrier = Barrier(self._stopping)
        self._control = Control(
            self._ledger, self._members, self._chats, self._script, self._barrier
        )
        self._service = StandInService(
            keys=(access_key, access_secret),
            bucket=LeakyBucket(limit_per_second, burst),
            sends_retry_after=sends_retry_after,
            latency_seconds=latency_seconds,
            ledger=self._ledger,
            channel=Channel(self._ledger, self._members, self._chats),
            script=self._script,
            barrier=self._barrier,
            stopping=self._stopping,
        )
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        """Return the value for ``CHANNEL_API_URL``, of v4."""
        return f"http://127.0.0.1:{self.port}/open/v4"

    @property
    def creates(self) -> list[Create]:
        """Return every chat in order; each is recorded before its answer is sent."""
        return self._ledger.creates

    def creates_of(self, user_id: str) -> list[Create]:
        """Return the chats of one user."""
        return [create for create in self.creates if create.user_id == user_id]

    @property
    def messages(self) -> list[Message]:
        """Return every message that requests have made, in order; none of people."""
        return self._ledger.messages

    @property
    def opens(self) -> list[Open]:
        """Return every open that requests have made, in order."""
        return self._ledger.opens

    @property
    def requests(self) -> list[Request]:
        """Return every request in order, without control requests."""
        return self._ledger.requests

    @property
    def switches(self) -> Switches:
        """Return the switches, to change them in place."""
        return self._chats.switches

    def put_member(self, member_id: str, user_id: str | None) -> None:
        """Give a member this user id; None: the member does not exist."""
        self._members.put(member_id, user_id)

    def merge_user(self, user_id: str, into: str) -> None:
        """Merge a user into another one, which may be merged itself."""
        self._members.merge(user_id, into)

    def user_id_of(self, member_id: str) -> str | None:
        """Return a member's user id, None if the member does not exist."""
        return self._members.user_id_of(member_id)

    def state_of(self, chat_id: str) -> str:
        """Return a chat's state."""
        return self._chats.state_of(chat_id)

    def set_state(self, chat_id: str, state: str) -> None:
        """Change a chat's state, as a person does: ``closed``, ``snoozed``, ..."""
        self._chats.set_state(chat_id, state)

    def add_from_person(self, chat_id: str, *texts: str) -> None:
        """Add messages of a person; ``messages`` does not have them."""
        for text in texts:
            self._chats.add_from_person(chat_id, text)

    def delete_message(self, message_id: str) -> None:
        """Remove a message from its chat, as a person does; ``messages`` keeps it."""
        self._chats.delete(message_id)

    @property
    def waiting(self) -> int:
        """Return how many requests wait for ``release`` now."""
        return self._barrier.waiting

    def wait_for_arrivals(self, count: int = 1, timeout_seconds: float = 30) -> None:
        """Return once at least ``count`` requests are held. Raises TimeoutError."""
        wait_until(lambda: self.waiting >= count, timeout_seconds, f"{count} requests to be held")

    def release(self) -> None:
        """Release all held requests."""
        self._barrier.release()

    def plan(
        self,
        *behaviours: Behaviour,
        user_id: str | None = None,
        operation: Operation = Operation.CREATE,
        seconds: float | None = None,
        retry_after: str | None = None,
        withheld: Withheld | None = None,
    ) -> None:
        """Use ``behaviours`` for the operation's next requests, one each: this or any user's.

        The user of a chat's operations is the chat's, that of a resolve is the member or user id.

        The ``withheld`` part of an answer waits for ``release``, and so does a close without one.
        """
        lines = [ScriptLine(behaviour, seconds, retry_after, withheld) for behaviour in behaviours]
        self._script.plan(lines, (operation, user_id))

    def always(
        self,
        behaviour: Behaviour,
        user_id: str | None = None,
        *,
        operation: Operation = Operation.CREATE,
        seconds: float | None = None,
        retry_after: str | None = None,
    ) -> None:
        """Use the behaviour for every request of the operation without a plan."""
        line = ScriptLine(behaviour, seconds, retry_after)
        self._script.always(line, (operation, user_id))

    def probe_with(self, behaviour: Behaviour, *, seconds: float | None = None) -> None:
        """Use the behaviour for every ``GET {base}/channel``, which never creates."""
        self.always(behaviour, operation=Operation.PROBE, seconds=seconds)

    def behave_well(self) -> None:
        """Remove all plans, members and switches: execute every request. Chats remain."""
        self._script.clear()
        self._members.clear()
        self._chats.switches = Switches()

    def start(self) -> None:
        """Serve; records and plans from before a ``stop`` remain."""
        self._stopping.clear()
        self._server = HttpServer(self.port, self._answer)

    def stop(self) -> None:
        """Cut all connections and refuse new ones. Held requests create nothing."""
        if self._server is not None:
            self._server.stop(self._wake_all)
            self._server = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def _answer(self, arrival: Arrival) -> None:
        answering = self._control if arrival.path.startswith(PREFIX) else self._service
        answering.answer(arrival)

    def _wake_all(self) -> None:
        self._stopping.set()
        self._barrier.wake()
