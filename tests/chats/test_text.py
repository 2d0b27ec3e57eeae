"""The text of a message is a person's: no ``repr``, error or copy of its event shows it."""

import traceback
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from app.chats.grant import Grant, Task
from tests.chats.events import event

TEXT = "M70689098"
MESSAGE = {"text": TEXT, "bot_name": "Bell", "private": True}


@pytest.mark.parametrize(
    "fields",
    [
        {"message": TEXT},
        {"message": [TEXT]},
        {"message": {"text": TEXT * 1000}},
        {"message": {"text": TEXT + "\ud800"}},
        {"message": {"text": [TEXT]}},
        {"message": {"text": {"text": TEXT}}},
        {"message": {**MESSAGE, "bot_name": TEXT + "@"}},
        {"message": {**MESSAGE, "private": TEXT}},
        {"message": {**MESSAGE, "html": TEXT}},
        {"message": MESSAGE, "event_id": "a b"},
        {"message": MESSAGE, "event_id": None},
        {"message": MESSAGE, "user_id": None},
        {"message": MESSAGE, "member_id": "m1"},
        {"message": MESSAGE, "metadata": {"text": 7}},
        {"message": MESSAGE, "metadata": {"text": TEXT * 1000}},
        {"message": MESSAGE, "occurred_at": TEXT},
        {"message": MESSAGE, "on_unknown": TEXT},
        {"message": MESSAGE, "open": TEXT},
        {"message": MESSAGE, "text": TEXT},
    ],
)
def test_an_error_about_an_event_quotes_nothing_of_it(fields: dict[str, Any]) -> None:
    """Wherever the text was put by mistake, and whichever field is at fault."""
    with pytest.raises(ValidationError) as caught:
        event(**fields)

    shown = [repr(caught.value), *traceback.format_exception(caught.value)]
    assert TEXT not in "".join(shown)


def test_no_copy_of_an_event_shows_the_text() -> None:
    """Its field alone has it, for the one key in Redis."""
    posted = event(message=MESSAGE)

    assert posted.message is not None
    assert TEXT == posted.message.text.get_secret_value()
    shown = [repr(posted), str(posted), repr(posted.message), repr(posted.model_dump())]
    assert TEXT not in "".join([*shown, posted.model_dump_json()])
    assert TEXT not in posted.fingerprint


def test_no_copy_of_a_grant_has_the_text() -> None:
    """The spool keeps grants as JSON."""
    grant = Grant("e1", "u1", 2, "token", {}, Task.MESSAGE, SecretStr(TEXT))
    grants = TypeAdapter(Grant)

    dumped = grants.dump_json(grant)

    assert TEXT not in repr(grant) + repr(grants.dump_python(grant)) + dumped.decode()
    assert b'"text"' not in dumped
