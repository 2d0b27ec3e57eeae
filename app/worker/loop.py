"""One worker thread: take, call, settle, and again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Protocol

import structlog

from app.chats.errors import StoreUnavailable
from app.chats.grant import Grant, Probe, Reply, Settled, Taken, Wait, new_token
from app.chats.outcome import Outcome
from app.chats.steps import Step, after, before
from app.chats.trace import Trace
from app.worker.journal import Journal
from app.worker.spool import Answer, Spool

log = structlog.get_logger("relay.worker")

# A call that begins with less than this share of its deadline left would mostly end unknown.
MIN_SHARE_LEFT = 0.5
RETRY_SECONDS = 0.5
NOTHING = Reply(Wait(0, is_idle=False), lost=(), expired=())


class Calls(Protocol):
    """The schedule of calls; methods raise ``StoreUnavailable`` where Redis did not confirm."""

    def take(self, token: str) -> Reply:
        """Ask for the next call; the same token gets the same grant."""

    def settle(self, grant: Grant, outcome: Outcome) -> Settled:
        """Store what a call came to; twice is once."""

    def settle_and_take(self, grant: Grant, outcome: Outcome, token: str) -> tuple[Settled, Reply]:
        """Do both at once."""

    def release(self, token: str) -> str:
        """Give back what was granted under a token: nothing was sent."""

    def probed(self, token: str, *, problem: str | None) -> str:
        """Tell the gate what a probe found."""

    def listen(self, seconds: float) -> None:
        """Return when an event was accepted, or in time."""


class Channel(Protocol):
    """Channel.io, asked once and answered by the deadline, on ``time.monotonic``."""

    def open_chat(self, user_id: str, *, deadline: float, traceparent: str) -> Outcome:
        """Ask once for a new chat; raises nothing."""

    def probe(self, *, deadline: float) -> str | None:
        """Ask whether Channel.io serves us: what is wrong, or nothing."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was taken; and by when, on ``time.monotonic``, the call that it may allow is over."""

    taken: Taken
    deadline: float


class WorkLoop:
    """What each thread of a worker runs until it is told to stop."""

    def __init__(
        self,
        calls: Calls,
        channel: Channel,
        spool: Spool,
        journal: Journal,
        *,
        deadline_seconds: float,
        stopping: Event,
    ) -> None:
        self._calls = calls
        self._channel = channel
        self._spool = spool
        self._journal = journal
        self._deadline_seconds = deadline_seconds
        self._stopping = stopping

    def run(self) -> None:
        """Work until stopped; what goes wrong with one event leaves it to the schedule."""
        work = self._catch_up
        while not self._stopping.is_set():
            try:
                work()
                work = self._work
            except StoreUnavailable as error:
                log.warning("redis_unavailable", reason=str(error))
                work = self._catch_up
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("worker_failed")
                work = self._work
                self._stopping.wait(RETRY_SECONDS)

    def settle(self, answer: Answer) -> None:
        """Settle a call's outcome. Raises ``StoreUnavailable``; settling it again is harmless."""
        before(Step.SETTLED)
        settled = self._calls.settle(answer.grant, answer.outcome)
        after(Step.SETTLED)
        self._journal.settled(answer, settled)

    def _catch_up(self) -> None:
        """Settle what is kept, at the start and whenever Redis was away, before anything is taken.

        Calls may be overdue by then: the next take gives them up for lost, and consent has them
        called again, while what they came to is here.
        """
        try:
            self._spool.drain(self.settle)
        except StoreUnavailable as error:
            # Redis is away, which a take will find as well; or it is this answer that is refused.
            log.warning("spool_not_settled", reason=str(error))

    def _work(self) -> None:
        turn = self._next_turn(self._take)
        while isinstance(turn.taken, Grant):
            turn = self._call(turn.taken, turn.deadline)
        match turn.taken:
            case Probe(token):
                self._probe(token, turn.deadline)
            case Wait(ms, is_idle):
                self._wait(ms / 1000, is_idle=is_idle)

    def _next_turn(self, take: Callable[[str], Reply]) -> Turn:
        """``take`` under a new token."""
        # Noted before the take: however late its reply comes, the call ends before its lease.
        deadline = time.monotonic() + self._deadline_seconds
        token = new_token()
        try:
            reply = take(token)
        except StoreUnavailable as error:
            # A grant may stand under this token, and nothing was sent for it.
            log.warning("redis_unavailable", reason=str(error))
            self._give_back(token)
            self._catch_up()
            # Redis answers, and to a take perhaps with the same error for long: ask now and then.
            return Turn(Wait(round(RETRY_SECONDS * 1000), is_idle=False), deadline)
        self._journal.took(reply)
        return Turn(reply.taken, deadline)

    def _take(self, token: str) -> Reply:
        before(Step.GRANTED)
        return self._calls.take(token)

    def _give_back(self, token: str) -> None:
        while True:
            try:
                self._calls.release(token)
            except StoreUnavailable:
                # Also while stopping: until the process ends, Redis may come back.
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _is_late(self, deadline: float) -> bool:
        return deadline - time.monotonic() < self._deadline_seconds * MIN_SHARE_LEFT

    def _call(self, grant: Grant, deadline: float) -> Turn:
        """Call, if there is time for it; whatever comes of it is settled with the next take."""
        if self._is_late(deadline):
            self._give_back(grant.token)
            return Turn(NOTHING.taken, deadline)
        after(Step.GRANTED)
        began = time.monotonic()
        trace = Trace.after(grant.traceparent)
        outcome = self._channel.open_chat(
            grant.user_id, deadline=deadline, traceparent=trace.traceparent
        )
        after(Step.ANSWERED)
        took_seconds = time.monotonic() - began
        return self._next_turn(partial(self._end, Answer(grant, outcome), trace, took_seconds))

    def _end(self, answer: Answer, trace: Trace, seconds: float, token: str) -> Reply:
        """Log and settle what a call came to, and take the next under ``token``."""
        with self._spool.holding(answer):
            before(Step.LOGGED)
            self._journal.called(answer, trace, seconds)
            after(Step.LOGGED)
            if self._stopping.is_set():
                self.settle(answer)
                return NOTHING
            return self._settle_and_take(answer, token)

    def _settle_and_take(self, answer: Answer, token: str) -> Reply:
        before(Step.SETTLED)
        before(Step.GRANTED)
        settled, reply = self._calls.settle_and_take(answer.grant, answer.outcome, token)
        after(Step.SETTLED)
        self._journal.settled(answer, settled)
        return reply

    def _probe(self, token: str, deadline: float) -> None:
        problem = self._channel.probe(deadline=deadline)
        result = self._calls.probed(token, problem=problem)
        if problem:
            log.warning("probe_failed", problem=problem)
        else:
            log.info("probe_succeeded", result=result)

    def _wait(self, seconds: float, *, is_idle: bool) -> None:
        if seconds > 0 and is_idle:
            self._calls.listen(seconds)
        else:
            # The gate is shut: no event that is accepted meanwhile could be called.
            self._stopping.wait(seconds)
