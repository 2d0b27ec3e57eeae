"""Output for scripts: JSON, with each record as the HTTP API has it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from app.chats.record import Record, as_json, time_as_json
from app.operate.context import SettingsPreview
from app.store.history import EventHistory
from app.store.keys import Person
from app.store.relay_stats import RelayStats


def format_relay_stats(stats: RelayStats) -> str:
    """Format the counts of events, and the gate."""
    return _dump(stats)


def format_record(record: Record) -> str:
    """Format one record."""
    return _dump(as_json(record))


def format_records(records: Sequence[Record]) -> str:
    """Format a list of records."""
    return _dump([as_json(record) for record in records])


def format_event_history(history: EventHistory) -> str:
    """Format a record and its history."""
    return _dump({"record": as_json(history.record), "history": history.entries} | _about(history))


def format_recovered(results: Sequence[dict[str, str]]) -> str:
    """Format an object for each chat that was read back."""
    return _dump(results)


def format_settings(previews: Sequence[SettingsPreview]) -> str:
    """Format the settings of each process, and the problems with them."""
    return _dump(
        {
            preview.process: {
                "settings": preview.values,
                "problems": preview.problems,
                "ignored": preview.ignored,
            }
            for preview in previews
        }
    )


def format_removed(person: Person, removed: Mapping[str, int], unreached: Sequence[str]) -> str:
    """Format the counts of removed events by status, and the places that may have more."""
    return _dump({person.field: person.id, "removed": removed, "not_reached": unreached})


class JsonList:
    """A list of records that is printed while it grows."""

    def __init__(self) -> None:
        self._is_open = False

    def append(self, record: Record) -> None:
        """Print one record."""
        click.echo(",\n" if self._is_open else "[\n", nl=False)
        click.echo(_dump(as_json(record)), nl=False)
        self._is_open = True

    def close(self) -> None:
        """Print the end of the list, if it has begun."""
        if self._is_open:
            click.echo("\n]")


def _about(history: EventHistory) -> dict[str, Any]:
    return {
        "next_look": history.next_due_at,
        "ahead": history.queue_position,
        "life": history.life,
        "granted_task": history.granted_task,
        "token": history.token,
        "denials": history.denials,
    }


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, default=_as_plain)


def _as_plain(value: Any) -> Any:
    return time_as_json(value) if isinstance(value, datetime) else asdict(value)
