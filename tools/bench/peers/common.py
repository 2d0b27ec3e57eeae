"""Shared work of the peers: check the token, validate the event, claim its id."""

import hmac
import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

REDIS_URL = os.environ["REDIS_URL"]
TTL_SECONDS = 2_592_000
# Each thread of a gunicorn process may hold a connection.
MAX_CONNECTIONS = 64

_AUTHORIZATION = b"Bearer " + os.environ["SUBMIT_TOKEN"].encode()


class Event(BaseModel):
    """An event as the relay accepts it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:~-]{1,128}$")]
    user_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    metadata: dict[str, str] = Field(default_factory=dict, max_length=10)


def is_known(authorization: str | None) -> bool:
    """Return whether the header has the right token."""
    return hmac.compare_digest((authorization or "").encode(), _AUTHORIZATION)


def key_of(event: Event) -> str:
    """Return the key of an event's claim."""
    return f"event:{event.event_id}"


def answer_to(event: Event) -> dict[str, str]:
    """Build the body of an answer."""
    return {"event_id": event.event_id, "user_id": event.user_id, "status": "accepted"}
