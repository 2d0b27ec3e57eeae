"""Tests of outcomes: their effect on the gate, and the delay of a retry."""

import pytest

from app.chats.outcome import MAX_RETRY_DELAY_MS, Denied, NotSent, retry_delay_ms
from app.chats.record import FailureCode


@pytest.mark.parametrize(
    ("attempts", "longest_ms"),
    [(1, 1000), (2, 2000), (3, 4000), (6, 32_000), (7, 60_000), (8, 60_000), (10**9, 60_000)],
)
def test_retry_delays_double_up_to_a_minute(attempts: int, longest_ms: int) -> None:
    """Half of each is jitter: never less than half, never more than the whole, never all equal."""
    delays_ms = {retry_delay_ms(attempts) for _ in range(200)}

    assert longest_ms // 2 <= min(delays_ms)
    assert max(delays_ms) <= longest_ms <= MAX_RETRY_DELAY_MS
    assert len(delays_ms) > 50


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "credentials"),
        (403, "credentials"),
        (302, "base_url"),
        (405, "base_url"),
        (410, "base_url"),
    ],
)
def test_a_denial_has_a_reason(status: int, reason: str) -> None:
    """The reason names the key or the base URL."""
    assert reason == Denied("denied", status).reason


def test_not_sent_is_its_own_reason() -> None:
    """The breaker counts it under its name."""
    assert NotSent("refused").reason == "not_sent"


def test_the_failure_codes_are_the_contracts() -> None:
    """The list is closed: callers may branch on each."""
    assert set(FailureCode) == {
        "user_not_found",
        "rejected",
        "expired",
        "abandoned",
        "no_answer",
        "unreadable_answer",
        "worker_lost",
        "bot_not_found",
        "chat_not_found",
        "text_lost",
    }
