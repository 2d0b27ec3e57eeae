"""Tests of each field of an event: the values of the contract, and no others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from app.chats.event import OnUnknown, OpenChatEvent
from tests.chats.events import complaint, event

ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NOT_STRINGS = [7, 7.5, True, b"a", [], ["a"], {}, {"a": "b"}]
TIME_WANTED = "must be an RFC 3339 time with an offset, such as 2026-11-22T10:00:00Z"
NO_SUCH_TIME = "is not a time that exists"


@pytest.mark.parametrize("event_id", ["a", "...", ".a", "a" * 128, ALPHANUMERIC, "._:~-"])
def test_an_event_id_is_a_path_segment(event_id: str) -> None:
    """1 to 128 unreserved characters and colons."""
    assert event_id == event(event_id=event_id).event_id


@pytest.mark.parametrize("character", ' /%?#\\"@+,;é٣\n\r\x00\x7f\ud800😀')
def test_an_event_id_has_no_other_character(character: str) -> None:
    """Nowhere in it, the end included, where a line feed is easily let through."""
    for event_id in (character, f"{character}a", f"a{character}a", f"a{character}"):
        assert complaint(event_id=event_id)


@pytest.mark.parametrize("event_id", ["", "a" * 129, ".", "..", *NOT_STRINGS])
def test_other_event_ids_are_refused(event_id: Any) -> None:
    """Empty, too long, a step in a path, or no string at all."""
    assert complaint(event_id=event_id)


@pytest.mark.parametrize("user_id", ["u", "_", "-", "a" * 64, "6606508eaa71575f1e8c"])
def test_a_user_id_is_channel_ios(user_id: str) -> None:
    """1 to 64 letters, digits, ``_`` and ``-``."""
    assert user_id == event(user_id=user_id).user_id


@pytest.mark.parametrize("character", ' ./:~%?#\\"@+,;é٣\n\r\x00\x7f\ud800😀')
def test_a_user_id_has_no_other_character(character: str) -> None:
    """It becomes a part of Channel.io's path: nowhere in it."""
    for user_id in (character, f"{character}a", f"a{character}a", f"a{character}"):
        assert complaint(user_id=user_id)


@pytest.mark.parametrize("user_id", ["", "a" * 65, *NOT_STRINGS])
def test_other_user_ids_are_refused(user_id: Any) -> None:
    """Empty, too long, or no string at all."""
    assert complaint(user_id=user_id)


@pytest.mark.parametrize("name", ["event_id", "user_id"])
def test_both_ids_are_required(name: str) -> None:
    """Null is as good as absent, which is not good enough for these."""
    with pytest.raises(ValidationError):
        OpenChatEvent.model_validate({"event_id": "e", "user_id": "u"} | {name: None})


def test_null_is_absent() -> None:
    """The optional fields may be left out, or be null: the same event."""
    assert event() == event(occurred_at=None, on_unknown=None, metadata=None)
    assert (None, None, {}) == (event().occurred_at, event().on_unknown, event().metadata)


def test_unknown_fields_are_refused() -> None:
    """A misspelt field is refused, not ignored."""
    assert complaint(on_unknwon="hold")


def test_an_event_cannot_be_changed() -> None:
    """The stored event is the validated one."""
    with pytest.raises(ValidationError):
        setattr(event(), "user_id", "other")  # noqa: B010 - mypy would refuse it as well


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-11-22T10:00:00Z", datetime(2025, 11, 22, 10, tzinfo=UTC)),
        ("2025-11-22t10:00:00z", datetime(2025, 11, 22, 10, tzinfo=UTC)),
        ("2025-11-22T10:00:00-00:00", datetime(2025, 11, 22, 10, tzinfo=UTC)),
        ("2025-11-22T10:00:00+05:45", datetime(2025, 11, 22, 4, 15, tzinfo=UTC)),
        ("2025-11-22T10:00:00+23:59", datetime(2025, 11, 21, 10, 1, tzinfo=UTC)),
        ("2025-11-22T10:00:00.1Z", datetime(2025, 11, 22, 10, 0, 0, 100_000, tzinfo=UTC)),
        ("2025-11-22T10:00:00.123456789Z", datetime(2025, 11, 22, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_occurred_at_is_an_instant(text: str, instant: datetime) -> None:
    """RFC 3339 with any offset, kept as UTC to the microsecond."""
    occurred_at = event(occurred_at=text).occurred_at

    assert instant == occurred_at
    assert occurred_at is not None
    assert occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-11-22",
        "20251122T100000Z",
        "2025-11-22T10:00Z",
        "2025-11-22 10:00:00Z",
        "2025-11-22T10:00:00",
        "2025-11-22T10:00:00.Z",
        "2025-11-22T10:00:00,5Z",
        "2025-11-22T10:00:00+0100",
        "2025-11-22T10:00:00+01",
        "2025-11-22T10:00:00+01:00:30",
        "2025-11-22T10:00:00Z\n",
        " 2025-11-22T10:00:00Z",
        "2025-W47-6T10:00:00Z",
        "2025-11-22T24:00:00Z",
        "2025-11-22T10:00:00+00:60",
        "2025-11-22T10:00:00-05:99",
        "\N{ARABIC-INDIC DIGIT TWO}025-11-22T10:00:00Z",
        "2025-11-22T10:00:00." + "1" * 10_000 + "Z",
        "99999-11-22T10:00:00Z",
        "\ud8002025-11-22T10:00:00Z",
        1_763_805_600,
        True,
        [],
        {},
    ],
)
def test_occurred_at_in_another_form_is_refused(text: Any) -> None:
    """The sentence shows the form that is wanted."""
    assert TIME_WANTED == complaint(occurred_at=text)


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-29T10:00:00Z",
        "2025-00-01T10:00:00Z",
        "2025-13-01T10:00:00Z",
        "2025-11-31T10:00:00Z",
        "2025-11-22T10:60:00Z",
        "2016-12-31T23:59:60Z",
        "2025-11-22T10:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    """On no calendar, at no such offset, a leap second, or outside of the years 1 to 9999."""
    assert NO_SUCH_TIME == complaint(occurred_at=text)


def test_occurred_at_may_be_five_minutes_ahead() -> None:
    """Clocks differ a little; more than that is a mistake."""
    almost, beyond = (datetime.now(UTC) + timedelta(minutes=m) for m in (4.9, 5.1))

    assert almost == event(occurred_at=almost.isoformat()).occurred_at
    assert complaint(occurred_at=beyond.isoformat()) == "must not be more than 5 minutes ahead"
    assert complaint(occurred_at="9999-12-31T00:00:00Z") == "must not be more than 5 minutes ahead"


@pytest.mark.parametrize("on_unknown", ["hold", "recreate"])
def test_on_unknown_is_one_of_two(on_unknown: str) -> None:
    """As the configuration has them."""
    assert OnUnknown(on_unknown) is event(on_unknown=on_unknown).on_unknown


@pytest.mark.parametrize("on_unknown", ["", "HOLD", "hold ", "fail", "\ud800", *NOT_STRINGS])
def test_another_on_unknown_is_refused(on_unknown: Any) -> None:
    """The sentence names both."""
    assert complaint(on_unknown=on_unknown) == "must be 'hold' or 'recreate'"


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"": ""},
        {"order": "7731"},
        {"größer": "😀", "zero": "\x00", "[key]": "a/b~c"},
        {str(number): "" for number in range(10)},
        {"k": "x" * (1024 - len('{"k":""}'))},
        {"k": "é" * ((1024 - len('{"k":""}')) // 2)},
    ],
)
def test_metadata_is_ten_small_pairs(metadata: dict[str, str]) -> None:
    """Any text may be in it, up to 1 KiB in all."""
    assert metadata == event(metadata=metadata).metadata


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({str(number): "" for number in range(11)}, "must have at most 10 pairs"),
        ({"k": "x" * (1025 - len('{"k":""}'))}, "must be at most 1024 bytes as compact JSON"),
        ({"k": "é" * 510}, "must be at most 1024 bytes as compact JSON"),
        ({"k": "\x00" * 170}, "must be at most 1024 bytes as compact JSON"),
        ({"k" * 2000: ""}, "must be at most 1024 bytes as compact JSON"),
        ({"k": "\ud800"}, "must be valid Unicode, without lone surrogates"),
        ({"\udfff": "v"}, "must be valid Unicode, without lone surrogates"),
    ],
)
def test_more_metadata_is_refused(metadata: dict[str, str], sentence: str) -> None:
    """Bytes are counted, not characters, and text that cannot be stored is none."""
    assert sentence == complaint(metadata=metadata)


@pytest.mark.parametrize("value", [None, *NOT_STRINGS])
def test_metadata_holds_strings_only(value: Any) -> None:
    """A number would come back as something else than was sent."""
    assert complaint(metadata={"order": value})


@pytest.mark.parametrize("metadata", ["", "a", 7, True, [], [["a", "b"]]])
def test_metadata_is_an_object(metadata: Any) -> None:
    """Pairs in a list are none."""
    assert complaint(metadata=metadata)
