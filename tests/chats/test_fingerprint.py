"""Tests of the fingerprint: it compares two events with one id."""

from typing import Any

import pytest

from tests.chats.events import event

FULL: dict[str, Any] = {"user_id": "u", "on_unknown": "hold", "metadata": {"a": "1", "b": "2"}}


def test_it_never_changes_between_releases() -> None:
    """Stored fingerprints outlive a release by the deduplication window: these are golden.

    SHA-256 over {"metadata":{"note":"größer","order":"7731"},"on_unknown":"hold","user_id":"6606…"}
    in UTF-8, and over {"metadata":{},"user_id":"u"}.
    """
    full = event(
        user_id="6606508eaa71575f1e8c",
        on_unknown="hold",
        metadata={"order": "7731", "note": "größer"},
    )

    assert full.fingerprint == "1:vmfFBXMbp6b9X1EqjioB_G3JKb4T7ExKslVEc_JYTEo"
    assert event(user_id="u").fingerprint == "1:0cZyTjwnUTPtaB8GvqC0lOWRvL67Vh0lLEibFRWvnq8"


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "other"},
        {"occurred_at": "2025-11-22T10:00:00Z"},
        {"metadata": {"b": "2", "a": "1"}},
    ],
)
def test_what_does_not_change_it(change: dict[str, Any]) -> None:
    """The id it stands for, when it occurred, and the order of pairs."""
    assert event(**FULL).fingerprint == event(**{**FULL, **change}).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": "v"},
        {"on_unknown": None},
        {"on_unknown": "recreate"},
        {"metadata": None},
        {"metadata": {"a": "1"}},
        {"metadata": {"a": "1", "b": "3"}},
        {"metadata": {"a": "1", "c": "2"}},
        {"metadata": {"a": '1","b":"2'}},
    ],
)
def test_what_changes_it(change: dict[str, Any]) -> None:
    """The user, ``on_unknown`` as it was sent (its default is no value), and each pair."""
    assert event(**FULL).fingerprint != event(**{**FULL, **change}).fingerprint


def test_absent_is_null_is_empty() -> None:
    """Clients that drop, null or empty an optional field repeat the same event."""
    spellings = [event(metadata=None), event(metadata={}), event(on_unknown=None)]

    assert {event().fingerprint} == {spelling.fingerprint for spelling in spellings}
