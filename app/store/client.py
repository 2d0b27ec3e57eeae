"""A Redis client that keeps a connection for each thread."""

import time
from collections.abc import Sequence
from threading import local
from typing import Any

import hiredis
from redis import Redis
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

# A connection that was used within so many seconds is not looked at before it is used again.
FRESH_SECONDS = 1.0


class Client(Redis):
    """The library's client, with a shorter way for what is asked at every event.

    For each command the library borrows a connection from its pool, and looks at retries, callbacks
    and measurements: more work than the command itself (docs/decisions/0013-what-made-it-fast.md).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._own = local()
        self._generation = 0

    def ask(self, *command: str | int | bytes) -> Any:
        """Send a command on this thread's connection, and return its reply as it comes.

        Raises ``RedisError``: what Redis answered, or what broke the connection.
        """
        connection = self._connection_of_thread()
        packed = hiredis.pack_command(command)  # type: ignore[arg-type] # its stub knows one alone
        connection.send_packed_command([packed], check_health=False)
        return connection.read_response()

    def ask_together(self, *commands: Sequence[str | int | bytes]) -> list[Any]:
        """Do as ``ask`` with several commands at once; the first error of any is raised."""
        connection = self._connection_of_thread()
        connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        replies = [_reply(connection) for _ in commands]
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return replies

    def look_again(self) -> None:
        """Let go of all connections that nobody is using, so that the primary is found anew."""
        self._generation += 1
        self.connection_pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Close this thread's connection, and the pool. Others' end when their threads do."""
        if connection := getattr(self._own, "connection", None):
            connection.disconnect()
        super().close()

    def _connection_of_thread(self) -> AbstractConnection:
        own, pool, now = self._own, self.connection_pool, time.monotonic()
        if not hasattr(own, "connection"):
            own.connection = pool.connection_class(**pool.connection_kwargs)
        elif own.generation != self._generation or (
            now - own.used_at > FRESH_SECONDS and _is_stale(own.connection)
        ):
            own.connection.disconnect()  # it connects when it is used
        own.generation, own.used_at = self._generation, now
        connection: AbstractConnection = own.connection
        return connection


def _is_stale(connection: AbstractConnection) -> bool:
    """Whether something has come that nobody asked for, such as its end."""
    try:
        return connection.can_read()
    except RedisConnectionError:
        return True


def _reply(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        if not connection.is_connected:  # closed over it, see `connections`
            raise
        return error  # those behind it are still to be read
