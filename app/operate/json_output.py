"""Output for scripts: JSON, with each record as the HTTP API has it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.chats.overview import Overview
from app.chats.record import Record, as_json, time_as_json
from app.chats.story import Moment, Story
from app.operate.context import SettingsPreview


def format_overview(overview: Overview) -> str:
    """Format the counts of events, and the gate."""
    return _dump(asdict(overview))


def format_record(record: Record) -> str:
    """Format one record."""
    return _dump(as_json(record))


def format_records(records: Sequence[Record]) -> str:
    """Format a list of records."""
    return _dump([as_json(record) for record in records])


def format_story(story: Story) -> str:
    """Format a record and its history."""
    return _dump(
        {
            "record": as_json(story.record),
            "history": [_format_moment(moment) for moment in story.moments],
            "next_look": story.next_look and time_as_json(story.next_look),
            "ahead": story.ahead,
        }
    )


def format_recovered(results: Sequence[dict[str, str]]) -> str:
    """Format an object for each chat that was read back."""
    return _dump(results)


def format_settings(previews: Sequence[SettingsPreview]) -> str:
    """Format the settings of each process, and the problems with them."""
    return _dump(
        {
            preview.process: {"settings": preview.values, "problems": preview.problems}
            for preview in previews
        }
    )


def _format_moment(moment: Moment) -> dict[str, Any]:
    return asdict(moment) | {"at": time_as_json(moment.at)}


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
