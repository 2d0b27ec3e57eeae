"""Redis client for gevent: plain redis-py connections, a capped free list, one deadline a command.

Time is bounded in one place, ``deadline``: redis-py's own time-outs bound single steps, while
queueing for a connection, finding the primary, connecting, shaking hands, repeating a command and
waiting for replicas are many of them. In a process that is not monkey-patched it never fires.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from traceback import clear_frames
from typing import Any

from gevent import Timeout
from gevent.lock import BoundedSemaphore
from redis.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.store.connector import Connector

MAX_CONNECTIONS = 100
# Over TLS redis-py reads the system's authorities for each connection: 35 ms in which no other
# greenlet runs. So there are few, and few of them are opened at a time.
MAX_TLS_CONNECTIONS = 10
TLS_OPENINGS = 2
# A command gets at most so long, whatever its caller has left.
COMMAND_SECONDS = 2.2
# A server is silent where a deadline passes after a wait of so long. After a shorter wait it is
# not: in an overload, callers with little time left would drop the connections of all others.
SILENT_SECONDS = 0.5

Argument = str | int | float | bytes
Command = Sequence[Argument]

# MovedError is an AskError, MasterDownError a ClusterDownError.
WRONG_NODE_ERRORS = (ReadOnlyError, AskError, ClusterDownError, TryAgainError)
_BLOCKED_WHEN_DEMOTED = "UNBLOCKED"


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise redis-py's ``TimeoutError`` in the body once ``seconds`` have passed.

    Without any left it is raised before the body runs, which would otherwise send before it waits.
    """
    if seconds <= 0:
        raise RedisTimeoutError("no time was left for it")
    timeout = Timeout.start_new(seconds)
    try:
        yield
    except Timeout as fired:
        if fired is not timeout:
            raise
        # A socket that was still connecting is a local variable there, and would stay open with it.
        clear_frames(fired.__traceback__)
        raise RedisTimeoutError(f"no reply within {seconds:.1f} s") from None
    finally:
        timeout.close()
        del timeout  # its traceback refers to this frame: the cycle would keep a half-open socket


def is_failover_error(error: BaseException) -> bool:
    """Return whether the server is gone, or not the one to use any more."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return True
    is_demoted = isinstance(error, RedisError) and str(error).startswith(_BLOCKED_WHEN_DEMOTED)
    return is_demoted or isinstance(error, WRONG_NODE_ERRORS)


class RedisClient:
    """Commands over at most ``max_connections`` connections, shared by a process's greenlets.

    At the cap a command queues until its deadline. ``generation`` counts how often the connections
    were dropped; what holds a connection of its own opens a new one when it has changed.
    """

    def __init__(self, connector: Connector, *, max_connections: int = MAX_CONNECTIONS) -> None:
        if connector.is_tls:
            max_connections = min(max_connections, MAX_TLS_CONNECTIONS)
        self.generation = 0
        self._connector = connector
        self._slots = BoundedSemaphore(max_connections)
        self._openings = BoundedSemaphore(TLS_OPENINGS if connector.is_tls else max_connections)
        self._free: list[AbstractConnection] = []

    def execute(self, *command: Argument) -> Any:
        """Send a command and return its reply.

        Raises ``RedisError``: the error that Redis replied with, or that broke the connection.
        """
        return self.execute_pipeline(command)[0]

    def execute_pipeline(self, *commands: Command) -> list[Any]:
        """Send commands together on one connection and return their replies.

        Raises the first ``RedisError`` among them.
        """
        replies = self.exchange(*commands)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return replies

    def exchange(self, *commands: Command) -> list[Any]:
        """Do as ``execute_pipeline``, with the errors that Redis replied with among the replies.

        Raises the ``RedisError`` that broke the connection.
        """
        with self._slots:
            connection, generation = self._get_connection()
            sent_at = time.monotonic()
            try:
                connection.send_packed_command(connection.pack_commands(commands))
                replies = [_read_reply(connection) for _ in commands]
            except BaseException as error:
                # What the reply of this command would be is the next one's, if it stayed open.
                connection.disconnect()
                is_late = isinstance(error, Timeout)
                is_silent = is_late and time.monotonic() - sent_at >= SILENT_SECONDS
                if is_silent or is_failover_error(error):
                    self.drop_connections()
                raise
            if any(isinstance(reply, RedisError) and is_failover_error(reply) for reply in replies):
                self.drop_connections()
            if generation == self.generation:
                self._free.append(connection)
            else:
                connection.disconnect()
        return replies

    def read(self, *commands: Command) -> list[Any]:
        """Do as ``execute_pipeline`` with commands that change nothing, if need be twice.

        The second time after a fail-over, or where the connection was closed while it was idle.
        """
        try:
            return self.execute_pipeline(*commands)
        except RedisError as error:
            if not is_failover_error(error):
                raise
        return self.execute_pipeline(*commands)

    def _get_connection(self) -> tuple[AbstractConnection, int]:
        """Return a connection and the generation that it is of."""
        if not self._free:
            with self._openings:
                # Another command may have ended meanwhile, or met a fail-over.
                if not self._free:
                    generation = self.generation
                    return self._connector.open(), generation
        return self._free.pop(), self.generation

    def open_subscription(self, channel: str) -> AbstractConnection:
        """Open a connection of its own, and send SUBSCRIBE; its messages are its replies."""
        # RESP2: in RESP3 messages are pushes, which the library gives to handlers.
        connection = self._connector.open(protocol=2)
        connection.send_command("SUBSCRIBE", channel)
        return connection

    def drop_connections(self) -> None:
        """Close all connections once they are not in use, so that the primary is found anew."""
        self.generation += 1
        dropped, self._free = self._free, []
        for connection in dropped:
            connection.disconnect()


def _read_reply(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error  # the replies behind it are still to be read
