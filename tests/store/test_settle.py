"""Settling: what each outcome makes of the record, once, and what a late one may still change."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from app.chats.errors import RecordFromNewerRelease
from app.chats.event import OnUnknown
from app.chats.grant import Grant
from app.chats.outcome import Outcome, Throttled, Unknown
from app.chats.record import Failure, FailureCode, Status
from tools.model.outcomes import (
    CHAT,
    CREATED,
    DENIED,
    NOT_SENT,
    OUTCOMES,
    REFUSED,
    THROTTLED,
    UNKNOWN,
    created,
)
from tools.model.store_driver import (
    EVENT_DEADLINE_MS,
    TTL_SECONDS,
    UNREADABLE,
    StoreDriver,
    event_of,
)

TTL_MS = TTL_SECONDS * 1000
TOMBSTONE_MS = 400_000
RECREATE = OnUnknown.RECREATE


def settle(bench: StoreDriver, grant: Grant, outcome: Outcome) -> str:
    """Settle by a worker that consents to nothing; what became of the event."""
    return bench.worker().settle(grant, outcome).effect


# What each outcome does


def test_created_opens_the_event_and_publishes_its_ids(bench: StoreDriver) -> None:
    """The record holds the chat, its sessions, and its expiry."""
    grant = bench.granted(metadata={"order": "7731"})

    result = settle(bench, grant, CREATED)

    record = bench.record()
    assert (result, record.status, record.created) == ("opened", Status.OPENED, True)
    assert (record.chat, record.failure, record.duplicate_chat_ids) == (CHAT, None, ())
    assert (record.attempts, record.possible_orphan) == (1, False)
    assert record.metadata == {"order": "7731"}
    assert record.settled_at is not None
    assert record.expires_at == record.settled_at + timedelta(seconds=TTL_SECONDS)
    assert TTL_MS - 5000 < bench.ttl_ms("event:e1") <= TTL_MS
    assert bench.history() == []


def test_a_chat_without_sessions_is_as_good(bench: StoreDriver) -> None:
    """Only the chat's id may be relied on."""
    settle(bench, bench.granted(), created("chat-1"))

    chat = bench.record().chat
    assert chat is not None
    assert (chat.id, chat.channel_id, chat.session, chat.user_session) == (
        "chat-1",
        None,
        None,
        None,
    )


def test_refused_fails_the_event(bench: StoreDriver) -> None:
    """Settled, not created, on the operator's list, and gone after the window."""
    result = settle(bench, bench.granted(), REFUSED)

    record = bench.record()
    assert (result, record.status, record.created) == ("failed", Status.FAILED, False)
    assert record.failure == Failure(REFUSED.code, REFUSED.detail, 404)
    assert TTL_MS - 5000 < bench.ttl_ms("event:e1") <= TTL_MS
    assert bench.queue("failed").keys() == {"e1"}


@pytest.mark.parametrize("outcome", [DENIED, THROTTLED, NOT_SENT], ids=lambda outcome: outcome.kind)
def test_proof_that_nothing_was_executed_sends_the_event_back(
    bench: StoreDriver, outcome: Outcome
) -> None:
    """Accepted again, with a time before which it is not called, and no attempt in doubt."""
    grant = bench.granted()
    bench.take()

    result = settle(bench, grant, outcome)

    record = bench.record()
    assert (result, record.status, record.created) == ("accepted", Status.ACCEPTED, False)
    assert bench.client.llen(bench.keys.bell) == 0
    assert record.failure is None
    assert "grant_token" not in bench.fields()
    assert bench.queue("due")["e1"] > bench.now_ms()
    assert bench.history() == [outcome.kind]


def test_throttled_waits_for_the_requested_time(bench: StoreDriver) -> None:
    """And never for longer than two minutes."""
    first, second = bench.granted("e1"), bench.granted("e2")

    settle(bench, first, Throttled(30_000))
    settle(bench, second, Throttled(10_000_000))

    assert 25_000 < bench.queue("due")["e1"] - bench.now_ms() <= 30_000
    assert 115_000 < bench.queue("due")["e2"] - bench.now_ms() <= 120_000


def test_not_sent_backs_off_longer_each_time(bench: StoreDriver) -> None:
    """Doubling from a second, up to a minute, half of it jitter."""
    bench.accept()
    waits = []
    for _ in range(9):
        settle(bench, bench.grant(), NOT_SENT)
        bench.client.hdel(bench.key("gate"), "state", "failures", "open_until")
        waits.append(bench.queue("due")["e1"] - bench.now_ms())
        bench.make_due()

    longest = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
    assert all(most / 2 - 400 < wait <= most for wait, most in zip(waits, longest, strict=True)), (
        waits
    )


def test_unknown_holds_the_event(bench: StoreDriver) -> None:
    """A held record has no TTL, is not called again, and is on the operator's list."""
    result = settle(bench, bench.granted(), UNKNOWN)

    record = bench.record()
    assert (result, record.status, record.created) == ("unknown", Status.UNKNOWN, None)
    assert record.failure == Failure(UNKNOWN.code, UNKNOWN.detail, None)
    assert (record.settled_at, record.expires_at) == (None, None)
    assert bench.history() == ["no_answer"]
    assert bench.ttl_ms("event:e1") == -1


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_the_same_settle_twice_is_one_settle(bench: StoreDriver, outcome: Outcome) -> None:
    """Also for the gate: a repeat counts nothing."""
    grant = bench.granted()
    settle(bench, grant, outcome)
    before = bench.fields(), bench.gate(), bench.queue("due")

    settled = bench.worker().settle(grant, outcome)

    assert (settled.effect, settled.breaker) == ("ignored", None)
    assert (bench.fields(), bench.gate(), bench.queue("due")) == before


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_the_token_leaves_a_tombstone(bench: StoreDriver, outcome: Outcome) -> None:
    """It outlives every take that may still be under way."""
    grant = bench.granted()

    settle(bench, grant, outcome)

    assert bench.client.get(bench.key(f"taken:{grant.token}")) == ""
    assert TOMBSTONE_MS - 5000 < bench.ttl_ms(f"taken:{grant.token}") <= TOMBSTONE_MS


@pytest.mark.parametrize("outcome", [CREATED, REFUSED, UNKNOWN], ids=lambda outcome: outcome.kind)
def test_a_settle_notifies_waiting_callers(bench: StoreDriver, outcome: Outcome) -> None:
    """A settled or held event ends a wait."""
    grant = bench.granted()

    with bench.client.pubsub() as waiting:
        waiting.subscribe(bench.keys.settled)
        waiting.get_message(timeout=1)
        settle(bench, grant, outcome)
        notice = waiting.get_message(timeout=1)

    assert notice is not None
    assert notice["data"] == "e1"


@pytest.mark.parametrize(("ago_ms", "seconds"), [(5_000, 5), (-5_000, 0)])
def test_settle_returns_the_age_of_the_event(bench: StoreDriver, ago_ms: int, seconds: int) -> None:
    """The age is never negative, even after a clock that was ahead."""
    grant = bench.granted()
    bench.set_fields(accepted_ms=bench.now_ms() - ago_ms)

    settled = bench.worker().settle(grant, CREATED)

    assert seconds <= settled.age_seconds < seconds + 2


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_with_memory_full_every_outcome_is_settled(
    bench: StoreDriver, outcome: Outcome, request: pytest.FixtureRequest
) -> None:
    """An answer is never lost for want of memory."""
    grant = bench.granted()
    request.getfixturevalue("full_memory")

    assert settle(bench, grant, outcome) == RESULT_OF[outcome.kind]


RESULT_OF = {
    "created": "opened",
    "refused": "failed",
    "denied": "accepted",
    "throttled": "accepted",
    "not_sent": "accepted",
    "unknown": "unknown",
}

# Late answers


def back_in_time(bench: StoreDriver, event_id: str, fields: dict[str, Any]) -> None:
    """Redis lost the writes since ``fields``: it is as it was then."""
    bench.client.delete(bench.keys.event(event_id))
    bench.set_fields(event_id, **fields)
    bench.client.zrem(bench.key("calling"), event_id)
    bench.client.zadd(bench.key("due"), {event_id: 1})


def recreated(bench: StoreDriver) -> Grant:
    """The first grant, lost; the event is accepted again by consent."""
    grant = bench.granted()
    bench.lose_worker()
    bench.reply(bench.worker(on_unknown=RECREATE))
    bench.make_due()
    return grant


def calling(bench: StoreDriver) -> Grant:
    """The grant's call is under way."""
    return bench.granted()


def held(bench: StoreDriver) -> Grant:
    """The grant's worker counts as lost."""
    grant = bench.granted()
    bench.lose_worker()
    bench.reply()
    return grant


def sent_back(bench: StoreDriver) -> Grant:
    """The grant's call executed nothing."""
    grant = bench.granted()
    settle(bench, grant, NOT_SENT)
    return grant


def calling_again(bench: StoreDriver) -> Grant:
    """The second attempt, after consent, is under way."""
    grant = recreated(bench)
    bench.grant()
    return grant


def held_again(bench: StoreDriver) -> Grant:
    """The second attempt, after consent, ended unknown."""
    grant = recreated(bench)
    settle(bench, bench.grant(), UNKNOWN)
    return grant


def opened_again(bench: StoreDriver) -> Grant:
    """The second attempt, after consent, opened the event with another chat."""
    grant = recreated(bench)
    settle(bench, bench.grant(), created("chat-2"))
    return grant


def failed_again(bench: StoreDriver) -> Grant:
    """The second attempt, after consent, was refused."""
    grant = recreated(bench)
    settle(bench, bench.grant(), REFUSED)
    return grant


def expired(bench: StoreDriver) -> Grant:
    """Sent back, and then too old to be called."""
    grant = sent_back(bench)
    bench.make_due()
    bench.set_fields(accepted_ms=bench.now_ms() - EVENT_DEADLINE_MS - 1)
    bench.reply()
    return grant


def missing(bench: StoreDriver) -> Grant:
    """Redis lost everything of the event."""
    grant = bench.granted()
    bench.client.delete(bench.keys.event("e1"))
    bench.client.zrem(bench.key("calling"), "e1")
    return grant


def behind(bench: StoreDriver) -> Grant:
    """Redis lost the grant: the event is accepted, and was never called."""
    bench.accept()
    before = bench.fields()
    grant = bench.grant()
    back_in_time(bench, "e1", before)
    return grant


def behind_and_failed(bench: StoreDriver) -> Grant:
    """Redis lost the grant, and the event expired."""
    grant = behind(bench)
    bench.set_fields(accepted_ms=bench.now_ms() - EVENT_DEADLINE_MS - 1)
    bench.reply()
    return grant


def behind_and_opened(bench: StoreDriver) -> Grant:
    """Redis lost the second grant; an answer to the first opened the event."""
    first = recreated(bench)
    before = bench.fields()
    second = bench.grant()
    back_in_time(bench, "e1", before)
    settle(bench, first, created("chat-2"))
    return second


def behind_and_taken(bench: StoreDriver) -> Grant:
    """Redis lost the grant, and another worker calls under the same number."""
    grant = behind(bench)
    bench.grant()
    return grant


def far_behind_and_taken(bench: StoreDriver) -> Grant:
    """Redis lost both grants, and another worker calls under the first one's number."""
    bench.accept()
    before = bench.fields()
    settle(bench, bench.grant(), NOT_SENT)
    bench.make_due()
    grant = bench.grant()
    back_in_time(bench, "e1", before)
    bench.grant()
    return grant


Stage = Callable[[StoreDriver], Grant]

# In the order of OUTCOMES: created, refused, denied, throttled, not_sent, unknown.
LATE: dict[Stage, str] = {
    calling: "opened failed accepted accepted accepted unknown",
    held: "opened failed accepted accepted accepted ignored",
    recreated: "opened ignored ignored ignored ignored ignored",
    sent_back: "opened ignored ignored ignored ignored ignored",
    calling_again: "opened ignored ignored ignored ignored ignored",
    held_again: "opened ignored ignored ignored ignored ignored",
    opened_again: "duplicate ignored ignored ignored ignored ignored",
    failed_again: "opened ignored ignored ignored ignored ignored",
    expired: "opened ignored ignored ignored ignored ignored",
    missing: "opened failed accepted accepted accepted unknown",
    behind: "opened ignored ignored ignored ignored unknown",
    behind_and_failed: "opened ignored ignored ignored ignored unknown",
    behind_and_opened: "duplicate ignored ignored ignored ignored ignored",
    behind_and_taken: "opened ignored ignored ignored ignored unknown",
    far_behind_and_taken: "opened ignored ignored ignored ignored unknown",
}
CASES = [
    pytest.param(stage, outcome, result, id=f"{stage.__name__}-{outcome.kind}")
    for stage, results in LATE.items()
    for outcome, result in zip(OUTCOMES.values(), results.split(), strict=True)
]


@pytest.mark.parametrize(("stage", "outcome", "result"), CASES)
def test_an_answer_counts_only_where_it_still_may(
    bench: StoreDriver, stage: Stage, outcome: Outcome, result: str
) -> None:
    """A chat always counts; proof and doubt only while the record stands at that attempt."""
    grant = stage(bench)
    before = bench.fields()

    found = settle(bench, grant, outcome)

    assert found == result
    record = bench.record()
    if result == "ignored":
        assert bench.fields() == before
    elif result == "duplicate":
        assert record.chat is not None
        assert (record.chat.id, record.duplicate_chat_ids) == ("chat-2", (CHAT.id,))
    else:
        assert record.status.value == result


@pytest.mark.parametrize(
    "outcome", [REFUSED, THROTTLED, NOT_SENT], ids=lambda outcome: outcome.kind
)
def test_late_proof_takes_the_doubt_away(bench: StoreDriver, outcome: Outcome) -> None:
    """`created` is false once the only doubtful attempt is proven not executed."""
    grant = held(bench)

    settle(bench, grant, outcome)

    assert bench.record().created is False


@pytest.mark.parametrize(
    "outcome", [REFUSED, THROTTLED, NOT_SENT], ids=lambda outcome: outcome.kind
)
@pytest.mark.parametrize("is_held", [True, False])
def test_proof_for_one_attempt_leaves_another_in_doubt(
    bench: StoreDriver, outcome: Outcome, *, is_held: bool
) -> None:
    """`created` stays null where an earlier attempt ended unknown."""
    recreated(bench)
    second = bench.grant()
    if is_held:
        bench.lose_worker()
        bench.reply()

    settle(bench, second, outcome)

    assert (bench.record().created, bench.fields()["unknowns"]) == (None, 1)


@pytest.mark.parametrize("stage", [behind_and_taken, far_behind_and_taken])
def test_proof_of_one_grant_takes_no_doubt_away_from_another(
    bench: StoreDriver, stage: Stage
) -> None:
    """After lost writes two workers call under one number: each one's proof is its own."""
    grant = stage(bench)
    fields = bench.fields()
    other = Grant("e1", "u1", fields["attempt"], fields["grant_token"], fields)
    settle(bench, grant, UNKNOWN)

    assert settle(bench, other, REFUSED) == "ignored"
    assert bench.record().created is None


@pytest.mark.parametrize(
    "stage", [recreated, calling_again, held, held_again, failed_again, expired]
)
def test_a_late_chat_is_published_with_its_history(bench: StoreDriver, stage: Stage) -> None:
    """Nothing had been published, so nothing changes; the failure is taken back."""
    grant = stage(bench)

    settle(bench, grant, CREATED)

    record = bench.record()
    assert (record.chat, record.failure, record.created) == (CHAT, None, True)
    assert bench.history()[-1] == "opened_late"
    assert TTL_MS - 5000 < bench.ttl_ms("event:e1") <= TTL_MS


def test_the_later_attempts_own_answer_becomes_a_duplicate(bench: StoreDriver) -> None:
    """I5: what was published first stays, the rest is evidence, each id once."""
    first = recreated(bench)
    second = bench.grant()
    settle(bench, first, created("chat-1"))

    results = [settle(bench, second, created(f"chat-{number}")) for number in (2, 3, 2, 1)]

    assert results == ["duplicate", "duplicate", "ignored", "ignored"]
    record = bench.record()
    assert record.chat is not None
    assert (record.chat.id, record.duplicate_chat_ids) == ("chat-1", ("chat-2", "chat-3"))
    assert bench.history()[-2:] == ["duplicate_chat", "duplicate_chat"]
    assert bench.intake().event_of_chat("chat-2") is None


def test_a_part_of_a_chat_id_is_another_id(bench: StoreDriver) -> None:
    """Ids are compared whole."""
    grant = bench.granted()
    settle(bench, grant, created("chat-12"))

    assert settle(bench, grant, created("chat-1")) == "duplicate"
    assert settle(bench, grant, created("hat-12")) == "duplicate"


def test_a_rebuilt_record_is_the_workers_copy(bench: StoreDriver) -> None:
    """Nothing of what the event said is lost with Redis's writes."""
    grant = bench.granted(metadata={"order": "7731"}, on_unknown="hold")
    before = bench.record()
    bench.client.delete(bench.keys.event("e1"))

    settle(bench, grant, CREATED)

    record = bench.record()
    assert (record.user_id, record.metadata) == (before.user_id, before.metadata)
    assert (record.accepted_at, record.attempts) == (before.accepted_at, 1)


def test_a_lost_grant_counts_again_once_its_answer_comes(bench: StoreDriver) -> None:
    """The fence never falls back behind an attempt whose answer is known."""
    grant = behind(bench)

    settle(bench, grant, CREATED)

    assert (bench.record().attempts, bench.fields()["attempt"]) == (1, 1)


def test_nothing_of_a_lost_past_stays_in_a_rebuilt_record(bench: StoreDriver) -> None:
    """The restored copy has no field of the older writes."""
    grant = behind_and_failed(bench)

    settle(bench, grant, UNKNOWN)

    fields = bench.fields()
    assert "settled_ms" not in fields
    assert fields["accepted_ms"] == grant.stored_fields["accepted_ms"]


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_another_releases_record_is_left_alone(
    bench: StoreDriver, outcome: Outcome, content: dict[str, Any] | str
) -> None:
    """The answer is not settled: its worker keeps it until one that can read the record does."""
    grant = bench.granted()
    before = bench.make_unreadable(content)

    with pytest.raises(RecordFromNewerRelease):
        settle(bench, grant, outcome)

    assert bench.text() == before
    assert bench.queue("calling").keys() == {"e1"}


# Consent


@pytest.mark.parametrize(
    ("setting", "own", "is_recreated"),
    [
        ("hold", None, False),
        ("recreate", None, True),
        ("hold", "recreate", True),
        ("recreate", "hold", False),
    ],
)
@pytest.mark.parametrize("is_lost", [True, False])
def test_consent_comes_from_the_setting_or_the_event_which_wins(
    bench: StoreDriver, *, setting: str, own: str | None, is_recreated: bool, is_lost: bool
) -> None:
    """With it, an unknown end leads to one more call at once, with no `unknown` seen in between."""
    worker = bench.worker(on_unknown=OnUnknown(setting))
    grant = bench.granted(on_unknown=own)
    end_unknown(bench, grant, setting, is_lost=is_lost)

    record = bench.record()
    expected = Status.ACCEPTED if is_recreated else Status.UNKNOWN
    assert (record.status, record.created) == (expected, None)
    if is_recreated:
        assert 0 < bench.queue("due")["e1"] - bench.now_ms() <= 1000
        bench.make_due()
        second = bench.grant(worker)
        assert (second.attempt, bench.record().possible_orphan) == (2, True)


def end_unknown(bench: StoreDriver, grant: Grant, setting: str, *, is_lost: bool) -> None:
    """End the grant's call without an answer, in one of the two ways."""
    worker = bench.worker(on_unknown=OnUnknown(setting))
    if is_lost:
        bench.lose_worker()
        bench.reply(worker)
    else:
        worker.settle(grant, UNKNOWN)


@pytest.mark.parametrize("own", [None, "recreate"])
@pytest.mark.parametrize("is_lost", [True, False])
def test_consent_is_given_once(bench: StoreDriver, own: str | None, *, is_lost: bool) -> None:
    """After it is used up, unknown holds, whatever happens in between."""
    worker = bench.worker(on_unknown=RECREATE)
    end_unknown(bench, bench.granted(on_unknown=own), "recreate", is_lost=False)
    bench.make_due()
    worker.settle(bench.grant(worker), NOT_SENT)
    bench.make_due()

    end_unknown(bench, bench.grant(worker), "recreate", is_lost=is_lost)

    record = bench.record()
    assert (record.status, record.created, record.possible_orphan) == (Status.UNKNOWN, None, True)


def test_a_possible_orphan_stays_one_for_ever(bench: StoreDriver) -> None:
    """Whatever the later attempts come to."""
    recreated(bench)
    second = bench.grant()
    settle(bench, second, NOT_SENT)
    bench.make_due()

    settle(bench, bench.grant(), CREATED)

    assert bench.record().possible_orphan is True


def test_no_orphan_is_suspected_where_the_doubt_was_taken_away(bench: StoreDriver) -> None:
    """A call after proof is no call after consent."""
    settle(bench, held(bench), NOT_SENT)
    bench.make_due()

    settle(bench, bench.grant(), CREATED)

    assert bench.record().possible_orphan is False


# What the history keeps


def test_repeats_of_a_harmless_kind_are_counted_not_listed(bench: StoreDriver) -> None:
    """An outage of hours does not make a record large."""
    bench.accept()
    for outcome in (NOT_SENT, NOT_SENT, THROTTLED, NOT_SENT):
        settle(bench, bench.grant(), outcome)
        bench.client.hdel(bench.key("gate"), "pause_until", "tat")
        bench.client.hdel(bench.key("gate"), "state", "failures")
        bench.make_due()

    history = bench.fields()["history"]

    found = [(entry["what"], entry.get("times"), entry["attempt"]) for entry in history]
    assert found == [("not_sent", 2, 2), ("throttled", None, 3), ("not_sent", None, 4)]


def test_the_history_is_bounded(bench: StoreDriver) -> None:
    """The newest entries stay."""
    grant = bench.granted()
    settle(bench, grant, CREATED)
    for number in range(70):
        settle(bench, grant, created(f"extra-{number}"))

    history = bench.history()

    assert len(history) == 64
    assert len(bench.record().duplicate_chat_ids) == 70


def test_the_kind_of_doubt_is_in_the_failure(bench: StoreDriver) -> None:
    """A 2xx without a readable id is not the same as no answer."""
    unreadable = Unknown(FailureCode.UNREADABLE_ANSWER, "There was no id.", 200)

    settle(bench, bench.granted(), unreadable)

    assert bench.record().failure == Failure(unreadable.code, unreadable.detail, 200)
    assert bench.history() == ["unreadable_answer"]


def test_fields_of_a_call_go_with_it(bench: StoreDriver) -> None:
    """The trace context is stored for the call, and removed with its settling."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    bench.intake().accept(event_of(), traceparent=traceparent)
    grant = bench.grant()

    bench.worker().settle(grant, CREATED)

    assert traceparent == grant.traceparent
    assert "traceparent" not in bench.fields()
    assert "grant_token" not in bench.fields()
