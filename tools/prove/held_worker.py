"""A worker whose calls are held at crash points: ``python -m tools.prove.held_worker``."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import sys  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402

from app.bootstrap.worker import (  # noqa: E402
    build_channel_client,
    build_grant_store,
    compose_worker,
    prepare_process,
)
from app.channel.attempt import CallContext  # noqa: E402
from app.channel.client import ChannelClient  # noqa: E402
from app.chats.grant import Grant, SettleResult, TakeResult  # noqa: E402
from app.chats.outcome import Outcome  # noqa: E402
from app.store.grants import GrantStore  # noqa: E402
from app.worker.metrics import WorkerMetrics  # noqa: E402
from app.worker.process import WorkerProcess  # noqa: E402
from app.worker.reporter import CallReporter  # noqa: E402
from app.worker.spool import CallResult, Spool  # noqa: E402
from config.logging import configure, write_event  # noqa: E402
from config.settings import WorkerSettings, load_or_exit  # noqa: E402
from tools.prove.crash_points import DurableStep, Edge, Holder  # noqa: E402


class HeldGrants(GrantStore):
    """The grant store, with holds around a take and a settle."""

    def __init__(self, grants: GrantStore, holder: Holder) -> None:
        vars(self).update(vars(grants))  # the same client, limits and keys
        self._holder = holder

    def take(self, token: str, *, may_grant: bool = True) -> TakeResult:
        """Take a grant, and hold the taker with the last grant that the hold counts.

        The process has one taker: if it were held with an earlier grant, it would take no other.
        The calls of earlier grants are held at their start.
        """
        self._holder.pass_point(Edge.BEFORE, DurableStep.GRANTED)
        taken = super().take(token, may_grant=may_grant)
        is_grant = isinstance(taken.decision, Grant)
        if is_grant and self._holder.arrive(Edge.AFTER, DurableStep.GRANTED):
            self._holder.wait(Edge.AFTER, DurableStep.GRANTED)
        return taken

    def settle(self, grant: Grant, outcome: Outcome, *, requests: int = 1) -> SettleResult:
        """Settle an outcome."""
        self._holder.pass_point(Edge.BEFORE, DurableStep.SETTLED)
        settled = super().settle(grant, outcome, requests=requests)
        self._holder.pass_point(Edge.AFTER, DurableStep.SETTLED)
        return settled


class HeldChannel(ChannelClient):
    """The client of Channel.io, with holds around a call."""

    def __init__(self, channel: ChannelClient, holder: Holder) -> None:
        vars(self).update(vars(channel))
        self._holder = holder

    def open_chat(self, user_id: str, call: CallContext) -> Outcome:
        """Open a chat."""
        self._holder.wait(Edge.AFTER, DurableStep.GRANTED)
        self._holder.pass_point(Edge.BEFORE, DurableStep.SENT)
        outcome = super().open_chat(user_id, call)
        self._holder.pass_point(Edge.AFTER, DurableStep.ANSWERED)
        return outcome


class HeldReporter(CallReporter):
    """The reports of calls, with holds around the canonical line."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(WorkerMetrics(), partial(write_event, "relay.worker"))
        self._holder = holder

    def log_call(self, result: CallResult) -> None:
        """Write the canonical line of a call."""
        self._holder.pass_point(Edge.BEFORE, DurableStep.LOGGED)
        super().log_call(result)
        self._holder.pass_point(Edge.AFTER, DurableStep.LOGGED)


class HeldSpool(Spool):
    """The spool, with holds around keeping a result."""

    def __init__(self, directory: Path, holder: Holder) -> None:
        super().__init__(directory)
        self._holder = holder

    def keep(self, result: CallResult) -> None:
        """Write a result to the process's file."""
        self._holder.pass_point(Edge.BEFORE, DurableStep.SPOOLED)
        super().keep(result)
        self._holder.pass_point(Edge.AFTER, DurableStep.SPOOLED)


def held_worker(settings: WorkerSettings) -> WorkerProcess:
    """Build a worker process over the held parts."""
    prepare_process(settings)
    holder = Holder.of_environment()
    return compose_worker(
        settings,
        HeldGrants(build_grant_store(settings), holder),
        HeldChannel(build_channel_client(settings), holder),
        HeldSpool(settings.spool_dir, holder),
        HeldReporter(holder),
        background=[],
    )


if __name__ == "__main__":
    settings = load_or_exit(WorkerSettings, os.environ)
    configure(settings.log_level)
    sys.exit(held_worker(settings).run())
