"""Redis stops, crashes or freezes under load: callers get 503, and nothing is lost.

The server here writes its file before it answers (``appendfsync always``). With ``everysec``, as in
the local stack, a crash may take the last two seconds with it, of its machine or, where its disk is
slow, of the server alone: an accepted event, or the note that a call was made. Nothing over Redis
can be more durable than that Redis.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tools.stack.deployment import LONG_CALLS, Deployment
from tools.stack.load import CALLERS, EventPoster
from tools.stack.processes import wait_until
from tools.stack.valkey import Valkey
from tools.stack.verdict import find_breaks, find_leaks, judge


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A relay with a Redis of its own, which tests may end."""
    directory = tmp_path_factory.mktemp("redis-away")
    arguments = ("--appendfsync", "always")
    with Deployment(directory, valkey_arguments=arguments, **LONG_CALLS) as relay:
        relay.start_worker()
        relay.start_web().wait_until_ready()
        yield relay
        assert [] == find_leaks(relay)


@pytest.mark.parametrize(
    ("take_away", "bring_back"),
    [
        pytest.param(Valkey.stop, Valkey.start, id="stopped"),
        pytest.param(Valkey.kill, Valkey.start, id="killed"),
        pytest.param(Valkey.pause, Valkey.resume, id="frozen"),
    ],
)
def test_redis_goes_and_comes_back_under_load(
    relay: Deployment, take_away: Callable[[Valkey], None], bring_back: Callable[[Valkey], None]
) -> None:
    """Meanwhile the answer is 503, repeat; afterwards every accepted event becomes one chat."""
    relay.clear()
    load = EventPoster(relay.caller)
    load.wait_for_more()

    take_away(relay.valkey)
    wait_until(lambda: len(load.refusals) >= CALLERS, 30, "callers to be refused")
    ready, live = relay.caller.get("/readyz"), relay.caller.get("/livez")
    bring_back(relay.valkey)
    load.wait_for_more()
    load.end()

    assert {(503, "1")} == load.answers
    assert (503, 200) == (ready.status_code, live.status_code)
    judge(relay)
    statuses = Counter(relay.caller.record(event_id)["status"] for event_id in relay.accepted)
    assert {"opened": load.accepted} == statuses
    assert [] == find_breaks(relay.worker())
