"""The audit of a Redis: what it refuses to do for the relay, and whether it would lose events."""

import hashlib
import math
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gevent.lock import BoundedSemaphore
from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.chats.errors import StoreRefused, StoreUnavailable
from app.store.client import (
    COMMAND_SECONDS,
    Argument,
    RedisClient,
    deadline,
    is_failover_error,
)
from app.store.connector import NoSuchDatabase
from app.store.discovery import PrimaryUnknown
from app.store.keys import Keys
from app.store.replies import error_reply
from app.store.scripts import ACKNOWLEDGE_TIMEOUT_MS

# One audit answers every probe of a process for so long.
STANDING_SECONDS = 2.0
# BLPOP finds an element that the script left; where that was refused it must not wait long.
BLPOP_SECONDS = 0.01
ONLY_SNAPSHOTS = "AOF is off: a restart loses the events accepted since the last RDB snapshot"
NO_PERSISTENCE = "neither AOF nor RDB persistence is on: a restart loses EVERY accepted event"

_SCRIPT = (Path(__file__).parent / "lua" / "audit.lua").read_text("utf-8")
_DIGEST = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class MisnamedDatabase(StoreRefused):
    """``REDIS_URL`` names a database that this Redis does not have."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Findings of one audit.

    With ``faults``, unsafe settings, the relay must not run. With ``refusals``, what Redis forbids
    or refuses, no event can be accepted. ``warnings`` are advice.
    """

    faults: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class AuditFinding(NamedTuple):
    """A refused command, the key or channel that it was tried on, and the reply of Redis."""

    command: str
    place: str
    reply: str


class Auditor:
    """Tries everything that the relay needs of Redis, and judges its settings."""

    def __init__(self, client: RedisClient, keys: Keys, *, min_replicas_acked: int = 0) -> None:
        self._client = client
        self._keys = keys
        self._min_replicas_acked = min_replicas_acked

    @property
    def generation(self) -> int:
        """The number of times that the connections to Redis were dropped."""
        return self._client.generation

    def audit(self) -> Audit:
        """Audit Redis.

        Raises ``StoreUnavailable`` where it does not reply, ``StoreRefused`` where it, or TLS, lets
        no command through, ``MisnamedDatabase`` where that is for its database.
        """
        try:
            with deadline(COMMAND_SECONDS):
                return self._audit()
        except NoSuchDatabase as error:
            raise MisnamedDatabase(str(error)) from error
        except PrimaryUnknown as error:
            raise StoreRefused(str(error)) from error
        except RedisError as error:
            if reply := error_reply(error):
                raise StoreRefused(reply) from error
            if isinstance(error.__context__, ssl.SSLError):  # its own text may name the host
                raise StoreRefused(f"TLS: {error.__context__.reason}") from error
            raise StoreUnavailable(str(error)) from error

    def _audit(self) -> Audit:
        try:
            replies = self._try_commands()
        except RedisError as error:
            if not is_failover_error(error):
                raise
            replies = self._try_commands()  # the client looks for the primary anew
        refused = [*_refused_commands(replies, self._keys), *self._try_subscription()]
        refusals = [*_describe(refused), *self._judge_confirmation(replies["WAIT"])]
        policy = _read_info(replies["INFO memory"]).get("maxmemory_policy")
        has_aof = _read_info(replies["INFO persistence"]).get("aof_enabled")
        faults, warnings = [], []
        if policy and policy != "noeviction":
            faults.append(
                f"maxmemory-policy is {policy}: Redis may drop accepted events; set noeviction"
            )
        if not self._min_replicas_acked and isinstance(replies["WAIT"], RedisError):
            warnings.append(f"MIN_REPLICAS_ACKED cannot be set: WAIT: {_text(replies['WAIT'])}")
        if not policy:
            warnings.append(_unjudged("maxmemory-policy", replies["INFO memory"]))
        if not has_aof:
            warnings.append(_unjudged("AOF", replies["INFO persistence"]))
        if has_aof == "0":
            warnings.append(NO_PERSISTENCE if self._lacks_snapshots() else ONLY_SNAPSHOTS)
        return Audit(tuple(faults), tuple(refusals), tuple(warnings))

    def _try_commands(self) -> dict[str, Any]:
        """Return the reply to each command, which may be an error.

        Raises ``RedisError`` where the server is gone, or not the one to use any more.
        """
        tag, audit = self._keys.tag, self._keys.audit
        commands: dict[str, tuple[Argument, ...]] = {
            "EVAL": ("EVAL", _SCRIPT, 1, tag),
            "EVALSHA": ("EVALSHA", _DIGEST, 1, tag, "alone"),
            "MGET": ("MGET", f"{audit}:string"),
            "BLPOP": ("BLPOP", f"{audit}:list", BLPOP_SECONDS),
            "PING": ("PING",),
            # Behind the writes of its own connection.
            "WAIT": ("WAIT", self._min_replicas_acked, ACKNOWLEDGE_TIMEOUT_MS),
            "INFO memory": ("INFO", "memory"),
            "INFO persistence": ("INFO", "persistence"),
        }
        replies = self._client.exchange(*commands.values())
        for reply in replies:
            if isinstance(reply, RedisError) and is_failover_error(reply):
                raise reply
        return dict(zip(commands, replies, strict=True))

    def _try_subscription(self) -> Iterator[AuditFinding]:
        subscription = self._client.open_subscription(self._keys.settled)
        try:
            subscription.read_response()
        except ResponseError as error:
            yield AuditFinding("SUBSCRIBE", self._keys.settled, _text(error))
        finally:
            subscription.disconnect()

    def _judge_confirmation(self, reply: Any) -> Iterator[str]:
        """Yield what is wrong with the reply to WAIT, where replicas are to confirm writes."""
        if not self._min_replicas_acked:
            return
        if isinstance(reply, RedisError):
            yield f"WAIT: {_text(reply)}"
        elif reply < self._min_replicas_acked:
            # Perhaps this primary was cut off, and another one has replaced it.
            self._client.drop_connections()
            yield (
                f"{reply} of {self._min_replicas_acked} replicas (MIN_REPLICAS_ACKED) confirmed"
                f" a write within {ACKNOWLEDGE_TIMEOUT_MS / 1000:g} s"
            )

    def _lacks_snapshots(self) -> bool:
        try:
            settings: dict[str, str] = self._client.execute("CONFIG", "GET", "save")
        except RedisError:
            # Managed services forbid CONFIG; their own pages say what they keep.
            return False
        return settings.get("save") == ""


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer of ``/readyz``: without anything ``failing``, an event could be accepted now."""

    failing: tuple[str, ...]
    warnings: tuple[str, ...]


class Readiness:
    """Answers of one process to probes: one audit at a time, which stands for two seconds."""

    def __init__(
        self, auditor: Auditor, *, allow_unsafe: bool, standing_seconds: float = STANDING_SECONDS
    ) -> None:
        self._auditor = auditor
        self._allow_unsafe = allow_unsafe
        self._standing_seconds = standing_seconds
        self._auditing = BoundedSemaphore()
        self._answer = Ready((), ())
        self._stands_until = -math.inf
        self._generation = 0

    def check(self) -> Ready:
        """Return the standing answer, or audit Redis for a new one."""
        with self._auditing:
            is_over = time.monotonic() >= self._stands_until
            # Another command has met a fail-over since Redis was well.
            is_doubtful = self._generation != self._auditor.generation and not self._answer.failing
            if is_over or is_doubtful:
                self._answer = self._audit()
                self._stands_until = time.monotonic() + self._standing_seconds
                self._generation = self._auditor.generation
            return self._answer

    def _audit(self) -> Ready:
        try:
            audit = self._auditor.audit()
        except StoreRefused as error:
            return Ready((f"redis: {error}",), ())
        except StoreUnavailable:
            return Ready(("redis: does not answer",), ())  # the reason may name our network
        faults = tuple(f"redis: {fault}" for fault in audit.faults)
        failing = tuple(f"redis: {refusal}" for refusal in audit.refusals)
        warnings = tuple(f"redis: {warning}" for warning in audit.warnings)
        if self._allow_unsafe:
            return Ready(failing, faults + warnings)
        return Ready(faults + failing, warnings)


def _refused_commands(replies: dict[str, Any], keys: Keys) -> Iterator[AuditFinding]:
    """Yield the refusals within the script, and those of what was tried beside it."""
    tag, audit = keys.tag, keys.audit
    places = {"EVAL": tag, "EVALSHA": tag, "MGET": audit, "BLPOP": audit, "PING": ""}
    for command, place in places.items():
        reply = replies[command]
        # The digest of a script that EVAL could not load is not known: that is no refusal.
        if isinstance(reply, RedisError) and not isinstance(reply, NoScriptError):
            yield AuditFinding(command, place, _text(reply))
    if isinstance(replies["EVAL"], list):
        yield from (AuditFinding(*refusal) for refusal in replies["EVAL"])


def _describe(refusals: Iterable[AuditFinding]) -> Iterator[str]:
    """Yield a sentence for each reply: what is forbidden or refused, and where."""
    by_reply: dict[str, list[AuditFinding]] = {}
    for refusal in refusals:
        by_reply.setdefault(refusal.reply, []).append(refusal)
    for reply, same in by_reply.items():
        commands = ", ".join(dict.fromkeys(refusal.command for refusal in same))
        places = ", ".join(dict.fromkeys(refusal.place for refusal in same if refusal.place))
        yield f"{commands} on {places}: {reply}" if places else f"{commands}: {reply}"


def _text(error: RedisError) -> str:
    return error_reply(error) or str(error)


def _unjudged(what: str, reply: Any) -> str:
    why = _text(reply) if isinstance(reply, RedisError) else "INFO leaves it out"
    return f"{what} could not be judged: {why}"


def _read_info(reply: Any) -> dict[str, str]:
    """Parse a reply to INFO, https://redis.io/docs/latest/commands/info/"""
    if not isinstance(reply, str):
        return {}
    lines = (line.partition(":") for line in reply.splitlines() if ":" in line)
    return {name: value for name, _, value in lines}
