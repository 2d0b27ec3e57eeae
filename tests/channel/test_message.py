"""Sending a message: it is looked for first, and sent only if the look reached the first one."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.channel.tasks import MAX_PAGES
from app.chats.outcome import Done, LookFailed, NotFound, Outcome
from tests.channel.calls import CHAT_ID, http
from tests.channel.grants import (
    TEXT,
    message_of,
    perform,
    perform_counted,
    request_lines,
    tasks_at,
)
from tests.channel.raw_server import RawServer, say_in_turn
from tools.stack.channel_io import ChannelIo, Message

PATH = f"/open/v4/user-chats/{CHAT_ID}/messages"
FOUND = Done(has_acted=False, message_id="m1")
SENT = Done(has_acted=True, message_id="m2")
ASTRAY = "Channel.io's list of messages does not lead to the chat's first one."
TEXTS = [
    TEXT,
    "가" * 4000,
    "👩‍👩‍👧‍👦" * 100,
    "a\nb\r\nc\td",
    "\x00",
    "\u2028\u2029\ufeff\u202e\x7f",
    " leading and trailing ",
    "<b>&amp;</b> ${x} {{y}} \"'\\\\u0041%41",
    "é e\u0301",
]


def page(*messages: dict[str, Any], **fields: Any) -> bytes:
    """An answer with a page of messages."""
    return http(200, json.dumps({"messages": messages, **fields}).encode())


def sent_answer(**fields: Any) -> bytes:
    """The answer to a sent message."""
    return http(200, json.dumps({"message": {"id": "m2", **fields}}).encode())


def of_others(number: int) -> list[str]:
    """Texts of so many messages of a person."""
    return [f"message {one}" for one in range(number)]


def outcome_after(*answers: bytes, **grant: Any) -> tuple[Outcome, list[str]]:
    """Send a message; return the outcome, and the methods of the requests."""
    with RawServer(say_in_turn(*answers)) as server:
        outcome = perform(server.url, message_of(**grant))
        return outcome, [line.split(" ")[0] for line in request_lines(server)]


def messages_in(stand_in: ChannelIo, chat_id: str) -> list[Message]:
    """Return what requests have made in a chat."""
    return [message for message in stand_in.messages if message.chat_id == chat_id]


def request_id_of(event_id: str = "e1", chat_id: str = CHAT_ID, **others: Any) -> str:
    """Return the request id of an event's message; ``others``: key_prefix, attempt."""
    prefix = others.pop("key_prefix", "relay")
    grant = message_of(event_id=event_id, chat_id=chat_id, **others)
    with RawServer(say_in_turn(page(), sent_answer())) as server:
        perform(server.url, grant, key_prefix=prefix)
        _, sent = server.received_up_to_now()
    request_id: str = json.loads(sent.partition(b"\r\n\r\n")[2])["requestId"]
    return request_id


# What is sent


def test_a_message_is_sent_after_a_look(stand_in: ChannelIo, chat_id: str) -> None:
    """The first time too, so that a repeat is the same as a first try."""
    before = len(stand_in.requests)

    outcome, requests = perform_counted(stand_in.url, message_of(chat_id=chat_id))

    (message,) = messages_in(stand_in, chat_id)
    assert (Done(has_acted=True, message_id=message.message_id), 2) == (outcome, requests)
    assert (TEXT, (), None) == (message.text, message.options, message.bot_name)
    look, act = stand_in.requests[before:]
    path = f"/open/v4/user-chats/{chat_id}/messages"
    assert ("GET", f"{path}?sortOrder=desc&limit=100") == (look.method, look.path)
    assert ("POST", path) == (act.method, act.path)
    assert {"plainText", "requestId"} == set(json.loads(act.body))
    assert "application/json" == act.headers["content-type"]


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_arrives_as_it_is(stand_in: ChannelIo, chat_id: str, text: str) -> None:
    """Every character of it, and nothing but it."""
    perform(stand_in.url, message_of(text, chat_id=chat_id))

    assert [text] == [message.text for message in messages_in(stand_in, chat_id)]


@pytest.mark.parametrize("name", ["주문 봇 🔔", "a+b&c=d", "Bell"])
def test_the_bot_name_is_in_the_query(stand_in: ChannelIo, chat_id: str, name: str) -> None:
    """Percent-encoded, with a space as one too; the event's goes before the relay's."""
    perform(stand_in.url, message_of(chat_id=chat_id, bot_name=name), bot_name="Order bot")

    url = urlsplit(stand_in.requests[-1].path)
    assert url.query.isascii()
    assert "+" not in url.query
    assert [("botName", name)] == parse_qsl(url.query)
    assert [name] == [message.bot_name for message in messages_in(stand_in, chat_id)]


def test_the_request_id_is_that_of_event_and_chat() -> None:
    """The same for every replica and repeat, and another for anything else."""
    request_id = request_id_of()

    assert request_id == request_id_of(attempt=7)
    assert 32 == len(request_id)
    others = {request_id_of("e2"), request_id_of(chat_id="c2"), request_id_of(key_prefix="other")}
    assert 3 == len(others - {request_id})


@pytest.mark.parametrize(
    ("event", "other"), [(("a", "b,c"), ("a,b", "c")), (('a"', "b"), ("a", '"b'))]
)
def test_the_request_ids_of_odd_names_differ(
    event: tuple[str, str], other: tuple[str, str]
) -> None:
    """No two pairs run into one."""
    assert request_id_of(*event) != request_id_of(*other)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"<h1>OK</h1>",
        b'{"message": null}',
        b'{"message": {"id": 7}}',
        b'{"message": {"id": ""}}',
        b'{"message": {"id": "a\\nb"}}',
        b'{"message": {"id": "%b"}}' % (b"x" * 257),
        b'{"message": {"id": "m2"}',
        b"[" * 100_000,
    ],
)
def test_a_sent_message_is_done_without_a_readable_id(body: bytes) -> None:
    """Any 2xx is done; the id is for information."""
    outcome, _ = outcome_after(page(), http(200, body))

    assert Done(has_acted=True) == outcome


# What is looked for


def test_a_message_with_our_request_id_is_ours(stand_in: ChannelIo, chat_id: str) -> None:
    """A repeat finds it, whatever has become of its text, and sends nothing."""
    perform(stand_in.url, message_of(chat_id=chat_id))
    (message,) = messages_in(stand_in, chat_id)

    again, requests = perform_counted(stand_in.url, message_of("edited", chat_id=chat_id))

    assert (Done(has_acted=False, message_id=message.message_id), 1) == (again, requests)
    assert [message] == messages_in(stand_in, chat_id)


def test_without_request_ids_in_the_list_the_text_is_looked_for(
    stand_in: ChannelIo, chat_id: str
) -> None:
    """Channel.io need not return them."""
    stand_in.switches.lists_request_ids = False
    perform(stand_in.url, message_of(chat_id=chat_id))

    again = perform(stand_in.url, message_of(chat_id=chat_id))
    other = perform(stand_in.url, message_of(TEXT + " ", chat_id=chat_id))

    first, second = messages_in(stand_in, chat_id)
    assert Done(has_acted=False, message_id=first.message_id) == again
    assert Done(has_acted=True, message_id=second.message_id) == other


@pytest.mark.parametrize("request_id", [None, "", 0, False, [], {}])
def test_a_message_with_our_text_and_no_request_id_is_ours(request_id: str | None) -> None:
    """An empty one is none."""
    mine = {"id": "m1", "plainText": TEXT, "requestId": request_id}

    assert (FOUND, ["GET"]) == outcome_after(page(mine))


@pytest.mark.parametrize(
    "message",
    [
        {"id": "m1", "plainText": TEXT, "requestId": "another"},
        {"id": "m1", "plainText": TEXT, "requestId": 7},
        {"id": "m1", "plainText": TEXT, "requestId": ["another"]},
        {"id": "m1", "plainText": TEXT[:-1]},
        {"id": "m1", "plainText": TEXT + "\n"},
        {"id": "m1", "plainText": None},
        {"id": "m1", "plainText": [TEXT]},
        {"id": "m1"},
        {},
    ],
)
def test_other_messages_are_not_ours(message: dict[str, Any]) -> None:
    """Another request id speaks against it, and so does another text."""
    assert (SENT, ["GET", "POST"]) == outcome_after(page(message), sent_answer())


def test_a_found_message_needs_no_readable_id() -> None:
    """It is there."""
    assert (Done(has_acted=False), ["GET"]) == outcome_after(page({"id": 7, "plainText": TEXT}))


@pytest.mark.parametrize("cursor_field", ["next", "nextCursor"])
@pytest.mark.parametrize("number", [60, 200])
def test_a_message_is_found_behind_later_ones(
    stand_in: ChannelIo, chat_id: str, number: int, cursor_field: str
) -> None:
    """The cursor is followed, by either of its names, to the page that has it."""
    perform(stand_in.url, message_of(chat_id=chat_id))
    stand_in.add_from_person(chat_id, *of_others(number))
    stand_in.switches.page_size = 25
    stand_in.switches.cursor_field = cursor_field

    outcome, requests = perform_counted(stand_in.url, message_of(chat_id=chat_id))

    (message,) = messages_in(stand_in, chat_id)
    assert Done(has_acted=False, message_id=message.message_id) == outcome
    assert number // 25 + 1 == requests


def test_pages_are_followed_to_the_first_message(stand_in: ChannelIo, chat_id: str) -> None:
    """Only then is it not there, and may be sent."""
    stand_in.add_from_person(chat_id, *of_others(100))
    stand_in.switches.page_size = 5

    outcome, requests = perform_counted(stand_in.url, message_of(chat_id=chat_id))

    (message,) = messages_in(stand_in, chat_id)
    assert (Done(has_acted=True, message_id=message.message_id), MAX_PAGES + 1) == (
        outcome,
        requests,
    )


def test_a_look_that_does_not_reach_the_first_message_sends_nothing(
    stand_in: ChannelIo, chat_id: str
) -> None:
    """I6: the page beyond may have it. It is no fault of Channel.io's."""
    stand_in.add_from_person(chat_id, *of_others(101))
    stand_in.switches.page_size = 5

    outcome, requests = perform_counted(stand_in.url, message_of(chat_id=chat_id))

    assert isinstance(outcome, LookFailed)
    assert (None, MAX_PAGES) == (outcome.reason, requests)
    assert [] == messages_in(stand_in, chat_id)


@pytest.mark.parametrize("messages", [[], [{"id": "m1", "plainText": "of others"}]])
@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"], ["a", "b", "c", "b"]])
def test_a_cursor_that_comes_again_ends_the_look(
    messages: list[dict[str, Any]], cursors: list[str]
) -> None:
    """A list that goes round in circles: it has no end, and nothing is sent."""
    pages = [page(*messages, next=cursor) for cursor in cursors]

    outcome, methods = outcome_after(*pages, page(), sent_answer())

    assert LookFailed(ASTRAY, 200, is_answered=True) == outcome
    assert ["GET"] * len(cursors) == methods


def test_cursors_without_an_end_are_given_up() -> None:
    """Though each is a new one."""
    pages = [page(next=f"page-{number}") for number in range(MAX_PAGES + 1)]

    outcome, methods = outcome_after(*pages, page(), sent_answer())

    assert isinstance(outcome, LookFailed)
    assert outcome.is_answered
    assert ["GET"] * MAX_PAGES == methods


ODD_CURSORS = [
    {"next": ""},
    {"next": False},
    {"next": 0},
    {"next": 7},
    {"next": {}},
    {"next": []},
    {"next": "a\nb"},
    {"next": "\ud800"},
    {"next": "x" * 2049},
    {"nextCursor": ""},
    {"next": None, "nextCursor": False},
    {"next": "more", "nextCursor": 7},
    {"next": "more", "nextCursor": ""},
]


@pytest.mark.parametrize("odd", ODD_CURSORS)
@pytest.mark.parametrize("is_first", [True, False], ids=["first page", "later page"])
def test_a_cursor_that_is_none_ends_the_look(odd: dict[str, Any], *, is_first: bool) -> None:
    """There may be a page behind this one, so nothing is sent; it is no fault of Channel.io's."""
    before = [] if is_first else [page(next="more")]

    outcome, methods = outcome_after(*before, page(**odd), page(), sent_answer())

    assert LookFailed(ASTRAY, 200, is_answered=True) == outcome
    assert ["GET"] * (len(before) + 1) == methods


@pytest.mark.parametrize("odd", ODD_CURSORS)
def test_our_message_is_found_on_a_page_with_an_odd_cursor(odd: dict[str, Any]) -> None:
    """It needs no other page."""
    assert (FOUND, ["GET"]) == outcome_after(page({"id": "m1", "plainText": TEXT}, **odd))


@pytest.mark.parametrize("cursor", ["a b+c/d=&e", "다음", "x" * 2048])
def test_a_cursor_is_sent_back_as_it_came(cursor: str) -> None:
    """It is opaque."""
    with RawServer(say_in_turn(page(next=cursor), page(), sent_answer())) as server:
        perform(server.url, message_of())
        _, second, _ = request_lines(server)

    query = parse_qsl(urlsplit(second.split(" ")[1]).query)
    assert [("sortOrder", "desc"), ("limit", "100"), ("since", cursor)] == query


@pytest.mark.parametrize("fields", [{}, {"next": None}, {"nextCursor": None}])
def test_a_list_without_a_cursor_has_ended(fields: dict[str, Any]) -> None:
    """Its page has the chat's first message."""
    assert (SENT, ["GET", "POST"]) == outcome_after(page(**fields), sent_answer())


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b'{"messages": {}}'),
        http(200, b'{"messages": null}'),
        http(200, b'{"messages": ["text"]}'),
        http(200, b'{"messages": [{}, null]}'),
        http(200, b"{}"),
        http(200, b"[]"),
        http(200, b"<h1>OK</h1>"),
        http(200, b'{"messages": []}', length=1000),
        http(204, b""),
    ],
)
@pytest.mark.parametrize("is_first", [True, False], ids=["first page", "later page"])
def test_an_unreadable_page_sends_nothing(answer: bytes, *, is_first: bool) -> None:
    """It may have had our message: it is looked at again."""
    before = [] if is_first else [page(next="more")]

    outcome, methods = outcome_after(*before, answer)

    assert isinstance(outcome, LookFailed)
    assert outcome.detail.endswith("without a readable list of messages.")
    assert ["GET"] * (len(before) + 1) == methods


def test_a_grant_that_only_looks_sends_nothing() -> None:
    """One more look decides about earlier sends."""
    mine = {"id": "m1", "plainText": TEXT}

    missed = outcome_after(page(next="more"), page(), look_only=True)
    found = outcome_after(page(next="more"), page(mine), look_only=True)

    assert (NotFound("The message is not in the chat."), ["GET"] * 2) == missed
    assert (FOUND, ["GET"] * 2) == found


# What the text is kept out of


def test_no_outcome_quotes_the_text(stand_in: ChannelIo, chat_id: str) -> None:
    """Nor does anything's ``repr``."""
    secret = "a-text-of-a-person"
    grant = message_of(secret, chat_id=chat_id)
    outcomes = [perform(stand_in.url, grant) for _ in range(2)]

    assert secret not in repr([grant, outcomes, tasks_at(stand_in.url)])
    assert {secret} == {message.text for message in messages_in(stand_in, chat_id)}
