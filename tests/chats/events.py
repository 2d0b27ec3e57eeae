"""Events of the tests, and the model's complaint about a wrong one."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.chats.event import OpenChatEvent


def event(**fields: Any) -> OpenChatEvent:
    """A valid event, with ``fields`` in place of its own."""
    return OpenChatEvent.model_validate({"event_id": "e-1", "user_id": "u-1", **fields})


def complaint(**fields: Any) -> str:
    """The one sentence about the one wrong field."""
    with pytest.raises(ValidationError) as caught:
        event(**fields)
    (error,) = caught.value.errors()
    (name,) = fields
    assert name == error["loc"][0]
    return error["msg"]
