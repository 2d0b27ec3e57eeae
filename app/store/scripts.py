"""Runs the Lua scripts: by hash, with their text as the fallback, and acknowledged where asked."""

import hashlib
import re
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from redis.exceptions import NoScriptError, RedisError

from app.chats.errors import StoreUnavailable
from app.store.client import Client
from app.store.connections import answering_within, leads_elsewhere
from app.store.keys import Keys
from app.store.silence import Silence

ACKNOWLEDGE_TIMEOUT_MS = 700
# Whoever waits for an answer gets one within three seconds.
ANSWER_SECONDS = 2.2
# A second try is for what was lost at once: the first one to time out is the last.
MAX_SECONDS_BEFORE_RETRY = 0.5
_DIRECTORY = Path(__file__).parent / "scripts"
# Redis' scripts cannot import each other, so this is done here. What is included and not used costs
# time at each run.
_INCLUDE = re.compile(r"^-- include (\w+)\n", re.MULTILINE)


class NotAcknowledged(StoreUnavailable):
    """The script ran, and too few replicas confirmed what it wrote."""


class Scripts:
    """The scripts over one client and prefix.

    Every script may be run again with the same arguments: the second run finds what the first did.
    But a first run may also come late, after the second one was answered. Who takes minds: what was
    not granted before would then be granted to nobody.
    """

    def __init__(
        self,
        client: Client,
        keys: Keys,
        *,
        min_replicas_acked: int = 0,
        silence: Silence | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._min_replicas_acked = min_replicas_acked
        self.is_acknowledged = min_replicas_acked > 0  # whether replicas confirm what is written
        self._silence = silence

    def run(
        self, name: str, arg: dict[str, Any], *, acknowledge: bool = True, again: bool = True
    ) -> Any:
        """Run a script; ``again`` where the connection was lost, or led to the wrong server.

        Raises ``StoreUnavailable`` where Redis did not answer or refused: the script may have run.
        Raises ``NotAcknowledged`` where it ran, and fewer than ``min_replicas_acked`` confirmed it.
        """
        arguments = (1, self._keys.tag, to_json(arg))
        return self._ask(
            name, lambda: self._evaluate(name, arguments, acknowledge=acknowledge), again=again
        )

    def read(self, key: str) -> str | None:
        """Return a text, if there is one. Raises ``StoreUnavailable``."""
        text: str | None = self._ask("look-up", lambda: self._client.ask("GET", key), again=True)
        return text

    def _ask(self, what: str, send: Callable[[], Any], *, again: bool) -> Any:
        send_now = partial(self._send_twice if again else self._send_once, send)
        try:
            with answering_within(ANSWER_SECONDS):
                return self._silence.ask(send_now) if self._silence else send_now()
        except RedisError as error:
            raise StoreUnavailable(f"{what}: {error}") from error

    def _send_twice(self, send: Callable[[], Any]) -> Any:
        began = time.monotonic()
        try:
            return self._send_once(send)
        except RedisError as error:
            took = time.monotonic() - began
            if not leads_elsewhere(error) or took > MAX_SECONDS_BEFORE_RETRY:
                raise
        return self._send_once(send)

    def _send_once(self, send: Callable[[], Any]) -> Any:
        try:
            return send()
        except RedisError as error:
            if leads_elsewhere(error):
                self._client.look_again()
            raise

    def _evaluate(self, name: str, arguments: tuple[Any, ...], *, acknowledge: bool) -> Any:
        text, digest = _load(name)
        try:
            return self._send("EVALSHA", digest, *arguments, acknowledge=acknowledge)
        except NoScriptError:
            return self._send("EVAL", text, *arguments, acknowledge=acknowledge)

    def _send(self, *command: str | int, acknowledge: bool) -> Any:
        if not (acknowledge and self.is_acknowledged):
            return self._client.ask(*command)
        # On one connection, since WAIT waits for the writes of its own.
        wait = ("WAIT", self._min_replicas_acked, ACKNOWLEDGE_TIMEOUT_MS)
        reply, acknowledged = self._client.ask_together(command, wait)
        if acknowledged < self._min_replicas_acked:
            # Perhaps this is a primary that was cut off, and that another one has replaced.
            self._client.look_again()
            raise NotAcknowledged(
                f"{acknowledged} of {self._min_replicas_acked} replicas confirmed the write"
            )
        return reply


@cache
def _load(name: str) -> tuple[str, str]:
    text = _read(name)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _read(name: str) -> str:
    """The script's text, with what it includes where it does."""
    text = (_DIRECTORY / f"{name}.lua").read_text()
    return _INCLUDE.sub(lambda included: _read(included[1]), text)
