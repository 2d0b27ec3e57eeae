"""Events with a member id, a message and an open, over HTTP."""

from typing import Any

import pytest

from app.chats.outcome import Done, Outcome, Refused, Resolved
from app.chats.record import FailureCode
from tests.web.service import WebService, errors, problem, serve
from tools.model.outcomes import CREATED, UNKNOWN
from tools.model.store_driver import WAY
from tools.stack.redis_client import Client

TEXT = "my passport number is M70689098"
MESSAGE = {"text": TEXT, "bot_name": "Refunds"}
EVENT: dict[str, Any] = {
    "event_id": "refund-7731",
    "member_id": "customer-8841",
    "message": MESSAGE,
    "open": True,
}
MEMBER_RULE = "must be 1 to 64 characters, none of them white space or a control character"
TEXT_RULE = "must be 1 to 4000 characters"
BOT_RULE = "must be 1 to 30 characters, none of @ # $ % : /"
LONE = "must be Unicode without lone surrogates"
NEEDS_BOT = "needs a bot name: message.bot_name, or the relay's BOT_NAME"
SENT = Done(has_acted=True, message_id="m-1")
OPENED = Done(has_acted=True)
REJECTED = Refused(FailureCode.REJECTED, "Channel.io answered 422.", 422)


def play(service: WebService, *outcomes: Outcome) -> None:
    """Settle one grant of the event after the other."""
    service.bench.set_gate(**{f"way:{WAY}": 1})
    for outcome in outcomes:
        service.bench.make_due("refund-7731")
        service.bench.worker().settle(service.bench.grant(), outcome)


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"user_id": "u1"}, {"/member_id": "must not be there beside user_id"}),
        ({"member_id": None}, {"/user_id": "is required, unless there is a member_id"}),
        ({"member_id": "a b"}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "a\u3000b"}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "a\x07"}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "a\x7f"}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "m" * 65}, {"/member_id": MEMBER_RULE}),
        ({"member_id": ""}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "a\n"}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "\u00a0"}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "\u0085"}, {"/member_id": MEMBER_RULE}),
        ({"member_id": "\ud800"}, {"/member_id": LONE}),
        ({"member_id": 7}, {"/member_id": "must be a string"}),
        ({"message": {"text": "a" * 4001, "bot_name": "B"}}, {"/message/text": TEXT_RULE}),
        ({"message": {"text": "", "bot_name": "B"}}, {"/message/text": TEXT_RULE}),
        ({"message": {"text": "\udc00", "bot_name": "B"}}, {"/message/text": LONE}),
        ({"message": {"text": 7, "bot_name": "B"}}, {"/message/text": "must be a string"}),
        ({"message": {"bot_name": "B"}}, {"/message/text": "is required"}),
        ({"message": {"text": None, "bot_name": "B"}}, {"/message/text": "is required"}),
        ({"message": {**MESSAGE, "bot_name": ""}}, {"/message/bot_name": BOT_RULE}),
        ({"message": {**MESSAGE, "bot_name": "\udc00"}}, {"/message/bot_name": LONE}),
        ({"message": {**MESSAGE, "bot_name": 7}}, {"/message/bot_name": "must be a string"}),
        ({"message": {**MESSAGE, "\ud800": "x"}}, {"/message": LONE}),
        ({"message": 7, "open": None}, {"/message": "must be an object"}),
        ({"message": True, "open": None}, {"/message": "must be an object"}),
        ({"message": {**MESSAGE, "bot_name": "a@b"}}, {"/message/bot_name": BOT_RULE}),
        ({"message": {**MESSAGE, "bot_name": "b" * 31}}, {"/message/bot_name": BOT_RULE}),
        ({"message": {**MESSAGE, "private": 1}}, {"/message/private": "must be true or false"}),
        ({"message": {**MESSAGE, "html": "x"}}, {"/message/html": "is not a known field"}),
        ({"message": "Hello.", "open": None}, {"/message": "must be an object"}),
        ({"message": [], "open": None}, {"/message": "must be an object"}),
        ({"message": {"text": "a"}}, {"/open": NEEDS_BOT}),
        ({"message": None}, {"/open": NEEDS_BOT}),
        ({"message": {**MESSAGE, "bot_name": None}}, {"/open": NEEDS_BOT}),
        ({"open": "true"}, {"/open": "must be true or false"}),
        ({"open": 1}, {"/open": "must be true or false"}),
    ],
)
def test_each_fault_is_named(
    service: WebService, change: dict[str, Any], faults: dict[str, str]
) -> None:
    """By its place, and nothing is stored."""
    response = service.post({**EVENT, **change})

    assert faults == errors(response)
    assert TEXT not in response.text
    assert not service.stored()


def test_all_faults_are_named_at_once(service: WebService) -> None:
    """Also those of both ids, and of an open without a bot."""
    wrong = {
        "event_id": "e1",
        "user_id": "a b",
        "member_id": "m" * 65,
        "message": {"text": "", "private": "yes", "other": 1},
        "open": True,
        "metadata": {"a": 1},
    }

    assert {
        "/user_id",
        "/member_id",
        "/message/text",
        "/message/private",
        "/message/other",
        "/open",
        "/metadata/a",
    } <= {error["pointer"] for error in problem(service.post(wrong))["errors"]}


@pytest.mark.parametrize("name", ["text", "private", "bot_name", "other"])
def test_a_repeated_key_of_the_message_is_named(service: WebService, name: str) -> None:
    """Readers differ in which of them counts."""
    message = f'{{"text": "a", "private": true, "bot_name": "B", "{name}": null, "{name}": null}}'
    body = f'{{"event_id": "e1", "user_id": "u1", "message": {message}}}'.encode()

    repeated = {"pointer": f"/message/{name}", "detail": "must not be repeated"}
    assert repeated in problem(service.post(body))["errors"]
    assert not service.stored()


@pytest.mark.parametrize(
    "nulls",
    [
        {"message": None, "open": None},
        {"user_id": None},
        {"message": {"text": "a", "private": None}, "open": None},
        {"message": {"text": "a", "bot_name": None}, "open": None},
        {"message": {**MESSAGE, "private": None}},
    ],
)
def test_null_is_as_good_as_absent(service: WebService, nulls: dict[str, Any]) -> None:
    """Of each field that need not be there: the same event without it is a repeat."""
    event = {**EVENT, **nulls}
    first = service.post(event)

    again = service.post(without_nulls(event))

    assert (202, 202) == (first.status_code, again.status_code)
    assert "true" == again.headers["Idempotent-Replayed"]


def without_nulls(content: dict[str, Any]) -> dict[str, Any]:
    """Return a copy without the fields that are null, at any depth."""
    return {
        name: without_nulls(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if value is not None
    }


@pytest.mark.parametrize("member_id", ["m" * 64, "\U0001f389" * 64, "@", "/", "%", "."])
def test_a_member_id_may_have_other_characters(service: WebService, member_id: str) -> None:
    """Up to 64 of them, as Channel.io counts."""
    assert 202 == service.post({**EVENT, "member_id": member_id}).status_code


def test_the_relays_bot_name_is_enough_for_an_open(client: Client) -> None:
    """It is for events without one of their own."""
    service = serve(client, bot_name="Relay")

    assert 202 == service.post({"event_id": "e1", "user_id": "u1", "open": True}).status_code


@pytest.mark.parametrize("text", ["a", "a" * 4000, "\U0001f4ac" * 4000, "한" * 4000, "a\n\tb"])
def test_texts_are_stored_as_they_are(service: WebService, text: str) -> None:
    """In a key of their own, and nowhere else."""
    service.post({**EVENT, "message": {**MESSAGE, "text": text}})

    assert text == service.bench.client.get(service.bench.key("text:refund-7731"))
    assert '"text"' not in (service.bench.text("refund-7731") or "")


def test_the_text_is_in_no_answer_and_no_log(
    service: WebService, capfd: pytest.CaptureFixture[str]
) -> None:
    """Accepted, refused, reused, or looked up."""
    responses = [
        service.post(EVENT),
        service.post(EVENT),
        service.post({**EVENT, "message": {**MESSAGE, "text": TEXT + "!"}}),
        service.post({**EVENT, "event_id": "a/b"}),
        service.get("/v1/events/refund-7731"),
    ]

    assert [202, 202, 422, 422, 200] == [response.status_code for response in responses]
    assert not any(TEXT in response.text for response in responses)
    assert TEXT not in "".join(capfd.readouterr())


# A reused id.


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"message": {**MESSAGE, "text": "other"}}, ["/message/text"]),
        ({"message": {**MESSAGE, "private": True}}, ["/message/private"]),
        ({"message": {**MESSAGE, "text": "other", "private": True}}, ["/message/private"]),
        ({"message": {**MESSAGE, "bot_name": "Other"}}, ["/message/bot_name"]),
        ({"message": None, "open": None}, ["/open", "/message"]),
        ({"open": False}, ["/open"]),
        ({"member_id": "other"}, ["/member_id"]),
        ({"member_id": None, "user_id": "u1"}, ["/user_id", "/member_id"]),
        ({"metadata": {"a": "b"}}, ["/metadata"]),
    ],
)
def test_a_reused_id_names_what_differs(
    service: WebService, change: dict[str, Any], pointers: list[str]
) -> None:
    """The text only where every other field agrees: there is nothing to compare it with."""
    service.post(EVENT)
    play(service, Resolved("u1"))

    response = service.post({**EVENT, **change})

    assert "/problems/event-id-reused" == problem(response)["type"]
    assert pointers == [error["pointer"] for error in problem(response)["errors"]]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"open": None}, {"open": False}),
        ({"message": {"text": TEXT}, "open": None}, {"message": {"text": TEXT, "private": False}}),
        ({"message": None, "open": None}, {"message": None, "open": False}),
    ],
)
def test_false_is_as_good_as_absent(
    service: WebService, first: dict[str, Any], again: dict[str, Any]
) -> None:
    """And so is null: it is a repeat."""
    service.post({**EVENT, **first})

    response = service.post({**EVENT, **first, **again})

    assert "true" == response.headers["Idempotent-Replayed"]


# Complete or held.


def test_a_202_may_have_its_chat_already(service: WebService) -> None:
    """While tasks are left; a repeat and a look-up say when to look again."""
    service.post(EVENT)
    play(service, Resolved("u1"), CREATED)

    posted, found = service.post(EVENT), service.get("/v1/events/refund-7731")

    record = posted.get_json()
    assert (202, 200) == (posted.status_code, found.status_code)
    assert ["1", "1"] == [one.headers["Retry-After"] for one in (posted, found)]
    assert ("opened", False, "chat-1") == (
        record["status"],
        record["complete"],
        record["chat"]["id"],
    )
    assert found.get_json() == record


@pytest.mark.parametrize(
    ("outcomes", "statuses"),
    [
        ([Resolved("u1"), CREATED, SENT, OPENED], ["done", "done"]),
        ([Resolved("u1"), CREATED, REJECTED], ["failed", "skipped"]),
        ([Refused(FailureCode.USER_NOT_FOUND, "No.", 404, has_acted=False)], ["skipped"] * 2),
        ([Resolved("u1"), UNKNOWN], ["pending", "pending"]),
    ],
    ids=["done", "failed", "no user", "held"],
)
def test_200_once_it_is_complete_or_held(
    service: WebService, outcomes: list[Outcome], statuses: list[str]
) -> None:
    """Without ``Retry-After``."""
    service.post(EVENT)
    play(service, *outcomes)

    response = service.post(EVENT)

    record = response.get_json()
    assert 200 == response.status_code
    assert "Retry-After" not in response.headers
    assert statuses == [task["status"] for task in record["tasks"].values()]
    assert record["complete"] is (record["status"] != "unknown")


def test_a_200_may_become_a_202_again(service: WebService) -> None:
    """After an operator's decision."""
    service.post(EVENT)
    play(service, Resolved("u1"), CREATED, REJECTED)
    service.bench.operations().redrive("refund-7731", by="anna")

    response = service.post(EVENT)

    assert (202, None) == (response.status_code, response.get_json()["expires_at"])


# Look-ups by member.


def test_a_members_chats_are_found(service: WebService) -> None:
    """By the caller's own id, with the user's beside it."""
    service.post(EVENT)
    play(service, Resolved("u1"), CREATED)

    found = service.get("/v1/members/customer-8841/chats").get_json()

    assert ("customer-8841", False) == (found["member_id"], found["has_more"])
    assert [("refund-7731", "u1")] == [(one["event_id"], one["user_id"]) for one in found["chats"]]
    assert found["chats"] == service.get("/v1/users/u1/chats").get_json()["chats"]


@pytest.mark.parametrize(
    ("member_id", "path"),
    [
        ("a/b", "a/b"),
        ("a/b", "a%2Fb"),
        ("한국", "%ED%95%9C%EA%B5%AD"),
        ("100%", "100%25"),
        ("a?b#c", "a%3Fb%23c"),
        ("chats", "chats"),
        ("a/chats", "a/chats"),
        ("/a", "%2Fa"),
        ("/a", "/a"),
        ("a/", "a%2F"),
        ("/", "%2F"),
        ("//a//b//", "//a//b//"),
        ("/chats", "%2Fchats"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("../../events/e1", "..%2F..%2Fevents%2Fe1"),
        ("%2F", "%252F"),
        ("%", "%25"),
        ("+", "+"),
        ("\ufffd", "%EF%BF%BD"),
        ("\U0001f389", "%F0%9F%8E%89"),
    ],
)
def test_any_member_id_can_be_looked_up(service: WebService, member_id: str, path: str) -> None:
    """Percent-encoded; a slash may stay, wherever it is."""
    service.post({**EVENT, "member_id": member_id})
    play(service, Resolved("u1"), CREATED)

    found = service.get(f"/v1/members/{path}/chats").get_json()

    assert (member_id, 1) == (found["member_id"], len(found["chats"]))


@pytest.mark.parametrize(
    "path",
    ["a%20b", "%20", "a%07", "%0A", "a%0D%0Ab", "%00", "m" * 65, "%E3%80%80", "/" * 65],
)
def test_an_impossible_member_id_is_refused(service: WebService, path: str) -> None:
    """422 with its rule, as for users."""
    assert {"member_id": MEMBER_RULE} == errors(service.get(f"/v1/members/{path}/chats"))


def test_the_list_has_a_limit(service: WebService) -> None:
    """As that of a user."""
    faults = errors(service.get("/v1/members/m1/chats?limit=0&other=1"))

    assert {"limit", "other"} == faults.keys()
    empty = service.get("/v1/members/m1/chats?limit=5").get_json()
    assert {"member_id": "m1", "chats": [], "has_more": False} == empty
