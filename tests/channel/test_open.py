"""Putting a chat before the agents: it is looked at first, and never opened twice."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.chats.outcome import Done, LookFailed, NotFound, Refused
from app.chats.record import FailureCode
from tests.channel.calls import CHAT_ID, http
from tests.channel.grants import open_of, perform, perform_counted, request_lines
from tests.channel.raw_server import RawServer, say, say_in_turn
from tools.stack.channel_io import ChannelIo

PATH = f"/open/v4/user-chats/{CHAT_ID}"
LOOK = f"GET {PATH} HTTP/1.1"


def chat(state: object) -> bytes:
    """An answer with a chat in that state."""
    return http(200, json.dumps({"userChat": {"id": CHAT_ID, "state": state}}).encode())


def test_an_initial_chat_is_opened(stand_in: ChannelIo, chat_id: str) -> None:
    """A look, and a PUT with the bot's name and no body."""
    before = len(stand_in.requests)

    outcome, requests = perform_counted(stand_in.url, open_of(chat_id))

    assert (Done(has_acted=True), 2) == (outcome, requests)
    assert "opened" == stand_in.state_of(chat_id)
    look, act = stand_in.requests[before:]
    path = f"/open/v4/user-chats/{chat_id}"
    assert [("GET", path), ("PUT", f"{path}/open?botName=Bell")] == [
        (request.method, request.path) for request in (look, act)
    ]
    assert not look.has_body
    assert not act.has_body


@pytest.mark.parametrize("state", ["opened", "closed", "snoozed", "trash", "상담중", "Initial"])
def test_a_chat_that_was_opened_is_left_alone(
    stand_in: ChannelIo, chat_id: str, state: str
) -> None:
    """A person may have closed it meanwhile: any state but the first one is done."""
    stand_in.set_state(chat_id, state)
    opens = len(stand_in.opens)

    outcome, requests = perform_counted(stand_in.url, open_of(chat_id))

    assert (Done(has_acted=False), 1) == (outcome, requests)
    assert (state, opens) == (stand_in.state_of(chat_id), len(stand_in.opens))


@pytest.mark.parametrize(
    ("bot_name", "default", "sent"),
    [
        ("Bell", "Order bot", "Bell"),
        (None, "Order bot", "Order bot"),
        ("주문 봇 🔔", None, "주문 봇 🔔"),
        ("a+b&c=d;é\n", None, "a+b&c=d;é\n"),
        ("?", None, "?"),
    ],
)
def test_the_bot_name_is_the_events_or_the_relays(
    bot_name: str | None, default: str | None, sent: str
) -> None:
    """Percent-encoded, a space too: a plus is a space in forms alone."""
    with RawServer(say_in_turn(chat("initial"), chat("opened"))) as server:
        outcome = perform(server.url, open_of(bot_name=bot_name), bot_name=default)
        _, act = request_lines(server)

    assert Done(has_acted=True) == outcome
    target = act.split(" ")[1]
    assert target.isascii()
    assert "+" not in target
    assert [("botName", sent)] == parse_qsl(urlsplit(target).query)


def test_without_a_bot_name_nothing_is_sent() -> None:
    """Web refuses such an event, unless its settings are others than the worker's."""
    with RawServer(say(chat("initial"))) as server:
        outcome, requests = perform_counted(server.url, open_of(bot_name=None))
        sent = request_lines(server)

    detail = "An open needs a bot name, and neither the event nor BOT_NAME has one."
    assert Refused(FailureCode.REJECTED, detail, None, has_acted=False) == outcome
    assert ([LOOK], 1) == (sent, requests)


@pytest.mark.parametrize(
    ("state", "expected"),
    [("initial", NotFound("The chat was not opened.")), ("opened", Done(has_acted=False))],
)
def test_a_grant_that_only_looks_opens_nothing(state: str, expected: object) -> None:
    """One more look decides about earlier opens."""
    with RawServer(say(chat(state))) as server:
        outcome = perform(server.url, open_of(look_only=True))
        sent = request_lines(server)

    assert expected == outcome
    assert [LOOK] == sent


@pytest.mark.parametrize(
    "answer",
    [
        chat(None),
        chat(""),
        chat(1),
        chat(["initial"]),
        chat("initial\n"),
        chat("\ud800"),
        http(200, b"{}"),
        http(200, b'{"userChat": "initial"}'),
        http(200, b"<h1>initial</h1>"),
        http(200, b'{"userChat": {"state": "initial"}', length=1000),
        http(204, b""),
    ],
)
def test_an_unreadable_state_opens_nothing(answer: bytes) -> None:
    """It is looked at again."""
    with RawServer(say(answer)) as server:
        outcome = perform(server.url, open_of())
        sent = request_lines(server)

    assert isinstance(outcome, LookFailed)
    assert outcome.detail.endswith("without a readable state of the chat.")
    assert [LOOK] == sent


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"userChat": {"state": "initial"}}'])
def test_any_success_is_an_open(body: bytes) -> None:
    """Its body says nothing that is needed."""
    with RawServer(say_in_turn(chat("initial"), http(200, body))) as server:
        outcome = perform(server.url, open_of())

    assert Done(has_acted=True) == outcome
