"""What the tests of the client share."""

import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from app.channel.threads import THREAD_NAME
from tests.channel.calls import ACCESS_KEY, ACCESS_SECRET
from tests.stack.channel_io import ChannelIo
from tests.stack.processes import wait_until


@pytest.fixture(scope="session")
def running_stand_in() -> Iterator[ChannelIo]:
    """One stand-in of Channel.io for all tests here."""
    with ChannelIo(ACCESS_KEY, ACCESS_SECRET) as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running_stand_in: ChannelIo) -> Iterator[ChannelIo]:
    """The stand-in, creating chats for everybody unless the test says otherwise."""
    yield running_stand_in
    running_stand_in.behave_well()


@pytest.fixture
def no_call_is_left() -> Iterator[None]:
    """Fail the test if a thread still makes its call more than a moment after it."""
    yield
    wait_until(lambda: not _calls(), 5, "the calls' threads to wait for others")


def _calls() -> list[FrameType]:
    doing = sys._current_frames()
    threads = [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]
    frames = [doing.get(thread.ident or 0) for thread in threads]
    return [frame for frame in frames if frame and frame.f_code.co_name != "_serve"]
