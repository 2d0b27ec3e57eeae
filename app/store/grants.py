"""The grants of calls: take one, settle its outcome, give it back. Each method runs one script."""

import random
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from redis.exceptions import RedisError

from app.chats.errors import RecordFromNewerRelease, StoreUnavailable
from app.chats.event import OnUnknown
from app.chats.grant import (
    Decision,
    Grant,
    NoWork,
    Probe,
    SettleEffect,
    SettleResult,
    TakeResult,
    Task,
    new_token,
)
from app.chats.outcome import (
    Created,
    Denied,
    Done,
    LookFailed,
    NotSent,
    Outcome,
    OutcomeKind,
    Refused,
    Resolved,
    Throttled,
    Unknown,
    retry_delay_ms,
)
from app.chats.record import Failure, FailureCode
from app.store.client import COMMAND_SECONDS, RedisClient, deadline
from app.store.keys import Keys
from app.store.records import chat_fields, failure_fields, parse_fields
from app.store.scripts import Scripts

# Outcomes after which the same is tried again, with backoff.
RETRIED = {OutcomeKind.NOT_SENT, OutcomeKind.LOOK_FAILED}
# Between a call's deadline and the moment at which its worker counts as lost.
LEASE_MARGIN_MS = 5000

EXPIRED = Failure(FailureCode.EXPIRED, "The event waited longer than EVENT_DEADLINE_SECONDS.")
LOST = Failure(
    FailureCode.WORKER_LOST,
    "The worker was lost while it called; it is unknown whether a chat was made.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the gate, for all replicas together; durations in milliseconds."""

    rate_per_second: float
    burst: int
    threshold: int
    cooldown_ms: int


class GrantStore:
    """The schedule of calls, shared by all workers.

    ``way`` is a hash of all that this worker's calls have in common.

    Every method may be repeated after a lost reply, and raises ``StoreUnavailable`` where Redis did
    not confirm it.
    """

    def __init__(
        self,
        client: RedisClient,
        keys: Keys,
        *,
        way: str,
        limits: Limits,
        call_deadline_ms: int,
        event_deadline_ms: int,
        on_unknown: OnUnknown,
        min_replicas_acked: int = 0,
    ) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client, keys, min_replicas_acked=min_replicas_acked)
        self._min_replicas_acked = min_replicas_acked
        self._worker = new_token()
        self._way = way
        self._limits = limits
        self._lease_ms = call_deadline_ms + LEASE_MARGIN_MS
        self._event_deadline_ms = event_deadline_ms
        self._on_unknown = on_unknown

    def take(self, token: str, *, may_grant: bool = True) -> TakeResult:
        """Take the next grant under ``token``; the same token gets the same grant.

        I1: a grant is returned only where ``calling(attempt)`` is stored and acknowledged. Raises
        ``StoreUnavailable`` where one may stand, or may yet come to stand: ``release`` ends that.

        With ``may_grant`` false, for a worker without a free slot, only lost workers and expired
        events are found. Nothing is granted then, so nothing need be released.
        """
        argument = {
            "token": token,
            "may_grant": may_grant,
            "worker": self._worker,
            "way": self._way,
            "lease_ms": self._lease_ms,
            "event_deadline_ms": self._event_deadline_ms,
            "on_unknown": self._on_unknown,
            "recreate_delay_ms": retry_delay_ms(1),
            "rate_per_second": self._limits.rate_per_second,
            "burst": self._limits.burst,
            "cooldown_ms": self._limits.cooldown_ms,
            "expired": failure_fields(EXPIRED),
            "lost": failure_fields(LOST),
            "min_replicas_acked": self._min_replicas_acked,
        }
        # Repeated, a take that is only delayed would grant a call that no worker makes.
        reply = self._scripts.run("take", argument, retry=not may_grant)
        lost_event_ids, expired_event_ids, kind, *rest = reply
        decision: Decision
        match kind:
            case "grant":
                decision = _read_grant(token, *rest)
            case "probe":
                decision = Probe(token)
            case _:
                decision = NoWork(rest[0], is_idle=kind == "idle")
        return TakeResult(decision, lost_event_ids, expired_event_ids)

    def settle(self, grant: Grant, outcome: Outcome, *, requests: int = 1) -> SettleResult:
        """Store the outcome of the grant's call. The same settle twice is one settle.

        ``requests`` is how many were sent for it.

        Raises ``RecordFromNewerRelease`` where another release wrote the record.
        """
        return settle(
            self._scripts,
            grant,
            outcome,
            requests=requests,
            limits=self._limits,
            way=self._way,
            on_unknown=self._on_unknown,
        )

    def release(self, token: str) -> str:
        """Give back what was or will be granted under ``token``: nothing was sent for it.

        Return ``released``, or ``ignored`` where no grant stands.
        """
        result: str = self._scripts.run("release", {"token": token}, acknowledge=False)
        return result

    def report_probe(self, token: str, *, problem: str | None) -> str:
        """Report to the gate what the probe under ``token`` found; no ``problem`` is good.

        Return ``seen`` (the way is good), ``half_open``, ``blocked`` or ``ignored``.
        """
        argument = {
            "token": token,
            "way": self._way,
            "cooldown_ms": self._limits.cooldown_ms,
            "random": _jitter(),
        }
        if problem is not None:
            argument["problem"] = problem
        result: str = self._scripts.run("report_probe", argument, acknowledge=False)
        return result

    def wait_for_event(self, seconds: float) -> None:
        """Return when an event was accepted, or after ``seconds``; at once for none."""
        if seconds <= 0:  # to BLPOP that is no limit
            return
        try:
            with deadline(seconds + COMMAND_SECONDS):
                self._client.execute("BLPOP", self._keys.bell, seconds)
        except RedisError as error:
            raise StoreUnavailable(f"bell: {error}") from error


def settle(
    scripts: Scripts,
    grant: Grant,
    outcome: Outcome,
    *,
    requests: int = 1,
    limits: Limits | None = None,
    way: str | None = None,
    on_unknown: OnUnknown = OnUnknown.HOLD,
) -> SettleResult:
    """Settle an outcome. ``limits`` and ``way`` may be left out for ``Created``.

    Raises ``RecordFromNewerRelease`` where another release wrote the record.
    """
    argument: dict[str, Any] = {
        "event_id": grant.event_id,
        "attempt": grant.attempt,
        "token": grant.token,
        "kind": outcome.kind,
        "stored_fields": grant.stored_fields,
        "on_unknown": on_unknown,
        "recreate_delay_ms": retry_delay_ms(1),
        **_fields_of(outcome),
    }
    if grant.task is not Task.CREATE:
        argument["task"] = grant.task
    if outcome.kind in RETRIED or (grant.task is not Task.CREATE and isinstance(outcome, Refused)):
        tries = grant.attempts if grant.task is Task.CREATE else grant.attempt
        argument["delay_ms"] = retry_delay_ms(tries)
    if requests > 1:
        argument["requests"] = requests
    if way is not None:
        argument["way"] = way
    if limits is not None:
        argument["rate_per_second"] = limits.rate_per_second
        argument["burst"] = limits.burst
        argument["threshold"] = limits.threshold
        argument["cooldown_ms"] = limits.cooldown_ms
        argument["random"] = _jitter()
    reply, breaker, age_ms = scripts.run("settle", argument)
    effect = SettleEffect(reply)
    if effect is SettleEffect.NEWER:
        raise RecordFromNewerRelease("a newer release of the relay wrote the record")
    return SettleResult(effect, breaker or None, age_ms / 1000)


def _fields_of(outcome: Outcome) -> dict[str, Any]:
    """Build the fields that only some kinds of outcomes have."""
    fields: dict[str, Any] = {}
    if isinstance(outcome, Refused | Denied | Unknown):
        # One that is denied twice for its own sake is rejected.
        code = FailureCode.REJECTED if isinstance(outcome, Denied) else outcome.code
        failure = Failure(code, outcome.detail, outcome.upstream_status)
        fields["failure"] = failure_fields(failure)
    if isinstance(outcome, Denied | NotSent | LookFailed | Unknown) and outcome.reason:
        fields["reason"] = outcome.reason
    if isinstance(outcome, Refused | Done) and outcome.has_acted:
        fields["has_acted"] = True
    match outcome:
        case Created(chat=chat):
            fields["chat"] = chat_fields(chat)
        case Throttled(retry_after_ms):
            fields["delay_ms"] = retry_after_ms
        case Resolved(user_id):
            fields["user_id"] = user_id
        case Done(message_id=str(message_id)):
            fields["message_id"] = message_id
    return fields


def _read_grant(
    token: str, event_id: str, record: str, task: str = Task.CREATE, text: str | None = None
) -> Grant:
    fields = parse_fields(record)
    return Grant(
        event_id,
        fields.get("user_id"),
        fields["attempt"],
        token,
        fields,
        Task(task),
        None if text is None else SecretStr(text),
    )


def _jitter() -> float:
    return random.random()  # noqa: S311 - no secret
