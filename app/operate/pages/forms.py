"""Filters of a list, and positions in it, as addresses and forms carry them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.chats.record import Status
from app.operate.filters import (
    WrongValue,
    parse_code,
    parse_event_id,
    parse_member,
    parse_since,
    parse_user,
)
from app.operate.selection import Selection
from app.store.operations import Position

PARSERS: dict[str, Callable[[str], Any]] = {
    "user": parse_user,
    "member": parse_member,
    "code": parse_code,
    "since": parse_since,
}
_POSITION = re.compile(r"(\d{1,17}):(.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a list: as entered, as read, and what is wrong with them, by field."""

    texts: dict[str, str]
    values: dict[str, Any]
    errors: dict[str, str]

    @property
    def hidden(self) -> dict[str, str]:
        """The filters as hidden fields and addresses have them: a time ago is an instant there."""
        since = self.values.get("since")
        return self.texts | ({"since": since.isoformat()} if isinstance(since, datetime) else {})

    def selection(self, status: Status, *, after: Position | None = None) -> Selection:
        """Return the selection of ``status`` that the filters describe."""
        return Selection(
            status=status,
            person=self.values.get("user") or self.values.get("member"),
            code=self.values.get("code"),
            since=self.values.get("since"),
            after=after,
        )


def read_filters(fields: Mapping[str, str]) -> Filters:
    """Read the filters; a blank field is none."""
    texts, values, errors = {}, {}, {}
    for name, parse in PARSERS.items():
        text = fields.get(name, "").strip()
        if not text:
            continue
        texts[name] = text
        try:
            values[name] = parse(text)
        except WrongValue as error:
            errors[name] = str(error)
    if "user" in values and "member" in values:
        errors["member"] = "give a user or a member, not both."
    return Filters(texts, values, errors)


def read_position(text: str) -> Position | None:
    """Read a position in a list; what is none stands for the list's start."""
    found = _POSITION.fullmatch(text)
    try:
        return found and Position(found[1], parse_event_id(found[2]))
    except WrongValue:
        return None


def format_position(position: Position) -> str:
    """Format a position as ``read_position`` reads it."""
    return f"{position.score}:{position.event_id}"
