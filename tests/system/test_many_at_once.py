"""Two webs, two workers, and every event posted several times at the same moment."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tools.stack.deployment import Deployment
from tools.stack.relay import RelayClient

EVENTS = 25
TIMES = 6


@pytest.fixture(scope="module")
def second_caller(deployment: Deployment, no_worker_stays: None) -> Iterator[RelayClient]:
    """A caller of a second web; both workers run."""
    workers = [deployment.start_worker() for _ in range(2)]
    caller = deployment.start_web()
    caller.wait_until_ready()
    for worker in workers:
        worker.wait_for_line("worker_started")
    yield caller
    deployment.callers.remove(caller)


def test_an_event_is_accepted_once_and_called_once(
    relay: Deployment, second_caller: RelayClient
) -> None:
    """One of the posts is the first, the others are its repeats, and there is one chat."""
    callers = [relay.caller, second_caller]
    numbers = [number for number in range(EVENTS) for _ in range(TIMES)]

    def post(turn: int) -> requests.Response:
        event = {"event_id": f"e{numbers[turn]}", "user_id": f"u{numbers[turn]}"}
        return callers[turn % 2].post(event)

    with ThreadPoolExecutor(2 * TIMES) as pool:
        answers = list(pool.map(post, range(len(numbers))))

    new = [a.json()["event_id"] for a in answers if "Idempotent-Replayed" not in a.headers]
    assert Counter(f"e{number}" for number in range(EVENTS)) == Counter(new)
    accepted_at = {(a.json()["event_id"], a.json()["accepted_at"]) for a in answers}
    assert EVENTS == len(accepted_at)
    for number in range(EVENTS):
        record = relay.caller.wait_for(f"e{number}", "opened")
        assert record == second_caller.record(f"e{number}")
        assert [record["chat"]["id"]] == [
            create.chat_id for create in relay.creates_of(f"u{number}")
        ]
