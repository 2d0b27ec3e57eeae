"""A Redis that is silent is asked by one thread at a time; one that answers, by all."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event

import pytest
from redis.exceptions import RedisError

from app.chats.errors import StoreUnavailable
from app.store.silence import SILENT_SECONDS, RedisSilent, Silence


@pytest.fixture
def silence() -> Silence:
    """Somebody has just waited in vain."""
    silence = Silence()
    with suppress(RedisError):
        silence.ask(wait_in_vain)
    return silence


def wait_in_vain() -> None:
    """No answer comes in time."""
    Event().wait(SILENT_SECONDS + 0.01)
    raise RedisError("time is over")


@contextmanager
def asking(silence: Silence) -> Iterator[None]:
    """Another thread asks, and waits."""
    has_begun, is_over = Event(), Event()

    def send() -> bool:
        has_begun.set()
        return is_over.wait(30)

    with ThreadPoolExecutor() as threads:
        asked = threads.submit(silence.ask, send)
        assert has_begun.wait(30)
        yield
        is_over.set()
        assert asked.result()


def test_others_are_told_at_once(silence: Silence) -> None:
    """Whoever asks is not disturbed; once there is an answer, all ask again."""
    with asking(silence), pytest.raises(RedisSilent):
        silence.ask(lambda: "answer")

    with asking(silence):
        assert "answer" == silence.ask(lambda: "answer")


def refuse() -> None:
    """Redis answers that it does not do it."""
    raise RedisError("no")


def too_few() -> None:
    """Redis answers, and its replicas do not."""
    raise StoreUnavailable("too few replicas")


@pytest.mark.parametrize("send", [refuse, too_few])
def test_whatever_is_answered_ends_it(silence: Silence, send: Callable[[], None]) -> None:
    """It need not be what was hoped for."""
    with pytest.raises((RedisError, StoreUnavailable)):
        silence.ask(send)

    with asking(silence):
        assert "answer" == silence.ask(lambda: "answer")


def test_who_waits_in_vain_again_lets_the_next_one_try(silence: Silence) -> None:
    """One after the other."""
    with pytest.raises(RedisError, match="time is over"):
        silence.ask(wait_in_vain)

    assert "answer" == silence.ask(lambda: "answer")
