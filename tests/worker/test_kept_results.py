"""Tests of kept results: they are settled before the next take.

Found by killing workers just after they had spooled a result: the next one first declared the call
lost, and only then read in its own directory what had come of it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
import requests
from gevent.event import Event
from gevent.pool import Pool

from app.chats.errors import StoreUnavailable
from app.chats.grant import SettleEffect, SettleResult, TakeResult
from app.store.grants import GrantStore
from app.worker.call import CallRunner
from app.worker.metrics import WorkerMetrics
from app.worker.reporter import CallReporter
from app.worker.spool import CallResult
from app.worker.taker import Taker
from tests.channel.calls import client_of
from tests.scraped import samples
from tests.worker.conftest import OpenSpool, close
from tests.worker.faults import StoreFault
from tests.worker.results import TRACE, result_of
from tests.worker.test_spans import take_line
from tests.worker.workbench import PATIENCE_SECONDS, Workbench
from tools.model.outcomes import CREATED, created
from tools.model.store_driver import StoreDriver
from tools.stack.processes import free_port

CONSENTING = {"on_unknown": "recreate"}


def overdue_result(store: StoreDriver, event_id: str = "e1") -> CallResult:
    """The result of a call whose worker counts as lost by now."""
    grant = store.granted(event_id, **CONSENTING)
    store.lose_worker(event_id)
    return CallResult(grant, created(f"chat-of-{event_id}"), TRACE, 0.1)


def leave(directory: Path, open_spool: OpenSpool, *results: CallResult) -> None:
    """Let a process end that has kept these."""
    dead = open_spool(directory)
    for result in results:
        dead.keep(result)
    close(dead)


def make_newer(bench: Workbench, event_id: str) -> None:
    """Let a newer release have written the record."""
    bench.store.set_fields(event_id, v=3)


def make_wrong(bench: Workbench, event_id: str) -> None:
    """Let something that is no index be in the place of its user's."""
    bench.client.set(bench.store.key(f"user:user-of-{event_id}"), "no index")


def assert_settled_once(bench: Workbench, event_id: str = "e1") -> None:
    """It is opened, nothing was found to be lost, and nothing was called."""
    record = bench.wait_for(event_id, "opened")
    assert [] == bench.store.history(event_id)
    assert (1, False) == (record.attempts, record.possible_orphan)
    assert 0 == len(bench.chats_of("u1"))


def test_what_a_dead_process_kept_is_settled_before_the_first_take(
    bench: Workbench, open_spool: OpenSpool
) -> None:
    """Its event is not called again by consent: the result was there all the time.

    What else may be there stops no worker.
    """
    bench.store.open_gate()
    leave(bench.spool, open_spool, overdue_result(bench.store))
    os.mkfifo(bench.spool / "a.jsonl")
    (bench.spool / "z.jsonl").symlink_to(bench.spool / "a.jsonl")

    bench.start()

    assert_settled_once(bench)


class StoreInOutage(GrantStore):
    """A store whose ``takes`` fail; a process with one result ends during the first.

    ``done`` has what was done, in order.
    """

    def __init__(self, directory: Path, open_spool: OpenSpool, stopping: Event) -> None:
        """Be there at first."""
        self.done: list[str] = []
        self._directory = directory
        self._open_spool = open_spool
        self._stopping = stopping

    def take(self, *_: Any, **__: Any) -> TakeResult:
        """Fail."""
        if self.done:
            self._stopping.set()
        else:
            leave(self._directory, self._open_spool, result_of("e1"))
        self.done.append("take")
        raise StoreUnavailable("away")

    def release(self, *_: Any) -> str:
        """Release."""
        return "ignored"

    def settle(self, *_: Any) -> SettleResult:
        """Settle."""
        self.done.append("settle")
        return SettleResult(SettleEffect.OPENED, None)


def test_what_was_left_during_an_outage_is_settled_before_the_next_take(
    tmp_path: Path, open_spool: OpenSpool
) -> None:
    """Another process ended meanwhile, and its calls are overdue."""
    stopping = Event()
    store, spool = StoreInOutage(tmp_path, open_spool, stopping), open_spool(tmp_path)
    reporter = CallReporter(WorkerMetrics(), take_line)
    calls = CallRunner(store, client_of("http://unused"), spool, reporter, deadline_seconds=5)
    taker = Taker(store, calls, spool, reporter, Pool(1), deadline_seconds=5, stopping=stopping)

    gevent.spawn(taker.run).join(PATIENCE_SECONDS)

    assert ["take", "settle", "take"] == store.done


def test_nothing_is_taken_while_redis_does_not_confirm_what_is_kept(
    bench: Workbench, open_spool: OpenSpool
) -> None:
    """It fails for a moment, and would confirm a take in the next one."""
    bench.store.open_gate()
    leave(bench.spool, open_spool, overdue_result(bench.store))

    bench.start(before={"settle": [StoreFault.LOSE]})

    assert_settled_once(bench)


@pytest.mark.parametrize("refuse", [make_newer, make_wrong], ids=["newer", "wrong type"])
def test_a_result_that_is_never_taken_holds_up_no_other(
    bench: Workbench, open_spool: OpenSpool, refuse: Callable[[Workbench, str], None]
) -> None:
    """Redis refuses it for as long as its record is so: others are settled and called meanwhile."""
    bench.store.open_gate()
    refused = CallResult(
        bench.store.granted("refused", user_id="user-of-refused"), CREATED, TRACE, 0.1
    )
    refuse(bench, "refused")
    leave(bench.spool, open_spool, refused, overdue_result(bench.store))
    bench.store.accept("e2", user_id="called")

    bench.start()

    bench.wait_for("e2", "opened")
    assert_settled_once(bench)
    assert refused.grant.token in bench.spooled()


def test_a_kept_result_of_an_earlier_life_changes_nothing(
    bench: Workbench, open_spool: OpenSpool
) -> None:
    """Its event is over, and another user's has its id: that one is called, and gets its own chat.

    The late answer is logged and counted, and its file is gone.
    """
    bench.store.open_gate()
    grant = bench.store.granted("e1", user_id="alice")
    bench.client.flushall()
    bench.store.accept("e1", user_id="bob")
    leave(bench.spool, open_spool, CallResult(grant, created("chat-of-alice"), TRACE, 0.1))
    port = free_port()

    bench.start_ordinary(METRICS_PORT=str(port))

    record = bench.wait_for("e1", "opened")
    assert ("bob", bench.chats_of("bob")) == (record.user_id, [record.chat and record.chat.id])
    line = bench.worker.wait_for_line("stale_answer", level="warning")
    assert (grant.token, grant.life_ms, "chat-of-alice") == (
        line["token"],
        line["life"],
        line["chat_id"],
    )
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS).text
    assert 1 == samples(text)["relay_stale_answers_total"]
    assert "" == bench.spooled()
