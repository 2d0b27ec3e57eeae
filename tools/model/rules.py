"""Rules that all keys of a relay keep at every moment."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from app.chats.record import Status, TaskStatus
from app.store.keys import Keys
from app.store.records import MAX_NUMBER, TASKS_VERSION, VERSION, parse_fields
from tools.stack.redis_client import Client

Fields = dict[str, Any]
QUEUES = ("due", "calling", "held", "failed")
# Keys that end by themselves in any case; those of chats and texts do once their event is complete.
MORTAL = ("taken:", "user:", "member:", "member_chats:", "forgotten:", "minute:")
# The names that relay.lua documents, one a line, each before its meaning.
DOCUMENTED = frozenset(
    re.findall(r"^--   (\w+)(?:  .*)?$", Path("app/store/lua/relay.lua").read_text(), re.MULTILINE)
)


def broken_rules(client: Client, keys: Keys) -> list[str]:
    """Return the broken rules: the queue of each event, and the TTL of each key."""
    names = sorted(cast("list[str]", client.keys(f"{keys.tag}:*")))
    prefix = keys.event("")
    event_ids = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    others = [name for name in names if not name.startswith(prefix)]
    records = {event_id: _record(client, keys, event_id) for event_id in event_ids}
    return [
        *_broken_by_events(client, keys, records),
        *(fault for name in others for fault in _faults_of_key(client, keys, name, records)),
    ]


def _record(client: Client, keys: Keys, event_id: str) -> Fields | None:
    """Return the fields of a record of this release."""
    fields = parse_fields(cast("str", client.get(keys.event(event_id))))
    is_ours = fields.get("v") in {VERSION, TASKS_VERSION} and fields.get("status") in set(Status)
    return fields if is_ours else None


def _broken_by_events(
    client: Client, keys: Keys, records: Mapping[str, Fields | None]
) -> Iterator[str]:
    for event_id, fields in records.items():
        if fields is None:
            continue
        yield from (f"{event_id}: {fault}" for fault in _faults_of_fields(fields))
        found = [
            queue for queue in QUEUES if client.zscore(f"{keys.tag}:{queue}", event_id) is not None
        ]
        if found != [*filter(None, [_queue_of(fields)])]:
            yield f"{event_id} is {fields['status']}, and in {found}"
        left_ms = client.pttl(keys.event(event_id))
        if not (0 < left_ms <= fields["ttl_ms"] if _is_complete(fields) else left_ms == -1):
            yield f"{event_id} is {fields['status']}, with a TTL of {left_ms}"


def _statuses_of_tasks(fields: Fields) -> set[str]:
    return {task["status"] for task in fields.get("tasks", {}).values()}


def _is_complete(fields: Fields) -> bool:
    if fields["status"] == Status.OPENED:
        return TaskStatus.PENDING not in _statuses_of_tasks(fields)
    return bool(fields["status"] == Status.FAILED)


def _queue_of(fields: Fields) -> str | None:
    """Return the sorted set in which an event belongs."""
    if fields["status"] == Status.UNKNOWN:
        return "held"
    if not _is_complete(fields):
        return "calling" if "grant_token" in fields else "due"
    has_failed = fields["status"] == Status.FAILED
    return "failed" if has_failed or TaskStatus.FAILED in _statuses_of_tasks(fields) else None


def _faults_of_key(
    client: Client, keys: Keys, name: str, records: Mapping[str, Fields | None]
) -> Iterator[str]:
    """Return what is wrong with a key that is no record."""
    kind = name.removeprefix(f"{keys.tag}:")
    # Before the text's own, so that time which passes between them does no harm.
    record_ms = client.pttl(keys.event(kind.removeprefix("text:")))
    left_ms = client.pttl(name)
    if kind.startswith("chat:"):
        owner = records.get(cast("str", client.get(name)))
        is_mortal = owner is None or _is_complete(owner) or owner.get("chat_id") != kind[5:]
    elif kind.startswith("text:"):
        owner = records.get(kind.removeprefix("text:"))
        is_mortal = owner is None or _is_complete(owner)
        if owner and not _is_text_needed(owner):
            yield f"{name} is there, and not needed"
        if owner and left_ms > record_ms > 0:
            yield f"{name} outlives its record"
    else:
        is_mortal = kind.startswith(MORTAL)
    if (left_ms != -1) != is_mortal:
        yield f"{name} has a TTL of {left_ms}"


def _is_text_needed(fields: Fields) -> bool:
    status = fields.get("tasks", {}).get("message", {}).get("status", TaskStatus.DONE)
    if status == TaskStatus.SKIPPED:
        return fields["status"] == Status.FAILED and "unknowns" not in fields
    return bool(status != TaskStatus.DONE)


def _faults_of_fields(fields: Fields) -> list[str]:
    """Return whether a record has the form of relay.lua, which every script reads."""
    unknown = fields.keys() - DOCUMENTED
    faults = [f"{name} is not documented" for name in unknown]
    return faults + [f"{value!r} is stored" for value in _values_in(fields) if _is_unfit(value)]


def _values_in(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _values_in(part)


def _is_unfit(value: Any) -> bool:
    if isinstance(value, float):
        return True
    if isinstance(value, int) and value is not True:
        return value is False or abs(value) > MAX_NUMBER
    return value is None or value in ("", [], {})
