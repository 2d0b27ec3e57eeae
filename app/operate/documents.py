"""How the command line shows things to scripts: JSON, and every record as the HTTP API shows it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.chats.overview import Overview
from app.chats.record import Record, as_json, time_as_json
from app.chats.story import Moment, Story
from app.operate.desk import ProcessSettings


def overview(now: Overview) -> str:
    """How the relay stands."""
    return _text(asdict(now))


def record(found: Record) -> str:
    """One record."""
    return _text(as_json(found))


def records(found: Sequence[Record]) -> str:
    """A list of records."""
    return _text([as_json(record) for record in found])


def story(told: Story) -> str:
    """A record and its history."""
    return _text(
        {
            "record": as_json(told.record),
            "history": [_moment(moment) for moment in told.moments],
            "next_look": told.next_look and time_as_json(told.next_look),
            "ahead": told.ahead,
        }
    )


def recovered(results: Sequence[dict[str, str]]) -> str:
    """An object for each chat that was read back."""
    return _text(results)


def settings(found: Sequence[ProcessSettings]) -> str:
    """The settings of each process, and what is wrong with them."""
    return _text(
        {
            process.process: {"settings": process.values, "problems": process.problems}
            for process in found
        }
    )


def _moment(moment: Moment) -> dict[str, Any]:
    return asdict(moment) | {"at": time_as_json(moment.at)}


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
