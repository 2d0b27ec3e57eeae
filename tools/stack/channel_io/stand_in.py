"""Stand-in for Channel.io, with its interface for tests."""

from threading import Event
from types import TracebackType
from typing import Self

from tools.stack.channel_io.barrier import Barrier, Withheld
from tools.stack.channel_io.behaviours import Behaviour
from tools.stack.channel_io.control import PREFIX, Control
from tools.stack.channel_io.http_server import Arrival, HttpServer
from tools.stack.channel_io.ledger import Create, Ledger, Request
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
        self._script = Script()
        self._stopping = Event()
        self._barrier = Barrier(self._stopping)
        self._control = Control(self._ledger, self._script, self._barrier)
        self._service = StandInService(
            keys=(access_key, access_secret),
            bucket=LeakyBucket(limit_per_second, burst),
            sends_retry_after=sends_retry_after,
            latency_seconds=latency_seconds,
            ledger=self._ledger,
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
    def requests(self) -> list[Request]:
        """Return every request in order, without control requests."""
        return self._ledger.requests

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
        seconds: float | None = None,
        retry_after: str | None = None,
        withheld: Withheld | None = None,
    ) -> None:
        """Use ``behaviours`` for the next creates, one each: this user's, or any user's.

        The ``withheld`` part of an answer waits for ``release``, and so does a close without one.
        """
        lines = [ScriptLine(behaviour, seconds, retry_after, withheld) for behaviour in behaviours]
        self._script.plan(lines, user_id)

    def always(
        self,
        behaviour: Behaviour,
        user_id: str | None = None,
        *,
        seconds: float | None = None,
        retry_after: str | None = None,
    ) -> None:
        """Use the behaviour for every create without a plan."""
        self._script.always(ScriptLine(behaviour, seconds, retry_after), user_id)

    def probe_with(self, behaviour: Behaviour, *, seconds: float | None = None) -> None:
        """Use the behaviour for every ``GET {base}/channel``, which never creates."""
        self._script.probe = ScriptLine(behaviour, seconds)

    def behave_well(self) -> None:
        """Remove all plans: create every chat, answer every probe."""
        self._script.clear()

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
