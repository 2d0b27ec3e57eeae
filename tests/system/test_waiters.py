"""A thousand callers wait for their chats in one web process, which serves others meanwhile."""

import resource
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.system.burst import Answers, BurstRequest, send_together
from tools.bench.upstream import Upstream, upstream
from tools.stack.deployment import SUBMIT_TOKEN, Deployment

CALLERS = 1000
COME_WITHIN_SECONDS = 4.0  # while no call is over: at the end of it all of them wait
UPSTREAM_SECONDS = 5
MAX_LIVE_SECONDS = 0.3
FILES = 8192
LARGE = {
    "WORKER_CONCURRENCY": str(CALLERS),
    "RATE_LIMIT_PER_SECOND": "10000",
    "RATE_LIMIT_BURST": "10000",
    "CALL_DEADLINE_SECONDS": "15",
    "CALL_CONNECT_TIMEOUT_SECONDS": "5",
}


@pytest.fixture(scope="module")
def many_files() -> Iterator[None]:
    """Processes that are started now may open a file for each caller."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, FILES)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def stand_in(many_files: None) -> Iterator[Upstream]:
    """A Channel.io that bears a thousand calls."""
    with upstream() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def answers(stand_in: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Answers to the callers, and to ``/livez`` meanwhile."""
    url = stand_in.url(UPSTREAM_SECONDS * 1000)
    with Deployment(tmp_path_factory.mktemp("waiters"), CHANNEL_API_URL=url, **LARGE) as relay:
        worker, caller = relay.start_worker(), relay.start_web()
        caller.wait_until_ready()
        worker.wait_for_line("probe_succeeded")
        return send_together(
            int(urlsplit(caller.url).port or 0),
            [post(number) for number in range(CALLERS)],
            meanwhile=BurstRequest("livez", "/livez"),
            over_seconds=COME_WITHIN_SECONDS,
            timeout_seconds=25,
        )


def post(number: int) -> BurstRequest:
    """Post an event of its own, and wait."""
    return BurstRequest(
        "post",
        "/v1/events",
        "POST",
        SUBMIT_TOKEN,
        headers={"Prefer": "wait=20"},
        event={"event_id": f"e{number}", "user_id": f"u{number}"},
    )


def test_all_get_their_chats_in_the_same_request(answers: Answers, stand_in: Upstream) -> None:
    """A chat for each, and one call for each chat."""
    statuses = Counter(
        (answer.status, answer.headers.get("Preference-Applied")) for answer in answers.burst
    )

    assert {(200, "wait=20"): CALLERS} == statuses
    assert CALLERS == len({answer.document["chat"]["id"] for answer in answers.burst})
    assert CALLERS == stand_in.calls


def test_livez_is_answered_at_once(answers: Answers) -> None:
    """Three of four within 300 ms, the machine being busy with a thousand callers."""
    assert {200} == {answer.status for answer in answers.meanwhile}
    seconds = sorted(answer.seconds for answer in answers.meanwhile)

    assert len(seconds) >= 20
    assert seconds[len(seconds) * 3 // 4] < MAX_LIVE_SECONDS
