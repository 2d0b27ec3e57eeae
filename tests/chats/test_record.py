"""Tests of statuses and grants."""

from app.chats.grant import Grant, new_token
from app.chats.record import Status


def test_open_is_what_the_relay_still_works_on() -> None:
    """Held (``unknown``) is not open: a person has to do something, not the relay."""
    assert {status for status in Status if status.is_open} == {Status.ACCEPTED, Status.CALLING}
    assert set(Status) == {"accepted", "calling", "opened", "failed", "unknown"}


def test_a_grant_counts_as_its_record_does() -> None:
    """``attempts`` leaves out what was given back; ``attempt``, the fence, does not."""
    grant = Grant("e", "u", attempt=3, token="t", stored_fields={"attempts": 2})

    assert (3, 2) == (grant.attempt, grant.attempts)


def test_no_two_takes_share_a_token() -> None:
    """128 random bits: 22 characters that are safe in a key."""
    tokens = {new_token() for _ in range(1000)}

    assert len(tokens) == 1000
    assert {22} == {len(token) for token in tokens}
