"""The names of the keys that Python touches; the scripts' header lists the whole key space."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Person:
    """A person, by Channel.io's user id or by the caller's member id."""

    field: Literal["user_id", "member_id"]
    id: str

    @property
    def index(self) -> str:
        """The key, without its prefix, of the person's opened events."""
        return {"user_id": "user:", "member_id": "member_chats:"}[self.field] + self.id

    def as_argument(self) -> dict[str, str]:
        """Build the part of a script's argument that names the person."""
        return {"index": self.index, "field": self.field, "value": self.id}


class Keys:
    """Key names under one prefix, in braces so that all of them are one Redis Cluster slot."""

    def __init__(self, prefix: str) -> None:
        self.tag = f"{{{prefix}}}"
        self.bell = f"{self.tag}:bell"
        self.settled = f"{self.tag}:settled"
        self.audit = f"{self.tag}:audit"

    def event(self, event_id: str) -> str:
        """Return the key of one event's record."""
        return f"{self.tag}:event:{event_id}"

    def forgotten(self, event_id: str) -> str:
        """Return the key that names an event's life that an operator removed."""
        return f"{self.tag}:forgotten:{event_id}"
