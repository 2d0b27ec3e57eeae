"""What is kept is settled before anything is taken: a take might find its call overdue.

Found by killing workers just after they had spooled an answer: the next one first gave the call up
for lost, and only then read in its own directory what had come of it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.client import Client
from app.store.connect import connect_blocking
from app.worker.spool import Answer
from tests.stack.channel_io import ChannelIo
from tests.store.bench import Bench
from tests.store.outcomes import CREATED, created
from tests.worker.conftest import OpenSpool, close
from tests.worker.workbench import Workbench, lose_reply

CONSENTING = {"on_unknown": "recreate"}


@pytest.fixture
def bench(client: Client, redis_url: str, tmp_path: Path) -> Iterator[Workbench]:
    """A loop that does not run yet, and an open gate."""
    with ChannelIo() as stand_in, connect_blocking(redis_url) as blocking_client:
        bench = Workbench(client, blocking_client, stand_in, tmp_path / "spool")
        bench.store.open_gate()
        yield bench
        bench.stop()
    close(bench.spool)


def overdue_answer(store: Bench, event_id: str = "e1") -> Answer:
    """The answer of a call whose worker counts as lost by now."""
    answer = Answer(store.granted(event_id, **CONSENTING), created(f"chat-of-{event_id}"))
    store.lose_worker(event_id)
    return answer


def test_what_a_dead_process_kept_is_settled_before_the_first_take(
    bench: Workbench, open_spool: OpenSpool
) -> None:
    """Its event is not called again by consent: the answer was there all the time."""
    dead = open_spool(bench.directory)
    dead.keep(overdue_answer(bench.store))
    close(dead)

    bench.start()

    record = bench.wait_for("e1", "opened")
    assert [] == bench.store.history()
    assert (1, False, []) == (record.attempts, record.possible_orphan, bench.channel_io.creates)


def test_what_was_kept_while_redis_was_away_is_settled_before_the_next_take(
    bench: Workbench,
) -> None:
    """Redis was away for longer than a lease, and comes back."""

    def outlast_a_lease(reply: object) -> None:
        bench.spool.keep(overdue_answer(bench.store))
        lose_reply(reply)

    bench.calls.after["wait"] = [outlast_a_lease]

    bench.start()

    bench.wait_until_said("release")
    record = bench.wait_for("e1", "opened")
    assert [] == bench.store.history()
    assert (1, False, []) == (record.attempts, record.possible_orphan, bench.channel_io.creates)


def test_an_answer_that_is_never_taken_keeps_nobody_from_working(bench: Workbench) -> None:
    """A newer release wrote its record: others are called meanwhile."""
    bench.spool.keep(Answer(bench.store.granted("newer"), CREATED))
    bench.store.set_fields("newer", v="2")
    bench.store.accept("e1", user_id="called")

    bench.start()

    bench.wait_for("e1", "opened")
    bench.store.set_fields("newer", v="1")
