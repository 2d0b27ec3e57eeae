"""An event is accepted once, however often it is posted."""

import json
from typing import Any

import pytest

from app.chats.outcome import Outcome
from tests.web.service import EVENT, WebService, errors, problem, serve, slug
from tools.model.outcomes import CREATED, REFUSED, UNKNOWN
from tools.stack.redis_client import Client

LOCATION = "/v1/events/refund-7731"


def test_a_new_event_is_accepted(service: WebService) -> None:
    """202 with its record, where to find it, and when to look again."""
    response = service.post({**EVENT, "on_unknown": "hold", "metadata": {"order": "7731"}})

    assert response.status_code == 202
    assert response.content_type == "application/json"
    assert (LOCATION, "1") == (response.headers["Location"], response.headers["Retry-After"])
    assert "Idempotent-Replayed" not in response.headers
    record = response.get_json()
    assert record["accepted_at"].endswith("Z")
    assert record == {
        **EVENT,
        "member_id": None,
        "status": "accepted",
        "created": False,
        "chat": None,
        "session": None,
        "user_session": None,
        "failure": None,
        "tasks": None,
        "complete": False,
        "attempts": 0,
        "possible_orphan": False,
        "duplicate_chat_ids": [],
        "accepted_at": record["accepted_at"],
        "settled_at": None,
        "completed_at": None,
        "expires_at": None,
        "occurred_at": None,
        "on_unknown": "hold",
        "metadata": {"order": "7731"},
    }


def test_a_duplicate_gets_the_same_record(service: WebService) -> None:
    """202 again while it is open, with ``Idempotent-Replayed``."""
    first = service.post()

    again = service.post()

    assert (202, first.data) == (again.status_code, again.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (LOCATION, "1") == (again.headers["Location"], again.headers["Retry-After"])
    assert service.bench.queue("due").keys() == {"refund-7731"}


def test_a_duplicate_during_the_call_is_202(service: WebService) -> None:
    """It is unknown yet whether there will be a chat."""
    service.bench.open_gate()
    service.post()
    service.bench.grant()

    response = service.post()

    record = response.get_json()
    assert (202, "1") == (response.status_code, response.headers["Retry-After"])
    assert ("calling", None, 1) == (record["status"], record["created"], record["attempts"])


@pytest.mark.parametrize(
    ("outcome", "status", "created"),
    [(CREATED, "opened", True), (REFUSED, "failed", False), (UNKNOWN, "unknown", None)],
)
def test_a_duplicate_of_a_finished_event_is_200(
    service: WebService, outcome: Outcome, status: str, *, created: bool | None
) -> None:
    """With the record as it came out, and nothing to wait for."""
    service.bench.open_gate()
    service.post()
    service.bench.worker().settle(service.bench.grant(), outcome)

    response = service.post()

    record = response.get_json()
    assert (200, "true") == (response.status_code, response.headers["Idempotent-Replayed"])
    assert response.headers["Location"] == LOCATION
    assert "Retry-After" not in response.headers
    assert (status, created) == (record["status"], record["created"])


def test_an_opened_record_has_its_ids(service: WebService) -> None:
    """Chat and sessions as Channel.io named them, and when the record goes."""
    service.bench.open_gate()
    service.post()
    service.bench.worker().settle(service.bench.grant(), CREATED)

    record = service.post().get_json()

    assert record["chat"] == {"id": "chat-1", "channel_id": "6263", "state": "initial"}
    assert record["session"] == {"id": "s-1", "key": "bot-1-userChat-chat-1"}
    assert record["user_session"] == {"id": "s-2", "key": None}
    assert record["failure"] is None
    assert record["accepted_at"] <= record["settled_at"] < record["expires_at"]


def test_a_failed_record_has_its_failure(service: WebService) -> None:
    """A code from the closed list, and what Channel.io's status was."""
    service.bench.open_gate()
    service.post()
    service.bench.worker().settle(service.bench.grant(), REFUSED)

    record = service.post().get_json()

    assert record["failure"] == {
        "code": "user_not_found",
        "detail": "There is no such user.",
        "upstream_status": 404,
    }
    assert (None, None, None) == (record["chat"], record["session"], record["user_session"])


def test_a_reused_id_is_refused_and_the_first_event_is_not_shown(service: WebService) -> None:
    """A caller that guesses an id learns nothing of the event that has it."""
    service.post({**EVENT, "user_id": "first-user", "metadata": {"secret-name": "secret-value"}})

    response = service.post({**EVENT, "user_id": "second-user"})

    assert slug(response) == "event-id-reused"
    assert "Location" not in response.headers
    assert not [word for word in (b"first", b"secret") if word in response.data]
    assert service.bench.record("refund-7731").user_id == "first-user"


@pytest.mark.parametrize(
    ("differing", "names"),
    [
        ({"user_id": "other"}, ["/user_id"]),
        ({"on_unknown": "hold"}, ["/on_unknown"]),
        ({"on_unknown": None}, ["/on_unknown"]),
        ({"metadata": {"order": "7732"}}, ["/metadata"]),
        ({"metadata": None}, ["/metadata"]),
        ({"user_id": "other", "metadata": {}}, ["/user_id", "/metadata"]),
    ],
)
def test_a_reused_id_names_the_fields_that_differ(
    service: WebService, differing: dict[str, Any], names: list[str]
) -> None:
    """Their names alone, as pointers, and nothing of their values."""
    first = {**EVENT, "on_unknown": "recreate", "metadata": {"order": "7731"}}
    service.post(first)

    response = service.post({**first, **differing})

    assert "event-id-reused" == slug(response)
    assert dict.fromkeys(names, "differs from the accepted event") == errors(response)
    assert b"7731" not in response.data.replace(EVENT["event_id"].encode(), b"")


@pytest.mark.parametrize("header", ["refund-7731", '"refund-7731"', ' "refund-7731" '])
def test_the_idempotency_key_serves_as_event_id(service: WebService, header: str) -> None:
    """Bare or quoted, in the place of the field that is absent or null."""
    user_id = EVENT["user_id"]

    absent = service.post({"user_id": user_id}, Idempotency_Key=header)
    null = service.post({"user_id": user_id, "event_id": None}, Idempotency_Key=header)

    assert absent.get_json()["event_id"] == null.get_json()["event_id"] == "refund-7731"
    assert null.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("header", ["refund-7731", '"refund-7731"', "", '""', "  "])
def test_the_idempotency_key_may_repeat_the_event_id(service: WebService, header: str) -> None:
    """An empty one is none."""
    assert service.post(EVENT, Idempotency_Key=header).status_code == 202


def test_two_different_ids_are_refused(service: WebService) -> None:
    """It cannot be known which of them was meant; both places are named once."""
    response = service.post(EVENT, Idempotency_Key="refund-7732")

    assert errors(response) == {"Idempotency-Key": "differs from event_id in the body"}
    assert not service.stored()


@pytest.mark.parametrize(
    "header", ["a b", '"', '"a', "a/b", "..", "\xe9", "a" * 129, "a,a", '"a""b"']
)
def test_a_bad_idempotency_key_is_named_as_a_header(service: WebService, header: str) -> None:
    """The body had no such field, so no pointer leads to it."""
    response = service.post({"user_id": "u"}, Idempotency_Key=header)

    assert errors(response).keys() == {"Idempotency-Key"}
    assert not service.stored()


def test_a_missing_event_id_names_the_field(service: WebService) -> None:
    """The field is what is documented first."""
    for event in ({"user_id": "u"}, {"user_id": "u", "event_id": None}):
        assert errors(service.post(event)) == {"/event_id": "is required"}


def test_an_event_from_before_the_window_is_refused(service: WebService) -> None:
    """Its id may have been known once, and forgotten; one that is known is answered at any age."""
    old = {**EVENT, "occurred_at": "2001-01-01T00:00:00Z"}
    refused = service.post(old)
    assert not service.stored()
    service.post(EVENT)

    known = service.post(old)

    assert slug(refused) == "event-too-old"
    assert known.status_code == 202


def test_a_full_backlog_refuses_new_events_only(client: Client) -> None:
    """429 with a time to wait; what is known is answered as ever."""
    service = serve(client, max_backlog=1)
    service.post(EVENT)

    refused, known = service.post({**EVENT, "event_id": "next"}), service.post(EVENT)

    assert slug(refused) == "backlog-full"
    assert refused.headers["Retry-After"] == "10"
    assert known.status_code == 202
    assert service.bench.queue("due").keys() == {"refund-7731"}


def test_without_redis_nothing_is_confirmed(cut_off: WebService) -> None:
    """503 with ``Retry-After``; the words of Redis are in the log only."""
    response = cut_off.post()

    assert slug(response) == "unavailable"
    assert response.headers["Retry-After"] == "1"
    assert "same `event_id`" in problem(response)["detail"]
    assert b"127.0.0.1" not in response.data


def test_metadata_comes_back_as_it_was_sent(service: WebService) -> None:
    """Characters that mean something to JSON, Lua or Redis among them."""
    metadata = {"größe 😀": "\x00\x1f\x7f\\\"'", "": "", "a/b~c": "{}", "\u2028": "\uffff"}

    posted = service.post({**EVENT, "metadata": metadata})

    assert posted.get_json()["metadata"] == metadata
    assert service.get(LOCATION).get_json()["metadata"] == metadata
    assert json.loads(service.bench.fields("refund-7731")["metadata"]) == metadata
