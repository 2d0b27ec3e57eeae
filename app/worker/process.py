"""A worker process: its threads, and how it stops."""

import signal
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread

import structlog

from app.chats.errors import StoreUnavailable
from app.worker.loop import WorkLoop
from app.worker.spool import Spool

log = structlog.get_logger("relay.worker")

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
DRAIN_SECONDS = 1.0
MAX_DRAIN_SECONDS = 30.0
# After the last call's deadline: time to settle it. The rest of the two seconds is for the end of
# the interpreter, which takes most of one on a busy host.
STOP_MARGIN_SECONDS = 1.0


class WorkerProcess:
    """Runs one loop in each of ``concurrency`` threads, and settles the spool in one more.

    ``beside`` runs in threads of its own, to the very end, and is not waited for.
    """

    def __init__(
        self,
        loop: WorkLoop,
        spool: Spool,
        *,
        concurrency: int,
        deadline_seconds: float,
        stopping: Event,
        beside: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._beside = beside
        self._loop = loop
        self._spool = spool
        self._concurrency = concurrency
        self._deadline_seconds = deadline_seconds
        self._stopping = stopping

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then take nothing more, finish the calls, and return.

        It returns within the call's deadline and two seconds.
        """
        # Blocked here and so in every thread that is started from now on. One that was started
        # before must have blocked them itself: the signal would end the process there. A handler
        # could deadlock in the event that it sets.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        if signal.sigpending() & STOP_SIGNALS:
            self._stopping.set()  # told while it started, it takes nothing at all
        self._spool.check()
        for target in self._beside:
            self._start(target)
        # Daemons: a thread that waits for a Redis that is gone must not keep the process.
        threads = [self._start(self._loop.run) for _ in range(self._concurrency)]
        threads.append(self._start(self._drain))
        log.info("worker_started", concurrency=self._concurrency)
        signal.sigwait(STOP_SIGNALS)
        self._stopping.set()  # first: what is posted after the line is not for us
        log.info("worker_stopping")
        self._join(threads)
        self._spool.keep_held()
        log.info("worker_stopped")

    def _start(self, target: Callable[[], None]) -> Thread:
        thread = Thread(target=target, daemon=True)
        thread.start()
        return thread

    def _join(self, threads: list[Thread]) -> None:
        stop_by = time.monotonic() + self._deadline_seconds + STOP_MARGIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, stop_by - time.monotonic()))

    def _drain(self) -> None:
        """Settle what Redis could not take before: now and then, and once more at the end."""
        pause_seconds = DRAIN_SECONDS
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(pause_seconds)
            pause_seconds = self._drain_once(pause_seconds)

    def _drain_once(self, pause_seconds: float) -> float:
        try:
            self._spool.drain(self._loop.settle)
        except StoreUnavailable as error:
            log.warning("spool_not_settled", reason=str(error))
            return min(2 * pause_seconds, MAX_DRAIN_SECONDS)
        except Exception:
            log.exception("spool_failed")
            return MAX_DRAIN_SECONDS
        return DRAIN_SECONDS
