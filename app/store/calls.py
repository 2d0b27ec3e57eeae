"""What a worker does with Redis: take a grant, settle its outcome, or give it back."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from redis.exceptions import RedisError

from app.chats.errors import RecordFromNewerRelease, StoreUnavailable
from app.chats.event import OnUnknown
from app.chats.grant import Grant, Probe, Reply, Settled, Taken, Wait
from app.chats.outcome import (
    Created,
    Denied,
    NotSent,
    Outcome,
    Refused,
    Throttled,
    Unknown,
    retry_delay_ms,
)
from app.chats.record import Failure, FailureCode
from app.store.client import Client
from app.store.keys import Keys
from app.store.records import as_fields, write_chat, write_failure
from app.store.scripts import Scripts

# Between a call's deadline and the moment at which its worker counts as lost.
LEASE_MARGIN_MS = 5000

EXPIRED = Failure(FailureCode.EXPIRED, "The event waited longer than EVENT_DEADLINE_SECONDS.")
LOST = Failure(
    FailureCode.WORKER_LOST,
    "The worker was lost while it called; nobody knows whether a chat was made.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the gate keeps to, for all replicas together; durations in milliseconds."""

    rate_per_second: float
    burst: int
    threshold: int
    cooldown_ms: int


class CallStore:
    """The schedule of calls, shared by all workers.

    Every method may be repeated after a lost reply, and raises ``StoreUnavailable`` where Redis did
    not confirm it.
    """

    def __init__(
        self,
        client: Client,
        blocking_client: Client,
        keys: Keys,
        *,
        base_url: str,
        limits: Limits,
        call_deadline_ms: int,
        event_deadline_ms: int,
        on_unknown: OnUnknown,
        min_replicas_acked: int = 0,
    ) -> None:
        self._blocking_client = blocking_client
        self._keys = keys
        self._scripts = Scripts(client, keys, min_replicas_acked=min_replicas_acked)
        self._gate = asdict(limits) | {"url": hashlib.sha256(base_url.encode()).hexdigest()[:16]}
        self._lease_ms = call_deadline_ms + LEASE_MARGIN_MS
        self._event_deadline_ms = event_deadline_ms
        self._on_unknown = on_unknown

    def take(self, token: str) -> Reply:
        """Ask for the next call under ``token``; the same token gets the same grant.

        I1: a grant is returned only where ``calling(attempt)`` is stored and acknowledged. Raises
        ``StoreUnavailable`` where one may stand, or may yet come to stand: ``release`` ends that.
        """
        told = self._scripts.run("take", self._common() | self._taking(token), again=False)
        return _read_reply(token, told)

    def settle(self, grant: Grant, outcome: Outcome) -> Settled:
        """Store what the call came to. The same settle twice is one settle."""
        return _read_settled(
            self._scripts.run("settle", self._common() | _settling(grant, outcome))
        )

    def settle_and_take(self, grant: Grant, outcome: Outcome, token: str) -> tuple[Settled, Reply]:
        """Do both, in this order and one round trip; one that is not confirmed leaves both open."""
        argument = self._common() | _settling(grant, outcome) | self._taking(token)
        settled, taken = self._scripts.run("settle_and_take", argument, again=False)
        return _read_settled(settled), _read_reply(token, taken)

    def release(self, token: str) -> str:
        """Give back whatever was or will be granted under ``token``: nothing was sent for it."""
        result: str = self._scripts.run("release", {"token": token}, acknowledge=False)
        return result

    def probed(self, token: str, *, problem: str | None) -> str:
        """Tell the gate what the probe under ``token`` found; no ``problem`` is good."""
        finding = {"token": token, "is_good": problem is None, "reason": "probe"}
        result: str = self._scripts.run("probed", self._common() | finding, acknowledge=False)
        return result

    def listen(self, seconds: float) -> None:
        """Return when an event was accepted, or after ``seconds``."""
        try:
            self._blocking_client.blpop([self._keys.bell], timeout=seconds)
        except RedisError as error:
            raise StoreUnavailable(f"bell: {error}") from error

    def _common(self) -> dict[str, Any]:
        return self._gate | {
            "on_unknown": self._on_unknown,
            "recreate_delay_ms": retry_delay_ms(1),
            "random": random.random(),  # noqa: S311 - jitter, not a secret
        }

    def _taking(self, token: str) -> dict[str, Any]:
        return {
            "next_token": token,
            "lease_ms": self._lease_ms,
            "event_deadline_ms": self._event_deadline_ms,
            "expired": write_failure(EXPIRED),
            "lost": write_failure(LOST),
        }


def _read_reply(token: str, told: Sequence[Any]) -> Reply:
    lost, expired, kind, *rest = told
    return Reply(_read_taken(token, kind, rest), lost, expired)


def _read_taken(token: str, kind: str, rest: Sequence[Any]) -> Taken:
    match kind:
        case "go":
            event_id, text = rest
            record = as_fields(text)
            return Grant(event_id, record["user"], int(record["attempt"]), token, record)
        case "probe":
            return Probe(token)
        case _:
            return Wait(int(rest[0]), is_idle=kind == "idle")


def _settling(grant: Grant, outcome: Outcome) -> dict[str, Any]:
    return {
        "event_id": grant.event_id,
        "attempt": grant.attempt,
        "token": grant.token,
        "kind": outcome.kind,
        "copy": grant.record,
    } | _describe(outcome, grant.attempts)


def _read_settled(told: Sequence[Any]) -> Settled:
    result, breaker, age_ms = told
    if result == "newer":
        raise RecordFromNewerRelease("a newer release of the relay wrote the record")
    return Settled(result, breaker or None, age_ms / 1000)


def _describe(outcome: Outcome, attempts: int) -> dict[str, Any]:
    match outcome:
        case Created(chat=chat):
            return {"chat_id": chat.id, "chat": write_chat(chat)}
        case Refused(code, detail, status):
            return {"failure": write_failure(Failure(code, detail, status))}
        case Unknown(code, detail, status):
            failure = write_failure(Failure(code, detail, status))
            return {"failure": failure, "reason": str(code)}
        case Throttled(retry_after_ms):
            return {"delay_ms": retry_after_ms}
        case Denied() | NotSent():
            return {"delay_ms": retry_delay_ms(attempts), "reason": outcome.reason}
