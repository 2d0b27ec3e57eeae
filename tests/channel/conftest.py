"""Fixtures of the client's tests."""

from collections.abc import Iterator

import pytest

from app.chats.outcome import Created
from tests.channel.calls import ACCESS_KEY, ACCESS_SECRET, open_chat
from tools.stack.channel_io import ChannelIo


@pytest.fixture(scope="session")
def running_stand_in() -> Iterator[ChannelIo]:
    """One stand-in of Channel.io for all tests here."""
    with ChannelIo(ACCESS_KEY, ACCESS_SECRET) as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running_stand_in: ChannelIo) -> Iterator[ChannelIo]:
    """The stand-in, creating a chat for every user unless a test changes it."""
    yield running_stand_in
    running_stand_in.release()
    running_stand_in.behave_well()


@pytest.fixture
def chat_id(stand_in: ChannelIo) -> str:
    """A chat that was made just now, initial and empty."""
    outcome = open_chat(stand_in.url)
    assert isinstance(outcome, Created)
    return outcome.chat.id
