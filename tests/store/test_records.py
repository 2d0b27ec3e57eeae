"""The record's text: what is written comes back, and both sides agree on what its lines are."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chats.record import Chat, Session, is_chat_id
from app.store.records import FIELDS, as_fields, read_record, write_chat
from tests.store.bench import Bench

SCRIPT = Path("app/store/scripts/relay.lua")
# What Python calls printable; drawn as such, since filtering would throw most texts away.
PRINTABLE = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=12
)
CHAT_IDS = PRINTABLE.filter(is_chat_id)
STORED = {"v": "1", "status": "opened", "user": "u1", "accepted": "1", "ttl": "1", "attempts": "1"}


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    """Chats as Channel.io's, whose keys end with the id, and as it might make them one day."""
    chat_id = draw(CHAT_IDS)
    texts = PRINTABLE | PRINTABLE.map(lambda text: f"{text}-{chat_id}") | st.just(chat_id)
    sessions = st.none() | st.builds(Session, texts, st.none() | texts)
    some = st.none() | texts
    return Chat(chat_id, draw(some), draw(some), draw(sessions), draw(sessions))


@given(chats())
def test_a_chat_comes_back_as_it_was(chat: Chat) -> None:
    """Whatever its id is: a quotation mark, a bracket, or what is in everything else."""
    written = write_chat(chat)

    assert "\n" not in written
    assert chat == read_record("e1", STORED | {"chat_id": chat.id, "chat": written}).chat


@pytest.mark.parametrize("chat_id", ['"', "\\", "[", "1", "null", ",", "찾"])
def test_an_id_that_json_is_made_of(chat_id: str) -> None:
    """It stands for itself wherever it stands."""
    session = Session(f"a{chat_id}b", chat_id)
    chat = Chat(chat_id, chat_id, None, session, None)

    written = write_chat(chat)

    assert chat == read_record("e1", STORED | {"chat_id": chat_id, "chat": written}).chat


def test_scripts_and_python_agree_on_the_lines() -> None:
    """A line that moves would be read as another one."""
    told = re.search(r"local FIELDS = \{(.*?)\n\}", SCRIPT.read_text(), re.DOTALL)

    assert told is not None
    assert list(FIELDS) == re.findall(r"'(\w+)'", told[1])


def test_lines_of_a_newer_release_are_passed_over(bench: Bench) -> None:
    """It may keep more, at the end; what this one knows is read as ever, and the rest stays."""
    bench.accept()
    key = bench.keys.event("e1")
    bench.client.append(key, "\n" * len(FIELDS) + "more")

    assert bench.record().user_id == "u1"
    assert bench.grant().event_id == "e1"
    assert str(bench.client.get(key)).endswith("\nmore")


def test_what_a_record_does_not_have_is_no_field() -> None:
    """An empty line is nothing, and so is a line that is not there."""
    assert as_fields("1\n\nu1") == {"v": "1", "user": "u1"}
