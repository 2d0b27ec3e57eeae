"""A failure that goes on is logged at once, once a minute, and when it is over."""

import pytest
from structlog.testing import capture_logs

from app.worker.outage import QUIET_SECONDS, REPEAT_SECONDS, Outage

AWAY = ConnectionError("Connection refused")


class ManualClock:
    """A monotonic clock that a test moves on."""

    def __init__(self) -> None:
        """Begin anywhere."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


@pytest.fixture
def clock() -> ManualClock:
    """The outage's clock."""
    return ManualClock()


@pytest.fixture
def outage(clock: ManualClock) -> Outage:
    """No failure yet."""
    return Outage("redis_unavailable", "redis_available", clock=clock)


def test_an_outage_is_logged_at_once_and_each_minute(outage: Outage, clock: ManualClock) -> None:
    """With its reason, its begin and how often Redis was tried, for as long as it lasts."""
    with capture_logs() as lines:
        for _ in range(601):
            outage.report_failure(AWAY)
            clock.now += 1

    assert 60 == REPEAT_SECONDS
    assert [1 + 60 * minute for minute in range(11)] == [line["tries"] for line in lines]
    assert {"Connection refused"} == {line["reason"] for line in lines}
    assert 1 == len({line["since"] for line in lines})
    assert {("redis_unavailable", "warning")} == {
        (line["event"], line["log_level"]) for line in lines
    }


def test_the_end_is_logged_once_and_the_next_outage_anew(
    outage: Outage, clock: ManualClock
) -> None:
    """A success without a failure before it is no word worth."""
    with capture_logs() as lines:
        outage.report_success()
        outage.report_failure(AWAY)
        for _ in range(3):
            clock.now += QUIET_SECONDS
            outage.report_success()
        outage.report_failure(AWAY)

    assert [("redis_unavailable", 1), ("redis_available", 1), ("redis_unavailable", 1)] == [
        (line["event"], line["tries"]) for line in lines
    ]


def test_successes_among_failures_end_no_outage(outage: Outage, clock: ManualClock) -> None:
    """Redis takes one command and refuses the other: not two lines a second, for hours."""
    with capture_logs() as lines:
        for _ in range(100):
            outage.report_failure(AWAY)
            clock.now += 0.5
            outage.report_success()

    assert ["redis_unavailable"] == [line["event"] for line in lines]
