"""One call, from a grant to a settled record: call, log, settle."""

import time

import gevent
import structlog

from app.channel.attempt import CallContext
from app.channel.client import ChannelClient
from app.channel.tasks import ChannelTasks
from app.chats.errors import CommandRefused, StoreUnavailable
from app.chats.grant import Grant, Probe
from app.store.grants import GrantStore
from app.telemetry.trace_context import Trace
from app.worker.reporter import CallReporter
from app.worker.spool import CallResult, Spool

log = structlog.get_logger("relay.worker")

# A call that begins with less than this share of its deadline left would mostly end unknown.
MIN_SHARE_LEFT = 0.5
RETRY_SECONDS = 0.5


class CallRunner:
    """Makes calls, each in a greenlet of its own, and settles their results."""

    def __init__(
        self,
        grants: GrantStore,
        channel: ChannelClient,
        tasks: ChannelTasks,
        spool: Spool,
        reporter: CallReporter,
        *,
        deadline_seconds: float,
    ) -> None:
        self._grants = grants
        self._channel = channel
        self._tasks = tasks
        self._spool = spool
        self._reporter = reporter
        self._deadline_seconds = deadline_seconds

    def run(self, grant: Grant, deadline: float) -> None:
        """Call for ``grant`` until ``deadline`` (on ``time.monotonic``), and settle the result."""
        try:
            if deadline - time.monotonic() < self._deadline_seconds * MIN_SHARE_LEFT:
                self.give_back(grant.token)
                return
            result = self._call(grant, deadline)
            with self._spool.guard(result):  # I4: in a file unless it is settled
                self._reporter.report_call(result)  # the ids first
                if not result.is_logged:
                    self._spool.keep(result)
                self._settle(result)
        except StoreUnavailable as error:
            self._reporter.redis.report_failure(error)
        except Exception:
            log.exception("call_failed", event_id=grant.event_id)

    def probe(self, probe: Probe, deadline: float) -> None:
        """Read the channel, and report to the gate whether Channel.io serves us."""
        try:
            problem = self._channel.probe(deadline=deadline)
            result = self._grants.report_probe(probe.token, problem=problem)
            if problem:
                log.warning("probe_failed", problem=problem)
            else:
                log.info("probe_succeeded", result=result)
        except StoreUnavailable as error:
            self._reporter.redis.report_failure(error)
        except Exception:
            log.exception("probe_broke")

    def give_back(self, token: str) -> None:
        """Give back the grant under ``token``: nothing was sent. Retries until Redis replies.

        While the process stops it does so as well: until the process ends, Redis may come back.
        """
        while True:
            try:
                self._grants.release(token)
            except StoreUnavailable as error:
                self._reporter.redis.report_failure(error)
                gevent.sleep(RETRY_SECONDS)
            else:
                return

    def catch_up(self) -> bool:
        """Settle what is in the spool, if need be; return whether new grants may be taken.

        They may not while Redis does not respond, nor while a result is in none of log, spool and
        Redis. A result that Redis refuses holds up no other.
        """
        if self._spool.is_behind:
            self.drain()
        return not self._spool.is_behind

    def drain(self) -> bool:
        """Settle what is in the spool; return whether Redis confirmed all of it."""
        try:
            self._spool.drain(self._settle_kept)
        except CommandRefused as error:
            self._reporter.spool.report_failure(error)
        except StoreUnavailable as error:
            self._reporter.redis.report_failure(error)
        except Exception:
            log.exception("spool_failed")
        else:
            self._reporter.spool.report_success()
            return True
        return False

    def _settle_kept(self, result: CallResult) -> None:
        """Settle a result of the spool, and log it if need be."""
        try:
            self._settle(result)
        except Exception:
            if not result.is_logged:
                self._reporter.log_call(result)
            raise
        if not result.is_logged:
            self._reporter.log_settled_call(result)

    def _call(self, grant: Grant, deadline: float) -> CallResult:
        began = time.monotonic()
        trace = Trace.from_traceparent(grant.traceparent)
        call = CallContext(deadline, trace.traceparent)
        outcome = self._tasks.perform(grant, call)
        return CallResult(grant, outcome, trace, time.monotonic() - began, call.requests)

    def _settle(self, result: CallResult) -> None:
        settled = self._grants.settle(result.grant, result.outcome, requests=result.requests)
        self._reporter.report_settlement(result, settled)
