"""Accepting: an event is claimed and scheduled once, in one step, or nothing is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.chats.errors import (
    BacklogFull,
    EventIdReused,
    EventTooOld,
    RecordFromNewerRelease,
    StoreUnavailable,
)
from app.chats.record import Status
from tools.model.store_driver import TTL_SECONDS, UNREADABLE, StoreDriver, event_of

LONG_AGO = datetime.now(UTC) - timedelta(seconds=TTL_SECONDS + 60)
RECENTLY = datetime.now(UTC) - timedelta(minutes=30)


def test_a_new_event_is_recorded_and_due_in_one_step(bench: StoreDriver) -> None:
    """An accepted event is due at once, and rings the bell."""
    event = event_of(metadata={"order": "7731"}, on_unknown="recreate")

    record, is_new = bench.intake().accept(event)

    assert is_new
    assert record == bench.record()
    assert (record.event_id, record.user_id, record.metadata) == ("e1", "u1", {"order": "7731"})
    assert (record.status, record.created, record.attempts) == (Status.ACCEPTED, False, 0)
    assert (record.settled_at, record.expires_at, record.chat) == (None, None, None)
    accepted_ms = bench.fields()["accepted_ms"]
    assert bench.queue("due") == {"e1": accepted_ms}
    assert abs(bench.now_ms() - accepted_ms) < 5000
    assert bench.client.llen(bench.keys.bell) == 1


def test_a_duplicate_gets_the_record_as_it_stands(bench: StoreDriver) -> None:
    """The second post changes nothing, schedules nothing, and returns the state of the first."""
    bench.granted()

    record, is_new = bench.intake().accept(event_of())

    assert not is_new
    assert record.status is Status.CALLING
    assert bench.queue("due") == {}


def test_an_id_with_another_payload_is_refused(bench: StoreDriver) -> None:
    """The first event stays as it is."""
    bench.accept()
    before = bench.fields()

    with pytest.raises(EventIdReused):
        bench.intake().accept(event_of(user_id="u2"))

    assert bench.fields() == before


def test_an_event_older_than_the_window_is_refused(bench: StoreDriver) -> None:
    """It cannot be proved new, so nothing is stored."""
    with pytest.raises(EventTooOld):
        bench.intake().accept(event_of(occurred_at=LONG_AGO))

    assert bench.intake().find("e1") is None
    assert bench.queue("due") == {}


def test_an_event_within_the_window_is_accepted(bench: StoreDriver) -> None:
    """Old is not too old."""
    _, is_new = bench.intake().accept(event_of(occurred_at=RECENTLY))

    assert is_new


def test_the_age_of_a_duplicate_is_not_checked(bench: StoreDriver) -> None:
    """A duplicate is a duplicate, however long ago the event occurred."""
    bench.accept()

    record, is_new = bench.intake().accept(event_of(occurred_at=LONG_AGO))

    assert (record.event_id, is_new) == ("e1", False)


def test_a_full_backlog_refuses_what_is_new_with_nothing_stored(bench: StoreDriver) -> None:
    """Both the waiting and those being called are the backlog."""
    bench.granted("e1")
    bench.accept("e2")
    intake = bench.intake(max_backlog=2)

    with pytest.raises(BacklogFull):
        intake.accept(event_of("e3"))

    assert intake.find("e3") is None
    assert bench.queue("due").keys() == {"e2"}
    assert bench.intake(max_backlog=3).accept(event_of("e3"))[1]


def test_duplicates_are_answered_before_the_backlog(bench: StoreDriver) -> None:
    """A full backlog does not affect duplicates or reused ids."""
    bench.accept()
    intake = bench.intake(max_backlog=0)

    record, is_new = intake.accept(event_of())

    assert (record.event_id, is_new) == ("e1", False)
    with pytest.raises(EventIdReused):
        intake.accept(event_of(user_id="u2"))


def test_the_window_of_a_record_is_the_one_it_was_accepted_with(bench: StoreDriver) -> None:
    """A later change of the setting does not shorten what was promised."""
    bench.intake(record_ttl_seconds=77).accept(event_of())

    record, _ = bench.intake(record_ttl_seconds=1).accept(event_of())

    assert record.status is Status.ACCEPTED
    assert bench.fields()["ttl_ms"] == 77000


def test_the_bell_is_capped(bench: StoreDriver) -> None:
    """Rings without a listener do not accumulate."""
    for number in range(101):
        bench.accept(f"e{number}")

    assert bench.client.llen(bench.keys.bell) == 100


@pytest.mark.parametrize(
    "content",
    [*UNREADABLE.values(), {"fingerprint": "2:x", "v": 4}],
    ids=[*UNREADABLE, "another fingerprint"],
)
def test_another_releases_record_is_neither_answered_nor_called_reused(
    bench: StoreDriver, content: dict[str, Any] | str
) -> None:
    """Only a release that can read it may answer: the caller gets 503."""
    bench.accept()
    before = bench.make_unreadable(content)

    with pytest.raises(RecordFromNewerRelease):
        bench.intake().accept(event_of())

    assert bench.text() == before


def test_with_memory_full_nothing_is_stored(bench: StoreDriver, full_memory: None) -> None:
    """Redis refuses the first write, and there is no half of an event."""
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        bench.intake().accept(event_of())

    assert bench.intake().find("e1") is None
    assert bench.queue("due") == {}


def test_with_memory_full_duplicates_are_still_answered(
    bench: StoreDriver, request: pytest.FixtureRequest
) -> None:
    """A repeat needs no memory."""
    bench.accept()
    request.getfixturevalue("full_memory")

    _, is_new = bench.intake().accept(event_of())

    assert not is_new
