"""Looking up: by event, by user and by chat, one read each, and nothing that is not so."""

from collections.abc import Callable
from typing import Any

import pytest

from app.chats.errors import RecordFromNewerRelease
from app.chats.outcome import Outcome
from app.chats.record import Record, Status
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN, created
from tools.model.store_driver import TTL_SECONDS, UNREADABLE, StoreDriver, event_of

TTL_MS = TTL_SECONDS * 1000
MAX_CHATS = 100


def settled(bench: StoreDriver, event_id: str, outcome: Outcome, **fields: str) -> None:
    """Accept an event, take it and settle it so."""
    bench.worker().settle(bench.granted(event_id, **fields), outcome)


def chats(bench: StoreDriver, user_id: str = "u1", limit: int = 100) -> list[str]:
    """The ids of the user's opened events, in the order of the answer."""
    records, _ = bench.intake().chats_of_user(user_id, limit=limit)
    return [record.event_id for record in records]


def test_an_event_that_was_never_posted_is_not_found(bench: StoreDriver) -> None:
    """None, not an error."""
    assert bench.intake().find("e1") is None


def test_a_user_without_chats_has_an_empty_list(bench: StoreDriver) -> None:
    """Known or not."""
    bench.accept()

    assert chats(bench) == []


def test_a_users_opened_events_come_newest_first(bench: StoreDriver) -> None:
    """Of this user only, and only the opened ones."""
    settled(bench, "e1", created("chat-1"))
    settled(bench, "e2", created("chat-2"))
    settled(bench, "e3", REFUSED)
    settled(bench, "e4", UNKNOWN)
    settled(bench, "e5", created("chat-5"), user_id="u2")
    bench.client.zadd(bench.key("user:u1"), {"e2": 1}, xx=True)

    assert chats(bench) == ["e1", "e2"]
    assert chats(bench, "u2") == ["e5"]


def test_the_list_is_cut_at_its_limit(bench: StoreDriver) -> None:
    """The newest stay."""
    for number in range(3):
        settled(bench, f"e{number}", created(f"chat-{number}"))
        bench.client.zadd(bench.key("user:u1"), {f"e{number}": number}, xx=True)

    assert chats(bench, limit=2) == ["e2", "e1"]
    has_more = [bench.intake().chats_of_user("u1", limit=limit)[1] for limit in (2, 3)]
    assert [True, False] == has_more


def test_records_that_are_gone_are_skipped_not_counted(bench: StoreDriver) -> None:
    """The limit counts what is answered."""
    for number in range(3):
        settled(bench, f"e{number}", created(f"chat-{number}"))
        bench.client.zadd(bench.key("user:u1"), {f"e{number}": number}, xx=True)
    bench.client.delete(bench.keys.event("e2"))

    assert chats(bench, limit=2) == ["e1", "e0"]


@pytest.mark.parametrize("user_id", ["u1", "u2"])
def test_a_reused_id_hides_the_earlier_chat(bench: StoreDriver, user_id: str) -> None:
    """While it is not opened it is no chat, and another user's chat is never listed."""
    settled(bench, "e1", CREATED)
    bench.client.delete(bench.keys.event("e1"), bench.key("chat:chat-1"))
    bench.accept("e1", user_id=user_id)

    assert chats(bench) == []

    bench.worker().settle(bench.grant(), created("chat-2"))
    assert chats(bench) == (["e1"] if user_id == "u1" else [])
    assert chats(bench, user_id) == ["e1"]


def test_only_the_newest_hundred_are_kept(bench: StoreDriver) -> None:
    """A busy user's index does not grow."""
    bench.client.zadd(
        bench.key("user:u1"), {f"old-{number}": number for number in range(MAX_CHATS)}
    )

    settled(bench, "e1", CREATED)

    kept = bench.queue("user:u1")
    assert len(kept) == MAX_CHATS
    assert "old-0" not in kept
    assert kept.keys() >= {"old-1", "e1"}


def test_the_index_lives_as_long_as_its_longest_record(bench: StoreDriver) -> None:
    """A later record with a shorter window does not cut it, a longer one stretches it."""
    lives = []
    for number, seconds in enumerate([1000, 10, 2000]):
        bench.intake(record_ttl_seconds=seconds).accept(event_of(f"e{number}"))
        bench.worker().settle(bench.grant(), created(f"chat-{number}"))
        lives.append(bench.ttl_ms("user:u1") / 1000)

    assert [round(seconds, -2) for seconds in lives] == [1000, 1000, 2000]


def test_a_chat_leads_to_its_event(bench: StoreDriver) -> None:
    """For as long as the record lives."""
    settled(bench, "e1", CREATED)

    record = bench.intake().event_of_chat("chat-1")

    assert record == bench.record("e1")
    assert TTL_MS - 5000 < bench.ttl_ms("chat:chat-1") <= TTL_MS


def test_an_unpublished_chat_is_not_found(bench: StoreDriver) -> None:
    """None, not an error."""
    assert bench.intake().event_of_chat("chat-1") is None


def test_a_chat_whose_record_is_gone_is_not_found(bench: StoreDriver) -> None:
    """The index may outlive it by a moment."""
    settled(bench, "e1", CREATED)
    bench.client.delete(bench.keys.event("e1"))

    assert bench.intake().event_of_chat("chat-1") is None


def test_a_chat_stays_with_the_event_that_had_it_first(bench: StoreDriver) -> None:
    """A look-up repeats its earlier answer."""
    settled(bench, "e1", CREATED)

    settled(bench, "e2", CREATED)

    record = bench.intake().event_of_chat("chat-1")
    assert record is not None
    assert record.event_id == "e1"


def test_a_chat_that_its_record_does_not_have_is_not_found(bench: StoreDriver) -> None:
    """A script that was stopped half-way may have left the entry."""
    bench.accept()
    bench.client.set(bench.key("chat:chat-1"), "e1", px=60_000)

    assert bench.intake().event_of_chat("chat-1") is None


def by_event(bench: StoreDriver) -> Record | None:
    """Look up e1 itself."""
    return bench.intake().find("e1")


def by_user(bench: StoreDriver) -> tuple[list[Record], bool]:
    """Look up e1 through its user."""
    return bench.intake().chats_of_user("u1", limit=1)


def by_chat(bench: StoreDriver) -> Record | None:
    """Look up e1 through its chat."""
    return bench.intake().event_of_chat("chat-1")


@pytest.mark.parametrize("look_up", [by_event, by_user, by_chat])
@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_another_releases_record_is_not_guessed_at(
    bench: StoreDriver, look_up: Callable[[StoreDriver], object], content: dict[str, Any] | str
) -> None:
    """Only a release that can read it may answer: the caller gets 503."""
    settled(bench, "e1", CREATED)
    bench.make_unreadable(content)

    with pytest.raises(RecordFromNewerRelease):
        look_up(bench)


def test_a_failed_event_can_be_looked_up_with_its_failure(bench: StoreDriver) -> None:
    """Until its window is over."""
    settled(bench, "e1", REFUSED)

    record = bench.record()

    assert record.status is Status.FAILED
    assert record.failure is not None
    assert (record.failure.detail, record.failure.upstream_status) == (REFUSED.detail, 404)
