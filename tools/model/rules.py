"""Rules that all keys of a relay keep at every moment."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

from app.chats.record import Status
from app.store.keys import Keys
from app.store.records import MAX_NUMBER, VERSION, parse_fields
from tools.stack.redis_client import Client

QUEUES = ("due", "calling", "held", "failed")
QUEUE_OF = {"accepted": "due", "calling": "calling", "unknown": "held", "failed": "failed"}
SETTLED = {"opened", "failed"}
MORTAL = ("taken:", "user:", "chat:", "forgotten:", "minute:")
# The names that relay.lua documents, one a line, each before its meaning.
DOCUMENTED = frozenset(
    re.findall(r"^--   (\w+)(?:  .*)?$", Path("app/store/lua/relay.lua").read_text(), re.MULTILINE)
)


def broken_rules(client: Client, keys: Keys) -> list[str]:
    """Return the broken rules: the queue of each event, and the TTL of each key."""
    names = sorted(cast("list[str]", client.keys(f"{keys.tag}:*")))
    prefix = keys.event("")
    events = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    others = [name for name in names if not name.startswith(prefix)]
    return [*_broken_by_events(client, keys, events), *_broken_by_others(client, keys, others)]


def _broken_by_events(client: Client, keys: Keys, event_ids: list[str]) -> list[str]:
    with client.pipeline(transaction=False) as pipeline:
        for event_id in event_ids:
            pipeline.get(keys.event(event_id))
            pipeline.pttl(keys.event(event_id))
            for queue in QUEUES:
                pipeline.zscore(f"{keys.tag}:{queue}", event_id)
        replies = pipeline.execute()
    width = 2 + len(QUEUES)
    broken = []
    for place, event_id in enumerate(event_ids):
        text, left_ms, *scores = replies[place * width : (place + 1) * width]
        fields = parse_fields(text)
        status = fields.get("status")
        if fields.get("v") == VERSION and status in set(Status):
            broken += [f"{event_id}: {fault}" for fault in _faults_of_text(text)]
            found = [name for name, score in zip(QUEUES, scores, strict=True) if score is not None]
            if found != [name for of, name in QUEUE_OF.items() if of == status]:
                broken.append(f"{event_id} is {status}, and in {found}")
            if not (0 < left_ms <= fields["ttl_ms"] if status in SETTLED else left_ms == -1):
                broken.append(f"{event_id} is {status}, with a TTL of {left_ms}")
    return broken


def _faults_of_text(text: str) -> list[str]:
    """Return whether a record has the form of relay.lua, which every script reads."""
    fields = json.loads(text, parse_float=_no_float)
    unknown = fields.keys() - DOCUMENTED
    faults = [f"{name} is not documented" for name in unknown]
    return faults + [f"{value!r} is stored" for value in _values_in(fields) if _is_unfit(value)]


def _no_float(digits: str) -> NoReturn:
    raise AssertionError(f"{digits} is stored, and is not whole")


def _values_in(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _values_in(part)


def _is_unfit(value: Any) -> bool:
    if isinstance(value, int) and value is not True:
        return value is False or abs(value) > MAX_NUMBER
    return value is None or value in ("", [], {})


def _broken_by_others(client: Client, keys: Keys, names: list[str]) -> list[str]:
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.pttl(name)
        lefts = pipeline.execute()
    return [
        f"{name} has a TTL of {left_ms}"
        for name, left_ms in zip(names, lefts, strict=True)
        if (left_ms != -1) != name.removeprefix(f"{keys.tag}:").startswith(MORTAL)
    ]
