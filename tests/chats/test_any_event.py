"""Whatever JSON is posted is an event or a validation error, and nothing else."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.chats.event import OpenChatEvent
from tests.chats.events import event

TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates and NUL included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
ALMOST_TIME = st.from_regex(
    r"\A\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{0,20})?([Zz]|[+-]\d\d:?\d\d)\Z"
)
FIELDS = {
    "event_id": st.from_regex(r"\A[A-Za-z0-9._:~-]{1,8}\n?\Z") | JSON,
    "user_id": st.from_regex(r"\A[A-Za-z0-9_-]{1,8}\n?\Z") | JSON,
    "member_id": st.from_regex(r"\A[!-~]{1,8} ?\Z") | JSON,
    "message": st.fixed_dictionaries(
        {"text": TEXT}, optional={"private": st.booleans() | JSON, "bot_name": TEXT | JSON}
    )
    | JSON,
    "open": st.booleans() | JSON,
    "occurred_at": ALMOST_TIME | JSON,
    "on_unknown": st.sampled_from(["hold", "recreate"]) | JSON,
    "metadata": st.dictionaries(TEXT, TEXT, max_size=12) | JSON,
}
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))

# The machine may be busy, and a first run learns the characters of Unicode by the way.
patient = settings(suppress_health_check=[HealthCheck.too_slow])


def judge(content: Any) -> OpenChatEvent | None:
    """The event, or nothing where it is refused as it should be."""
    try:
        return OpenChatEvent.model_validate(content)
    except ValidationError:
        return None


@patient
@given(JSON | st.fixed_dictionaries({}, optional={**FIELDS, "other": JSON}))
def test_anything_is_judged(content: Any) -> None:
    """No value raises anything but a validation error."""
    judge(content)


@patient
@given(st.fixed_dictionaries(FIELDS))
def test_an_event_can_be_stored(content: dict[str, Any]) -> None:
    """Every accepted event has a fingerprint and text that UTF-8 can encode."""
    judged = judge(content)

    if judged is not None:
        assert judged.fingerprint.startswith("1:")
        user = judged.user_id or judged.member_id
        assert str(judged.metadata | {judged.event_id: user}).encode()


@patient
@given(
    st.datetimes(
        min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the offset
        max_value=datetime(2025, 1, 1),  # noqa: DTZ001 - as above
        timezones=OFFSETS,
    )
)
def test_every_time_that_exists_is_taken(instant: datetime) -> None:
    """Read as RFC 3339 it is the same instant, at whatever offset it was written."""
    occurred_at = event(occurred_at=instant.isoformat()).occurred_at

    assert instant == occurred_at
    assert occurred_at is not None
    assert occurred_at.tzinfo is UTC
