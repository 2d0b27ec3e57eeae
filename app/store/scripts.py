"""Runs the Lua scripts: by hash, with their text as the fallback, and acknowledged where wanted."""

import hashlib
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.chats.errors import CommandRefused, StoreRefused, StoreUnavailable
from app.store.client import COMMAND_SECONDS, RedisClient, deadline, is_failover_error
from app.store.keys import Keys, Person
from app.store.records import parse_fields
from app.store.replies import error_reply

ACKNOWLEDGE_TIMEOUT_MS = 700
SCANNED = 1000
_DIRECTORY = Path(__file__).parent / "lua"
# Redis' scripts cannot import each other, so this is done here. What is included and not used costs
# time at each run.
_INCLUDE = re.compile(r"^-- include (\w+)\n", re.MULTILINE)


class NotAcknowledged(StoreUnavailable):
    """The script ran, and too few replicas confirmed what it wrote, or what it read."""


class Scripts:
    """The scripts over one client and prefix.

    Every script is idempotent for the same arguments: a second run finds what the first did. But a
    delayed first run may land after the retry. That is harmless, except that a late ``take``
    creates a grant that no worker holds, hence ``retry=False`` there.
    """

    def __init__(self, client: RedisClient, keys: Keys, *, min_replicas_acked: int = 0) -> None:
        self._client = client
        self._keys = keys
        self._min_replicas_acked = min_replicas_acked
        self.is_acknowledged = min_replicas_acked > 0  # whether replicas confirm what is written

    def run(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        until: float | None = None,
        acknowledge: bool = True,
        retry: bool = True,
    ) -> Any:
        """Run a script and return its reply.

        ``until`` is the caller's deadline on ``time.monotonic``; a script has ``COMMAND_SECONDS``
        at most. ``retry``: once more where the connection was lost, or led to the wrong server.

        Raises ``StoreUnavailable`` where Redis did not reply: the script may have run;
        ``StoreRefused`` where Redis replied that it serves no script now, ``CommandRefused`` where
        it refused this one; ``NotAcknowledged`` where the script ran, and fewer than
        ``min_replicas_acked`` confirmed it.
        """
        acknowledge = acknowledge and self.is_acknowledged
        if acknowledge:
            arguments = {**arguments, "confirm": True}
        packed = (1, self._keys.tag, to_json(arguments))
        try:
            with deadline(_seconds_left(until)):
                return self._run_on_primary(name, packed, acknowledge=acknowledge, retry=retry)
        except RedisError as error:
            is_refused = isinstance(error, ResponseError) and not is_failover_error(error)
            reply = error_reply(error)
            unavailable = StoreRefused if reply else StoreUnavailable
            if is_refused:
                unavailable = CommandRefused
            raise unavailable(f"{name}: {reply or error}") from error

    def read(self, *keys: str, until: float | None = None) -> list[str | None]:
        """Return the texts under ``keys``, unconfirmed. Raises ``StoreUnavailable``."""
        try:
            with deadline(_seconds_left(until)):
                texts: list[str | None] = self._client.read(("MGET", *keys))[0]
        except RedisError as error:
            raise StoreUnavailable(f"look-up: {error}") from error
        return texts

    def find_events(self, person: Person) -> Iterator[str]:
        """Yield the id of each event whose record names ``person``. Reads every record.

        Raises ``StoreUnavailable``.
        """
        prefix, cursor = self._keys.event(""), "0"
        while True:
            command = ("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", SCANNED)
            try:
                with deadline(COMMAND_SECONDS):
                    cursor, names = self._client.read(command)[0]
            except RedisError as error:
                raise StoreUnavailable(f"SCAN: {error}") from error
            texts = self.read(*names) if names else []
            for name, found in zip(names, texts, strict=True):
                if found is not None and parse_fields(found).get(person.field) == person.id:
                    yield name.removeprefix(prefix)
            if cursor == "0":
                return

    def _run_on_primary(
        self, name: str, packed: tuple[Any, ...], *, acknowledge: bool, retry: bool
    ) -> Any:
        try:
            return self._evaluate(name, packed, acknowledge=acknowledge)
        except RedisError as error:
            # The client has dropped its connections, so the second run looks for the primary anew.
            if not retry or not is_failover_error(error):
                raise
        return self._evaluate(name, packed, acknowledge=acknowledge)

    def _evaluate(self, name: str, packed: tuple[Any, ...], *, acknowledge: bool) -> Any:
        text, digest = _load(name)
        try:
            return self._execute("EVALSHA", digest, *packed, acknowledge=acknowledge)
        except NoScriptError:
            return self._execute("EVAL", text, *packed, acknowledge=acknowledge)

    def _execute(self, *command: str | int | bytes, acknowledge: bool) -> Any:
        if not acknowledge:
            return self._client.execute(*command)
        # On one connection, since WAIT waits for the writes of its own.
        wait = ("WAIT", self._min_replicas_acked, ACKNOWLEDGE_TIMEOUT_MS)
        reply, acknowledged = self._client.execute_pipeline(command, wait)
        if acknowledged < self._min_replicas_acked:
            # Perhaps this primary was cut off, and another one has replaced it: what it returned
            # must not get out, and notices of it are of no use.
            self._client.drop_connections()
            raise NotAcknowledged(
                f"{acknowledged} of {self._min_replicas_acked} replicas confirmed"
            )
        return reply


def _seconds_left(until: float | None) -> float:
    if until is None:
        return COMMAND_SECONDS
    return min(COMMAND_SECONDS, until - time.monotonic())


@cache
def _load(name: str) -> tuple[str, str]:
    text = read_script(name)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def read_script(name: str) -> str:
    """Return the script's text, with its includes in place."""
    text = (_DIRECTORY / f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda included: read_script(included[1]), text)
