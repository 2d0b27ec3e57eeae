"""Tests of the stand-in's members, messages and chat states."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tools.stack.channel_io import PERSONAL, Behaviour, ChannelIo, Operation
from tools.stack.processes import wait_until

KEYS = {"x-access-key": "key", "x-access-secret": "secret"}
DATED = {"Channel-Version": "2026-06-01"}
TEXT = "the parcel is at the neighbour's"
BASES = ("/open/v4", "/open/v5", "/open")


@pytest.fixture
def stand_in() -> Iterator[ChannelIo]:
    """A stand-in that executes every request."""
    with ChannelIo() as stand_in:
        yield stand_in


def call(
    stand_in: ChannelIo, method: str, path: str, body: Any = None, base: str = BASES[0]
) -> requests.Response:
    """Send a request to Channel.io, with the keys."""
    url = f"http://127.0.0.1:{stand_in.port}{base}{path}"
    return requests.request(method, url, json=body, headers=KEYS | DATED, timeout=30)


def control(stand_in: ChannelIo, method: str, route: str, body: Any = None) -> Any:
    """Send a control request; return its answer."""
    url = f"http://127.0.0.1:{stand_in.port}/stand-in/{route}"
    answer = requests.request(method, url, data=json.dumps(body), timeout=30)
    answer.raise_for_status()
    return answer.json()


def new_chat(stand_in: ChannelIo, user_id: str = "u1") -> str:
    """Make a chat; return its id."""
    made = call(stand_in, "POST", f"/users/{user_id}/user-chats")
    return str(made.json()["userChat"]["id"])


def send(
    stand_in: ChannelIo, chat_id: str, query: str = "", base: str = BASES[0], **fields: Any
) -> requests.Response:
    """Send a message."""
    body = {"plainText": TEXT, "requestId": "r1"} | fields
    return call(stand_in, "POST", f"/user-chats/{chat_id}/messages{query}", body, base)


def listed(stand_in: ChannelIo, chat_id: str, query: str = "") -> Any:
    """Return a page of messages."""
    return call(stand_in, "GET", f"/user-chats/{chat_id}/messages?sortOrder=desc{query}").json()


def texts(stand_in: ChannelIo, chat_id: str, query: str = "") -> list[str]:
    """Return the texts on a page of messages."""
    return [message["plainText"] for message in listed(stand_in, chat_id, query)["messages"]]


def state(stand_in: ChannelIo, chat_id: str) -> str:
    """Return the state of a chat, as Channel.io answers."""
    return str(call(stand_in, "GET", f"/user-chats/{chat_id}").json()["userChat"]["state"])


@pytest.mark.parametrize("base", BASES)
def test_a_member_has_a_stable_user_id(stand_in: ChannelIo, base: str) -> None:
    """The member id is decoded, and the answer has personal data."""
    answers = [call(stand_in, "GET", "/users/@a%2Fb%40c", base=base) for _ in range(2)]

    (first, second) = [answer.json()["user"] for answer in answers]
    assert ("a/b@c", "member") == (first["memberId"], first["type"])
    assert first["id"] == second["id"] == stand_in.user_id_of("a/b@c")
    assert "unifiedId" not in first
    assert any(secret in answers[0].text for secret in PERSONAL)


@pytest.mark.parametrize(("base", "status"), [*zip(BASES, (422, 422, 404), strict=True)])
def test_an_unknown_member_is_refused(stand_in: ChannelIo, base: str, status: int) -> None:
    """A member may be unknown by its name, or made so by the test."""
    stand_in.put_member("m1", None)
    stand_in.put_member("m2", "u2")

    names = ("@stand-in-unknown-member", "@m1", "@m2")
    answers = [call(stand_in, "GET", f"/users/{name}", base=base) for name in names]

    assert [status, status, 200] == [answer.status_code for answer in answers]
    assert "u2" == answers[2].json()["user"]["id"]
    stand_in.behave_well()
    assert 200 == call(stand_in, "GET", "/users/@m1", base=base).status_code


def test_merged_users_lead_to_others(stand_in: ChannelIo) -> None:
    """Chains and cycles are followed by the client, a user at a time."""
    stand_in.put_member("m1", "u1")
    stand_in.merge_user("u1", "u2")
    stand_in.merge_user("u2", "u1")

    users = [
        call(stand_in, "GET", f"/users/{name}").json()["user"]
        for name in ("@m1", "u2", "@stand-in-merged-2", "stand-in-merged-1", "stand-in-merged-0")
    ]

    assert [
        ("u1", "unified", "u2"),
        ("u2", "unified", "u1"),
        ("stand-in-merged-2", "unified", "stand-in-merged-1"),
        ("stand-in-merged-1", "unified", "stand-in-merged-0"),
        ("stand-in-merged-0", "member", None),
    ] == [(user["id"], user["type"], user.get("unifiedId")) for user in users]


def test_a_message_is_listed_and_recorded(stand_in: ChannelIo) -> None:
    """Each send makes one more message, newest first; the chat stays ``initial``."""
    chat_id = new_chat(stand_in)
    assert {"messages": [], "next": None} == listed(stand_in, chat_id)

    made = send(stand_in, chat_id, "?botName=Relay", options=["private", "silent"]).json()
    send(stand_in, chat_id, plainText="later")

    (later, first) = listed(stand_in, chat_id)["messages"]
    assert made["message"] == first
    assert ("r1", chat_id, TEXT) == (first["requestId"], first["chatId"], first["plainText"])
    assert (["private", "silent"], "later") == (first["options"], later["plainText"])
    recorded = [(one.text, one.is_private, one.bot_name) for one in stand_in.messages]
    assert [(TEXT, True, "Relay"), ("later", False, None)] == recorded
    assert first["id"] == stand_in.messages[0].message_id
    assert "initial" == state(stand_in, chat_id)


def test_a_message_in_blocks_is_accepted(stand_in: ChannelIo) -> None:
    """The text is that of the blocks."""
    chat_id = new_chat(stand_in)

    answer = send(stand_in, chat_id, plainText=None, blocks=[{"type": "text", "value": TEXT}])

    assert (200, TEXT) == (answer.status_code, stand_in.messages[0].text)


def test_pages_follow_the_cursor_to_the_first_message(stand_in: ChannelIo) -> None:
    """A page has 25 messages, or ``limit``; messages of people are in no ledger."""
    chat_id = new_chat(stand_in)
    send(stand_in, chat_id)
    stand_in.add_from_person(chat_id, *map(str, range(60)))

    pages = [listed(stand_in, chat_id)]
    while cursor := pages[-1]["next"]:
        pages.append(listed(stand_in, chat_id, f"&since={cursor}"))

    assert [25, 25, 11] == [len(page["messages"]) for page in pages]
    seen = [message["plainText"] for page in pages for message in page["messages"]]
    assert [*map(str, reversed(range(60))), TEXT] == seen
    assert seen == texts(stand_in, chat_id, "&limit=500")
    assert seen[::-1] == texts(stand_in, chat_id, "&limit=500&sortOrder=asc")
    assert 1 == len(stand_in.messages)


@pytest.mark.parametrize("query", ["&limit=0", "&limit=501", "&limit=x", "&since=m0"])
def test_a_wrong_page_is_refused(stand_in: ChannelIo, query: str) -> None:
    """The limit is between 1 and 500, and the cursor from a page."""
    path = f"/user-chats/{new_chat(stand_in)}/messages?sortOrder=desc{query}"

    assert 422 == call(stand_in, "GET", path).status_code


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/messages"),
        ("POST", "/messages?botName=Relay"),
        ("PUT", "/open?botName=Relay"),
    ],
)
def test_an_unknown_chat_is_not_found(stand_in: ChannelIo, method: str, path: str) -> None:
    """Nothing is recorded."""
    answer = call(stand_in, method, f"/user-chats/0123456789abcdef0123{path}", {"plainText": TEXT})

    assert 404 == answer.status_code
    assert ([], []) == (stand_in.messages, stand_in.opens)


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (422, {"options": ["loud"]}),
        (422, {"options": "private"}),
        (422, {"plainText": ""}),
        (422, {"plainText": 7}),
        (422, {"plainText": None}),
        (422, {"plainText": None, "blocks": [{"type": "shout", "value": TEXT}]}),
        (422, {"plainText": None, "blocks": [TEXT]}),
    ],
)
def test_a_bad_message_is_refused(stand_in: ChannelIo, status: int, fields: dict[str, Any]) -> None:
    """Nothing is recorded."""
    assert status == send(stand_in, new_chat(stand_in), **fields).status_code
    assert [] == stand_in.messages


def test_a_body_without_an_object_is_refused(stand_in: ChannelIo) -> None:
    """It is no message."""
    path = f"/user-chats/{new_chat(stand_in)}/messages"

    assert [400, 400] == [call(stand_in, "POST", path, it).status_code for it in (None, [TEXT])]


@pytest.mark.parametrize(
    ("base", "option", "status"),
    [
        ("/open/v4", "silent", 200),
        ("/open/v4", "silentToUser", 422),
        ("/open/v5", "silentToUser", 200),
        ("/open", "silentToUser", 200),
    ],
)
def test_options_depend_on_the_version(
    stand_in: ChannelIo, base: str, option: str, status: int
) -> None:
    """v4 has no ``silentToUser``."""
    chat_id = new_chat(stand_in)

    assert status == send(stand_in, chat_id, base=base, options=["private", option]).status_code


@pytest.mark.parametrize(("base", "status"), [*zip(BASES, (422, 422, 200), strict=True)])
def test_an_unknown_bot_depends_on_the_version(stand_in: ChannelIo, base: str, status: int) -> None:
    """The dated version makes a new bot; a name that no bot can have is refused everywhere."""
    chat_id = new_chat(stand_in)
    stand_in.switches.unknown_bots = {"Nemo"}

    def statuses(bot_name: str) -> list[int]:
        opened = call(stand_in, "PUT", f"/user-chats/{chat_id}/open?botName={bot_name}", base=base)
        sent = send(stand_in, chat_id, f"?botName={bot_name}", base)
        assert ("botNotFound" in sent.text) == (bot_name == "Nemo" and status == 422)
        return [opened.status_code, sent.status_code]

    assert [status, status] == statuses("Nemo")
    assert [200, 200] == statuses("stand-in-unknown-bot")
    assert [422, 422] == statuses("a%40b")
    assert [422, 422] == statuses("x" * 31)


def test_an_opened_chat_is_opened(stand_in: ChannelIo) -> None:
    """Without a bot name it is refused; a second open succeeds or is refused, as switched."""
    chat_id = new_chat(stand_in)
    path = f"/user-chats/{chat_id}/open"

    assert 422 == call(stand_in, "PUT", path).status_code
    assert "initial" == state(stand_in, chat_id)
    opened = call(stand_in, "PUT", f"{path}?botName=Relay")
    assert "opened" == opened.json()["userChat"]["state"] == stand_in.state_of(chat_id)
    assert 200 == call(stand_in, "PUT", f"{path}?botName=Relay").status_code
    stand_in.switches.refuses_second_open = True
    assert 422 == call(stand_in, "PUT", f"{path}?botName=Relay").status_code
    assert [(chat_id, "Relay")] * 2 == [(one.chat_id, one.bot_name) for one in stand_in.opens]


def test_a_person_closes_a_chat(stand_in: ChannelIo) -> None:
    """The chat's state is the person's, until the next open."""
    chat_id = new_chat(stand_in)

    stand_in.set_state(chat_id, "closed")

    assert "closed" == state(stand_in, chat_id)


def test_a_request_id_is_deduplicated_on_request(stand_in: ChannelIo) -> None:
    """The second answer has the first message; other chats and messages without one are new."""
    stand_in.switches.deduplicates_request_ids = True
    chat_id = new_chat(stand_in)

    ids = [send(stand_in, chat_id).json()["message"]["id"] for _ in range(2)]
    send(stand_in, new_chat(stand_in))
    for _ in range(2):
        send(stand_in, chat_id, requestId=None)

    assert ids[0] == ids[1]
    assert 4 == len(stand_in.messages)


@pytest.mark.parametrize(("private", "expected"), [(False, "opened"), (True, "initial")])
def test_a_public_message_opens_a_chat_on_request(
    stand_in: ChannelIo, *, private: bool, expected: str
) -> None:
    """A private one never does."""
    stand_in.switches.message_opens_chat = True
    chat_id = new_chat(stand_in)

    send(stand_in, chat_id, options=["private"] if private else [])

    assert expected == state(stand_in, chat_id)


def test_lists_change_with_the_switches(stand_in: ChannelIo) -> None:
    """Lists may lack ``requestId``, have short pages, or another name for the cursor."""
    chat_id = new_chat(stand_in)
    for _ in range(2):
        send(stand_in, chat_id)
    stand_in.switches.lists_request_ids = False
    stand_in.switches.page_size = 1
    stand_in.switches.cursor_field = "nextCursor"

    page = listed(stand_in, chat_id)
    stand_in.behave_well()

    assert [{"messages", "nextCursor"}, 1] == [set(page), len(page["messages"])]
    assert page["nextCursor"] == page["messages"][0]["id"]
    assert "requestId" not in page["messages"][0]
    assert 2 == len(listed(stand_in, chat_id)["messages"])


def test_new_messages_are_hidden_until_shown(stand_in: ChannelIo) -> None:
    """A list lags; earlier messages and those of people are in it."""
    chat_id = new_chat(stand_in)
    send(stand_in, chat_id, plainText="before")
    stand_in.switches.hides_new_messages = True
    send(stand_in, chat_id)
    stand_in.add_from_person(chat_id, "a reply")

    assert ["a reply", "before"] == texts(stand_in, chat_id)
    stand_in.switches.hides_new_messages = False
    assert ["a reply", TEXT, "before"] == texts(stand_in, chat_id)


def test_a_lagging_list_shows_a_message_later(stand_in: ChannelIo) -> None:
    """A new message appears after the lag, not before."""
    chat_id = new_chat(stand_in)
    stand_in.switches.list_lag_seconds = 0.5
    began = time.monotonic()
    send(stand_in, chat_id)

    wait_until(lambda: texts(stand_in, chat_id), 30, "the message to appear")

    assert time.monotonic() - began >= 0.5


def test_a_deleted_message_is_in_no_list(stand_in: ChannelIo) -> None:
    """The ledger keeps it."""
    chat_id = new_chat(stand_in)
    send(stand_in, chat_id)

    stand_in.delete_message(stand_in.messages[0].message_id)

    assert ([], 1) == (texts(stand_in, chat_id), len(stand_in.messages))


# The request of each operation in a chat, and its effects when it is performed.
IN_CHAT = {
    Operation.GET_CHAT: ("GET", "", 0),
    Operation.LIST_MESSAGES: ("GET", "/messages", 0),
    Operation.MESSAGE: ("POST", "/messages", 1),
    Operation.OPEN: ("PUT", "/open?botName=Relay", 1),
}


def status_of(stand_in: ChannelIo, operation: Operation, chat_id: str) -> int | None:
    """Request an operation in a chat; return the status, None for a broken answer."""
    method, path, _ = IN_CHAT[operation]
    try:
        answer = call(stand_in, method, f"/user-chats/{chat_id}{path}", {"plainText": TEXT})
    except requests.RequestException:
        return None
    return answer.status_code


def effects(stand_in: ChannelIo) -> int:
    """Return how many messages and opens were made."""
    return len(stand_in.messages) + len(stand_in.opens)


@pytest.mark.parametrize(
    ("behaviour", "status", "is_performed"),
    [
        (Behaviour.CREATE_THEN_CLOSE, None, True),
        (Behaviour.CREATE_THEN_RESET, None, True),
        (Behaviour.CREATE_THEN_TRUNCATE, None, True),
        (Behaviour.CREATE_THEN_GATEWAY_TIMEOUT, 504, True),
        (Behaviour.CREATE_CHUNKED, 200, True),
        (Behaviour.CLOSE_WITHOUT_CREATE, None, False),
        (Behaviour.UNAUTHORIZED, 401, False),
        (Behaviour.USER_NOT_FOUND, 404, False),
        (Behaviour.CONFLICT, 409, False),
        (Behaviour.REJECTED_422, 422, False),
        (Behaviour.THROTTLED, 429, False),
        (Behaviour.SERVER_ERROR, 500, False),
    ],
)
@pytest.mark.parametrize("operation", IN_CHAT)
def test_each_operation_has_behaviours(
    stand_in: ChannelIo,
    *,
    operation: Operation,
    behaviour: Behaviour,
    status: int | None,
    is_performed: bool,
) -> None:
    """The same for an operation of a chat as for a create, planned or by the user id."""
    planned, named = new_chat(stand_in), new_chat(stand_in, behaviour.user_id_for(operation))
    stand_in.plan(behaviour, user_id="u1", operation=operation)

    assert status == status_of(stand_in, operation, planned)
    assert status == status_of(stand_in, operation, named)
    assert IN_CHAT[operation][2] * is_performed * 2 == effects(stand_in)
    assert 200 == status_of(stand_in, operation, planned)


def test_a_resolve_has_behaviours(stand_in: ChannelIo) -> None:
    """They are found by the member id, or by the user id that is requested."""
    stand_in.plan(Behaviour.SERVER_ERROR, user_id="m1", operation=Operation.RESOLVE)
    stand_in.always(Behaviour.CONFLICT, user_id="u2", operation=Operation.RESOLVE)

    names = ("@m1", "@m1", "u2", "@stand-in-resolve-bad-request")
    answers = [call(stand_in, "GET", f"/users/{name}") for name in names]

    assert [500, 200, 409, 400] == [answer.status_code for answer in answers]


def test_names_of_test_users_are_short(stand_in: ChannelIo) -> None:
    """A test user of an operation is a member, too, with the same user id."""
    name = Behaviour.CREATE_THEN_CLOSE.user_id_for(Operation.MESSAGE)

    assert ("stand-in-message-then-close", name) == (name, stand_in.user_id_of(name))
    names = [it.user_id_for(operation) for it in Behaviour for operation in Operation]
    assert all(len(one) <= 64 for one in names)


@pytest.mark.parametrize(
    ("behaviour", "early", "whole"),
    [(Behaviour.WAIT_THEN_CREATE, False, 200), (Behaviour.CLOSE_THEN_CREATE, True, None)],
)
def test_a_request_arrives_late(
    stand_in: ChannelIo, *, behaviour: Behaviour, early: bool, whole: int | None
) -> None:
    """It is performed after the release; the client may have lost its connection before."""
    chat_id = new_chat(stand_in)
    stand_in.plan(behaviour, operation=Operation.MESSAGE)

    with ThreadPoolExecutor() as callers:
        late = callers.submit(status_of, stand_in, Operation.MESSAGE, chat_id)
        stand_in.wait_for_arrivals()
        assert 200 == status_of(stand_in, Operation.MESSAGE, chat_id)
        if early:
            assert whole == late.result(timeout=30)
        assert 1 == len(stand_in.messages)
        stand_in.release()

    assert whole == late.result()
    wait_until(lambda: len(stand_in.messages) == 2, 30, "the late message")


def test_a_method_that_a_path_does_not_have_is_refused(stand_in: ChannelIo) -> None:
    """The path is known, so the answer is no 404."""
    assert 405 == call(stand_in, "PUT", "/users/u1").status_code


def test_other_processes_control_members_and_chats(stand_in: ChannelIo) -> None:
    """Control routes do what the methods do."""
    chat_id = new_chat(stand_in)

    control(stand_in, "PUT", "members", {"member_id": "m1", "user_id": "u1"})
    control(stand_in, "PUT", "merges", {"user_id": "u1", "into": "u2"})
    control(stand_in, "PUT", "switches", {"page_size": 1, "unknown_bots": ["Nemo"]})
    control(stand_in, "PUT", "chats", {"chat_id": chat_id, "state": "closed"})
    control(stand_in, "POST", "messages", {"chat_id": chat_id, "texts": ["one", "two"]})
    refusal = {"behaviour": "conflict", "operation": "open", "user_id": "u1", "times": 1}
    control(stand_in, "PUT", "behaviour", refusal)

    user = call(stand_in, "GET", "/users/@m1").json()["user"]
    assert ("u1", "u2") == (user["id"], user["unifiedId"])
    assert ["two"] == texts(stand_in, chat_id)
    assert [{"chat_id": chat_id, "state": "closed"}] == control(stand_in, "GET", "chats")
    statuses = [status_of(stand_in, Operation.OPEN, chat_id) for _ in range(2)]
    assert [409, 200] == statuses
    send(stand_in, chat_id)
    (message,) = control(stand_in, "GET", "messages")
    (opened,) = control(stand_in, "GET", "opens")
    assert (TEXT, "r1", chat_id) == (message["text"], message["request_id"], message["chat_id"])
    assert ("Relay", chat_id) == (opened["bot_name"], opened["chat_id"])
    with pytest.raises(requests.HTTPError):
        control(stand_in, "PUT", "switches", {"no_such_switch": 1})
