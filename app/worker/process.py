"""A worker process: its greenlets, its signals, and its stop."""

import signal
import time
from collections.abc import Callable, Sequence

import gevent
import structlog
from gevent.event import Event
from gevent.pool import Pool

from app.worker.call import CallRunner
from app.worker.spool import Spool
from app.worker.taker import Taker

log = structlog.get_logger("relay.worker")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
EXIT_TAKER_ENDED = 1
DRAIN_SECONDS = 1.0
MAX_DRAIN_SECONDS = 30.0
# At a stop: for a take that is under way, also while Redis is away.
TAKER_STOP_SECONDS = 2.0
# For the last results, after the last call's deadline and without any call.
LAST_DRAIN_SECONDS = 0.5


class WorkerProcess:
    """Runs the taker, and a greenlet that settles the spool.

    ``slots`` holds the greenlets of calls; ``background`` runs to the very end and is not joined.
    """

    def __init__(
        self,
        taker: Taker,
        calls: CallRunner,
        spool: Spool,
        slots: Pool,
        *,
        deadline_seconds: float,
        stopping: Event,
        background: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._taker = taker
        self._calls = calls
        self._spool = spool
        self._slots = slots
        self._deadline_seconds = deadline_seconds
        self._stopping = stopping
        self._background = background
        self._exit_code = 0

    def run(self) -> int:
        """Work until a stop signal; take nothing more, finish the calls, return the exit code.

        It returns within the call's deadline and two seconds, and within three seconds where
        neither a call nor a probe is under way.
        """
        self._handle_signals()
        self._spool.check()
        for target in self._background:
            gevent.spawn(target)
        taker = gevent.spawn(self._taker.run)
        taker.link(self._end_without_taker)
        gevent.spawn(self._drain)
        log.info("worker_started", concurrency=self._slots.size)
        self._stopping.wait()
        calls_end_at = time.monotonic() + self._deadline_seconds + LAST_DRAIN_SECONDS
        log.info("worker_stopping")
        taker.join(TAKER_STOP_SECONDS)
        self._slots.join(max(calls_end_at - time.monotonic(), 0))
        gevent.spawn(self._calls.drain).join(LAST_DRAIN_SECONDS)
        self._spool.keep_all()
        log.info("worker_stopped")
        return self._exit_code

    def _handle_signals(self) -> None:
        for number in STOP_SIGNALS:
            gevent.signal_handler(number, self._stopping.set)
        # They were blocked since the start. After a stop that came meanwhile nothing is taken.
        if signal.sigpending() & set(STOP_SIGNALS):
            self._stopping.set()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _end_without_taker(self, _: gevent.Greenlet) -> None:
        """End the process with an error where the taker ended first: it would do nothing more."""
        if not self._stopping.is_set():
            log.error("taker_ended")
            self._exit_code = EXIT_TAKER_ENDED
            self._stopping.set()

    def _drain(self) -> None:
        """Settle what Redis could not take before, now and then."""
        pause_seconds = DRAIN_SECONDS
        while not self._stopping.wait(pause_seconds):
            if self._calls.drain() or self._spool.is_behind:
                pause_seconds = DRAIN_SECONDS
            else:  # what Redis refuses, it will mostly refuse again
                pause_seconds = min(2 * pause_seconds, MAX_DRAIN_SECONDS)
