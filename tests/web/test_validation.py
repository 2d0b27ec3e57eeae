"""Tests of validation: every fault is reported at once, with its remedy."""

import json
import time
from typing import Any

import pytest

from tests.web.service import EVENT, WebService, errors

LONE = "must be Unicode without lone surrogates"
ID_RULE = "must be 1 to 128 characters of A-Z a-z 0-9 . _ : ~ -"
USER_REQUIRED = "is required, unless there is a member_id"
USER_RULE = "must be 1 to 64 characters of A-Z a-z 0-9 _ -"
TIME_RULE = "must be an RFC 3339 time with an offset, such as 2026-11-22T10:00:00Z"


def test_every_wrong_field_is_named_at_once(service: WebService) -> None:
    """One round of corrections is enough."""
    wrong = {
        "event_id": "a/b",
        "user_id": 7,
        "occurred_at": "yesterday",
        "on_unknown": "maybe",
        "metadata": {"order": 7731, "ok": "yes", "no": None},
        "event": "chat",
    }

    assert errors(service.post(wrong)) == {
        "/event_id": ID_RULE,
        "/user_id": "must be a string",
        "/occurred_at": TIME_RULE,
        "/on_unknown": "must be 'hold' or 'recreate'",
        "/metadata/order": "must be a string",
        "/metadata/no": "must be a string",
        "/event": "is not a known field",
    }
    assert not service.stored()


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        ({"event_id": ""}, "/event_id", ID_RULE),
        ({"event_id": "a" * 129}, "/event_id", ID_RULE),
        ({"event_id": "a\n"}, "/event_id", ID_RULE),
        ({"event_id": ".."}, "/event_id", "must not be '.' or '..'"),
        ({"event_id": ["a"]}, "/event_id", "must be a string"),
        ({"event_id": "\ud800"}, "/event_id", LONE),
        ({"event_id": None}, "/event_id", "is required"),
        ({"user_id": ""}, "/user_id", USER_RULE),
        ({"user_id": "a" * 65}, "/user_id", USER_RULE),
        ({"user_id": "\udc00"}, "/user_id", LONE),
        ({"user_id": None}, "/user_id", USER_REQUIRED),
        ({"user_id": 7}, "/user_id", "must be a string"),
        ({"occurred_at": 1_763_805_600}, "/occurred_at", TIME_RULE),
        ({"occurred_at": "2025-02-30T10:00:00Z"}, "/occurred_at", "is not a time that exists"),
        ({"metadata": []}, "/metadata", "must be an object of strings"),
        ({"metadata": "order"}, "/metadata", "must be an object of strings"),
        ({"metadata": {"[key]": 1}}, "/metadata/[key]", "must be a string"),
        ({"metadata": {"a/b~c~1": 1}}, "/metadata/a~1b~0c~01", "must be a string"),
        ({"metadata": {"": 1}}, "/metadata/", "must be a string"),
        (
            {"metadata": {"k": "\ud800"}},
            "/metadata",
            "must be valid Unicode, without lone surrogates",
        ),
        ({"metadata": {str(n): "" for n in range(11)}}, "/metadata", "must have at most 10 pairs"),
        ({"[key]": 1}, "/[key]", "is not a known field"),
        ({"": 1}, "/", "is not a known field"),
        ({"event_id ": "a"}, "/event_id ", "is not a known field"),
        ({"Event_Id": "a"}, "/Event_Id", "is not a known field"),
        ({"a/b~c": {"d": [1]}}, "/a~1b~0c", "is not a known field"),
        ({"\ud800": 1}, "", LONE),
    ],
)
def test_the_pointer_leads_to_the_field(
    service: WebService, change: dict[str, Any], pointer: str, detail: str
) -> None:
    """The pointer is RFC 6901's, with escapes; the detail names the valid form."""
    assert errors(service.post({**EVENT, **change})) == {pointer: detail}
    assert not service.stored()


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"', b"true", b"[{}]", b"1" * 10_000])
def test_the_body_is_an_object(service: WebService, body: bytes) -> None:
    """The empty pointer is the whole body."""
    assert errors(service.post(body)) == {"": "must be an object"}


def test_an_empty_object_misses_both_ids(service: WebService) -> None:
    """Errors do not mention optional fields."""
    assert errors(service.post({})) == {"/event_id": "is required", "/user_id": USER_REQUIRED}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"event_id":"a","user_id":"u","user_id":"u"}', "/user_id"),
        (b'{"event_id":"a","user_id":"u","user_\\u0069d":"u"}', "/user_id"),
        (b'{"event_id":"a","event_id":null,"user_id":"u"}', "/event_id"),
        (b'{"event_id":"a","user_id":"u","metadata":{"k":"1","k":"2"}}', "/metadata/k"),
    ],
)
def test_a_repeated_key_is_refused(service: WebService, body: bytes, pointer: str) -> None:
    """Readers differ in which of the two counts, even where they are equal."""
    response = service.post(body, Idempotency_Key=None)

    found = [error for error in response.get_json()["errors"] if error["pointer"] == pointer]
    assert {"pointer": pointer, "detail": "must not be repeated"} in found
    assert not service.stored()


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b'"a":1,' * 10_000 + b'"b":1}',
        b'{"metadata":{' + b'"a":"",' * 9_000 + b'"b":""}}',
        json.dumps({f"{number:x}": 1 for number in range(6_000)}).encode(),
        json.dumps({"metadata": {f"{number:x}": 1 for number in range(6_000)}}).encode(),
        b'{"a":' + b"9" * 60_000 + b"}",
        b'{"a":1e' + b"9" * 60_000 + b"}",
        b'{"a":' * 300 + b"1" + b"}" * 300,
    ],
)
def test_thousands_of_faults_are_reported_fast(service: WebService, body: bytes) -> None:
    """Within the size limit nothing costs more than a moment."""
    began = time.thread_time()  # not the time that a busy machine gives to others

    response = service.post(body)

    assert response.status_code == 422
    assert 1 > time.thread_time() - began
    assert not service.stored()


def test_numbers_of_any_size_are_no_strings(service: WebService) -> None:
    """10,000 digits are read and refused like any other number."""
    body = b'{"event_id":%s,"user_id":-%s,"metadata":{"k":1e%s}}' % ((b"9" * 10_000,) * 3)

    assert errors(service.post(body)) == dict.fromkeys(
        ("/event_id", "/user_id", "/metadata/k"), "must be a string"
    )
