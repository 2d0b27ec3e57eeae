"""A worker whose parts fail as planned: ``python -m tests.worker.faulty_worker PLAN``.

It logs each call of the store as ``store_try`` with its ``name``, and as ``store_call`` if Redis
confirmed it.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 - everything is imported after the patch
import signal  # noqa: E402
import sys  # noqa: E402
from collections import deque  # noqa: E402
from typing import Any, TypeVar  # noqa: E402

import gevent  # noqa: E402
import structlog  # noqa: E402

from app.bootstrap.worker import (  # noqa: E402
    build_channel_client,
    build_grant_store,
    compose_worker,
    prepare_process,
)
from app.chats.errors import StoreUnavailable  # noqa: E402
from app.chats.grant import Grant, Probe, SettleResult, TakeResult  # noqa: E402
from app.chats.outcome import Outcome  # noqa: E402
from app.store.grants import GrantStore  # noqa: E402
from app.worker.metrics import WorkerMetrics  # noqa: E402
from app.worker.process import STOP_SIGNALS  # noqa: E402
from app.worker.reporter import CallReporter  # noqa: E402
from app.worker.spool import Spool  # noqa: E402
from config.logging import (  # noqa: E402
    PATIENCE_SECONDS,
    configure,
    write_event,
)
from config.settings import WorkerSettings, load_or_exit  # noqa: E402
from tests.worker.faults import Plan, Stall, StoreFault  # noqa: E402
from tools.stack import hanging_look_ups  # noqa: E402

DELAY_SECONDS = 0.6
HANG_SECONDS = 600
POLL_SECONDS = 0.01

T = TypeVar("T")
log = structlog.get_logger("relay.test")

_sync = os.fsync
_sleep = monkey.get_original("time", "sleep")


class FaultyGrants(GrantStore):
    """The store of ``settings``, with the faults of ``plan``."""

    def __init__(self, store: GrantStore, plan: Plan) -> None:
        """Share the store's client."""
        vars(self).update(vars(store))
        self._plan = plan
        self._before = {name: deque(faults) for name, faults in plan.before.items()}
        self._after = {name: deque(faults) for name, faults in plan.after.items()}

    def take(self, token: str, *, may_grant: bool = True) -> TakeResult:
        """Take."""
        self._begin("take")
        taken = super().take(token, may_grant=may_grant)
        name = "wait"
        if isinstance(taken.decision, Grant | Probe):
            name = type(taken.decision).__name__.lower()
        return self._end(name, taken, may_grant=may_grant)

    def settle(self, grant: Grant, outcome: Outcome, *, requests: int = 1) -> SettleResult:
        """Settle."""
        self._begin("settle")
        settled = super().settle(grant, outcome, requests=requests)
        return self._end("settle", settled, event_id=grant.event_id)

    def release(self, token: str) -> str:
        """Release."""
        self._begin("release")
        return self._end("release", super().release(token))

    def wait_for_event(self, seconds: float) -> None:
        """Listen to the bell."""
        self._begin("wait_for_event")
        super().wait_for_event(seconds)
        self._end("wait_for_event", None)

    def _begin(self, name: str) -> None:
        log.info("store_try", name=name)
        if self._plan.is_stalled(Stall.REDIS):
            raise StoreUnavailable("it is away")
        act(self._before.get(name))

    def _end(self, name: str, result: T, **fields: Any) -> T:
        log.info("store_call", name=name, **fields)
        act(self._after.get(name))
        return result


def act(faults: deque[StoreFault] | None) -> None:
    """Let the next fault happen, if there is one."""
    match faults.popleft() if faults else StoreFault.NONE:
        case StoreFault.LOSE:
            raise StoreUnavailable("the reply was lost")
        case StoreFault.BREAK:
            raise RuntimeError("a fault of our own")
        case StoreFault.END_GREENLET:
            raise gevent.GreenletExit
        case StoreFault.STOP:
            os.kill(os.getpid(), signal.SIGTERM)
            gevent.sleep(DELAY_SECONDS)
        case StoreFault.DELAY:
            gevent.sleep(DELAY_SECONDS)
        case StoreFault.HANG:
            gevent.sleep(HANG_SECONDS)


def run(settings: WorkerSettings, plan: Plan) -> int:
    """Run it as the worker's own entry does; return the exit code."""

    def write_line(event: str, **fields: Any) -> bool:
        if plan.is_stalled(Stall.LOG):
            gevent.sleep(PATIENCE_SECONDS)
            return False
        return write_event("relay.worker", event, **fields)

    def sync(descriptor: int) -> None:
        while plan.is_stalled(Stall.DISK):
            _sleep(POLL_SECONDS)
        _sync(descriptor)

    os.fsync = sync  # type: ignore[assignment]
    hanging_look_ups.install()
    prepare_process(settings)
    return compose_worker(
        settings,
        FaultyGrants(build_grant_store(settings), plan),
        build_channel_client(settings),
        Spool(settings.spool_dir),
        CallReporter(WorkerMetrics(), write_line),
        background=[],
    ).run()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    settings = load_or_exit(WorkerSettings, os.environ)
    configure(settings.log_level)
    sys.exit(run(settings, Plan.from_json(sys.argv[1])))
