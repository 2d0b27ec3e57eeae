"""The taker: one greenlet per worker process, which takes grants and starts their calls."""

import time

import gevent
import structlog
from gevent.event import Event
from gevent.pool import Pool

from app.chats.errors import StoreUnavailable
from app.chats.grant import Decision, Grant, NoWork, Probe, new_token
from app.store.grants import GrantStore
from app.worker.call import RETRY_SECONDS, CallRunner
from app.worker.reporter import CallReporter
from app.worker.spool import Spool

log = structlog.get_logger("relay.worker")

# How often a take without a free slot looks for lost workers.
FULL_TAKE_SECONDS = 1.0


class Taker:
    """Takes one grant after the other, and gives each to a greenlet of ``slots``.

    It survives every exception, and ends once ``stopping`` is set.
    """

    def __init__(
        self,
        grants: GrantStore,
        calls: CallRunner,
        spool: Spool,
        reporter: CallReporter,
        slots: Pool,
        *,
        deadline_seconds: float,
        stopping: Event,
    ) -> None:
        self._grants = grants
        self._calls = calls
        self._spool = spool
        self._reporter = reporter
        self._slots = slots
        self._deadline_seconds = deadline_seconds
        self._stopping = stopping
        self._has_probed = Event()

    def run(self) -> None:
        """Take until stopped."""
        while not self._stopping.is_set():
            try:
                self._take_next()
            except StoreUnavailable as error:
                self._reporter.redis.report_failure(error)
                # Processes may end in an outage.
                self._spool.needs_adoption = True
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("taker_failed")
                self._stopping.wait(RETRY_SECONDS)

    def _take_next(self) -> None:
        has_slot = self._slots.wait_available(FULL_TAKE_SECONDS) > 0
        # Right before: `take` would declare their overdue calls lost, and consent repeat them.
        if not self._calls.catch_up():
            self._stopping.wait(RETRY_SECONDS)
            return
        if self._stopping.is_set():
            return
        # Before the take (I2): however late its reply comes, the call ends before its lease.
        deadline = time.monotonic() + self._deadline_seconds
        decision = self._take(may_grant=has_slot)
        match decision:
            case Grant() as grant:
                # This greenlet owns the grant until the new one has begun: neither is ever killed.
                self._slots.spawn(self._calls.run, grant, deadline)
            case Probe() as probe:
                self._has_probed.clear()
                self._slots.spawn(self._probe, probe, deadline)
            case NoWork() if not has_slot:
                return  # a slot is what is waited for
            case NoWork(wait_ms, is_idle=True) if wait_ms > 0:  # zero would be without end
                self._grants.wait_for_event(wait_ms / 1000)
            case NoWork(wait_ms):
                # The gate is shut: an event that is accepted meanwhile could not be called. A probe
                # of this process may open it.
                gevent.wait([self._stopping, self._has_probed], wait_ms / 1000, count=1)
                self._has_probed.clear()

    def _probe(self, probe: Probe, deadline: float) -> None:
        try:
            self._calls.probe(probe, deadline)
        finally:
            self._has_probed.set()

    def _take(self, *, may_grant: bool) -> Decision:
        """Take under a new token; what is not to be used is given back, since nothing was sent."""
        token = new_token()
        try:
            taken = self._grants.take(token, may_grant=may_grant)
            self._reporter.report_take(taken)
        except Exception:
            if may_grant:  # it may stand, although no reply came, or one that breaks us
                self._calls.give_back(token)
            raise
        if self._stopping.is_set() and isinstance(taken.decision, Grant | Probe):
            # The process may end any moment, and would not wait for a call that begins now.
            self._calls.give_back(token)
            return NoWork(0, is_idle=False)
        return taken.decision
