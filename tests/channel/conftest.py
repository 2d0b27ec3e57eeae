"""Fixtures of the client's tests."""

from collections.abc import Iterator

import pytest

from tests.channel.calls import ACCESS_KEY, ACCESS_SECRET
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
    running_stand_in.behave_well()
