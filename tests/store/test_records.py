"""The record's JSON: what is written comes back, by Python and by every script."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chats.event import OnUnknown
from app.chats.outcome import Created, Done, Outcome, Resolved
from app.chats.record import Chat, Session, is_chat_id
from app.store.operations import Operations
from app.store.records import MAX_NUMBER, chat_fields, parse_fields, read_record
from app.store.scripts import Scripts
from tools.model.outcomes import CREATED, DENIED, NOT_SENT, REFUSED, UNKNOWN, created
from tools.model.rules import DOCUMENTED
from tools.model.store_driver import LIMITS, TTL_SECONDS, StoreDriver, event_of

# Printable in Python's sense; drawn as such, since filtering would throw most texts away.
PRINTABLE = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=12
)
CHAT_IDS = PRINTABLE.filter(is_chat_id)
STORED = {"v": 2, "status": "opened", "user_id": "u1", "accepted_ms": 1, "ttl_ms": 1, "attempts": 1}
ODD_TEXTS = ['"', "\\", "[]", "{}", "null", "1e3", "%n", "찾을 수", "\U0001f4ac", "\\u0041", "a/b"]
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    """Chats as Channel.io's, whose keys end with the id, and as it might make them one day."""
    chat_id = draw(CHAT_IDS)
    texts = PRINTABLE | PRINTABLE.map(lambda text: f"{text}-{chat_id}") | st.just(chat_id)
    sessions = st.none() | st.builds(Session, texts, st.none() | texts)
    some = st.none() | texts
    return Chat(chat_id, draw(some), draw(some), draw(sessions), draw(sessions))


@given(chats())
def test_a_chat_is_read_as_it_was_written(chat: Chat) -> None:
    """Whatever its id is: a quotation mark, a bracket, or what is in everything else."""
    assert chat == read_record("e1", STORED | chat_fields(chat)).chat


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_texts_pass_through_the_scripts_unchanged(bench: StoreDriver, odd: str) -> None:
    """Metadata and sessions may hold anything that JSON is made of, and are written thrice."""
    metadata = {odd: odd}
    session = Session(f"a{odd}", odd)
    chat = Chat("chat-1", odd, odd, session, session)
    grant = bench.granted(metadata=metadata)

    bench.worker().settle(grant, Created(chat))

    assert (metadata, chat) == (bench.record().metadata, bench.record().chat)


@pytest.mark.parametrize("chat_id", [odd for odd in ODD_TEXTS if is_chat_id(odd)])
def test_a_chat_is_found_by_any_id(bench: StoreDriver, chat_id: str) -> None:
    """Published, or kept beside the published one."""
    grant = bench.granted()
    for each in (chat_id, f"other {chat_id}"):
        bench.worker().settle(grant, created(each))

    record = bench.intake().event_of_chat(chat_id)

    assert record is not None
    assert record.chat is not None
    assert (chat_id, (f"other {chat_id}",)) == (record.chat.id, record.duplicate_chat_ids)


def test_instants_are_stored_to_the_millisecond(bench: StoreDriver) -> None:
    """Lua's JSON writes 14 digits of a number, and an instant of today has 13."""
    bench.accept()
    bench.set_fields(accepted_ms=1_764_500_000_001, ttl_ms=MAX_NUMBER)

    grant = bench.grant(bench.worker(event_deadline_ms=MAX_NUMBER))

    assert 1_764_500_000_001 == grant.stored_fields["accepted_ms"]
    assert f'"ttl_ms":{MAX_NUMBER}' in (bench.text() or "")


def test_fields_of_a_newer_release_stay(bench: StoreDriver) -> None:
    """A release that keeps more under the same version loses none of it to this one."""
    more = {"more": {"a": [1, {"b": "c"}]}, "another": "text", "flag": True, "count": 3}
    bench.accept()
    bench.set_fields("e1", **more)

    bench.worker().settle(bench.grant(), CREATED)

    kept = bench.fields()
    assert more == {name: kept[name] for name in more}
    assert bench.record().user_id == "u1"
    bench.set_fields("e1", **dict.fromkeys(more))


@pytest.mark.parametrize("text", ["", "1\naccepted\nu1", "[]", '{"v":2', "{]", "null", " {}"])
def test_text_that_is_no_object_has_no_fields(text: str) -> None:
    """It has no version that this release reads."""
    assert parse_fields(text) == {}


def test_every_field_is_documented_and_used(bench: StoreDriver) -> None:
    """The list in relay.lua has each name that a record ever has, and no other.

    That it has no fewer is a rule of every test here.
    """
    found: set[str] = set()
    operations = Operations(Scripts(bench.client.relay, bench.keys), record_ttl_seconds=TTL_SECONDS)
    worker = bench.worker(on_unknown=OnUnknown.RECREATE, limits=replace(LIMITS, threshold=100))

    def look() -> None:
        found.update(bench.fields())

    event = event_of(
        metadata={"order": "7731"}, on_unknown="recreate", occurred_at=datetime.now(UTC).isoformat()
    )
    bench.intake().accept(event, traceparent=TRACEPARENT)
    outcomes: list[Outcome] = [NOT_SENT, NOT_SENT, DENIED, UNKNOWN, UNKNOWN]
    for outcome in outcomes:
        bench.make_due()
        bench.set_gate(**{"way:way-1": 1})
        grant = bench.grant(worker)
        look()
        worker.settle(grant, outcome)
        look()
    operations.recreate("e1", by="anna")
    look()
    grant = bench.grant(worker)
    worker.settle(grant, REFUSED)
    look()
    for chat in (CREATED, created("chat-2")):
        worker.settle(grant, chat)
        look()
    bench.worker().settle(bench.granted("e2"), UNKNOWN)
    operations.resolve_with_chat("e2", "found", by="anna")
    found.update(bench.fields("e2"))
    found |= fields_of_tasks(bench)

    assert DOCUMENTED == found


def fields_of_tasks(bench: StoreDriver) -> set[str]:
    """Return the fields of a record whose user is resolved twice, up to its message's send."""
    found: set[str] = set()
    message = {"text": "Hello.", "bot_name": "Refunds"}
    bench.client.set(bench.key("member:m1"), "outdated", px=TTL_SECONDS * 1000)
    bench.accept("e3", member_id="m1", message=message)
    for outcome in (REFUSED, Resolved("u1"), CREATED, Done(has_acted=True)):
        grant = bench.grant()
        found.update(bench.fields("e3"))
        bench.worker().settle(grant, outcome)
        found.update(bench.fields("e3"))
    return found
