"""Filling of a Redis: waiting events by the real script, settled ones by a fast copy.

A million real events would take ten minutes, so one real event is settled, and its keys are copied
with other ids. ``copy_settled`` checks that the copy is the same, key by key.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.chats.event import OnUnknown
from app.chats.grant import Grant, Probe, new_token
from app.chats.outcome import Created
from app.chats.record import Chat, Session
from app.store.events import EventStore
from app.store.grants import GrantStore, Limits
from app.store.keys import Keys
from app.store.records import parse_fields
from tools.bench import events
from tools.bench.load import Invalid
from tools.stack.redis_client import Client

TTL_SECONDS = 2_592_000
KEYS = Keys("relay")
TRACEPARENT = (
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # web adds one to each event
)
BATCH = 5000
TEMPLATE = 0x1234567  # its decimal and hex digits are in no other part of the record
INSTANTS = {"accepted_ms", "settled_ms"}
_FILL = Path(__file__).with_name("fill.lua").read_text()


def empty(client: Client) -> None:
    """Delete everything, and return once its memory is free, before the next measure."""
    client.execute_command("FLUSHALL", "SYNC")


def accept(client: Client, prefix: str, numbers: Iterable[int]) -> None:
    """Accept events by the real script."""
    store = _event_store(client)
    for number in numbers:
        store.accept(events.event(prefix, number), traceparent=TRACEPARENT)


def settle(client: Client, prefix: str, numbers: Iterable[int]) -> None:
    """Accept, take and settle events by the real scripts, one after the other."""
    event_store, grant_store = _event_store(client), _grant_store(client)
    for number in numbers:
        event_store.accept(events.event(prefix, number), traceparent=TRACEPARENT)
        grant = _take(grant_store)
        grant_store.settle(grant, Created(_chat(number)))


def copy_settled(client: Client, prefix: str, count: int) -> None:
    """Copy ``count`` settled events. Raises ``Invalid`` if a copy differs from a real one."""
    if not count:
        return
    _check_copy(client)
    text = _template(client, prefix)
    for first in range(0, count, BATCH):
        _copy(client, prefix, first, min(BATCH, count - first), text)


def forget_waiting(client: Client, prefix: str) -> None:
    """Delete the waiting events whose ids begin with ``prefix``."""
    waiting: Any = client.zrange(f"{KEYS.tag}:due", 0, -1)
    ids = [id_ for id_ in waiting if id_.startswith(prefix)]
    for first in range(0, len(ids), BATCH):
        some = ids[first : first + BATCH]
        client.zrem(f"{KEYS.tag}:due", *some)
        client.delete(*map(KEYS.event, some))


def _check_copy(client: Client) -> None:
    """Check that a copy has the keys of a real event, except for instants."""
    settle(client, "template", [TEMPLATE])
    real = _keys_of(client, "template")
    _delete(client, real)
    text = _template(client, "template")
    _copy(client, "template", TEMPLATE, 1, text)
    copied = _keys_of(client, "template")
    _delete(client, copied)
    if real != copied:
        raise Invalid(f"the copy of a settled event differs from a real one: {real} {copied}")


def _template(client: Client, prefix: str) -> str:
    """Return a record's text with places for the numbers, and delete its event."""
    settle(client, prefix, [TEMPLATE])
    text: Any = client.get(KEYS.event(events.event_id(prefix, TEMPLATE)))
    _delete(client, _keys_of(client, prefix))
    return _with_places(text)


def _with_places(text: str) -> str:
    return text.replace(f"{TEMPLATE:08d}", "%n").replace(f"{TEMPLATE:08x}", "%x")


def _copy(client: Client, prefix: str, first: int, count: int, text: str) -> None:
    now, ttl_ms = round(time.time() * 1000), TTL_SECONDS * 1000
    user_id = _with_places(events.user_id(TEMPLATE))
    chat_id = _with_places(events.chat_id(TEMPLATE))
    client.eval(_FILL, 1, KEYS.tag, prefix, first, count, now, ttl_ms, text, user_id, chat_id)


def _keys_of(client: Client, prefix: str) -> dict[str, Any]:
    """Return the template event's keys: type, content and time to live."""
    event = events.event(prefix, TEMPLATE)
    names = [
        KEYS.event(event.event_id),
        f"{KEYS.tag}:chat:{events.chat_id(TEMPLATE)}",
        f"{KEYS.tag}:user:{event.user_id}",
    ]
    return {name: (_content(client, name), _days(client, name)) for name in names}


def _content(client: Client, name: str) -> Any:
    if client.type(name) == "zset":
        return client.zrange(name, 0, -1)
    text: Any = client.get(name)
    if name.startswith(KEYS.event("")):
        # The template's copy has the same user and metadata, so its fingerprint must match too.
        fields = parse_fields(text)
        return {name: None if name in INSTANTS else fields[name] for name in fields}
    return text


def _days(client: Client, name: str) -> int:
    return round(client.pttl(name) / 86_400_000)


def _delete(client: Client, keys: Iterable[str]) -> None:
    client.delete(*keys)


def _take(calls: GrantStore) -> Grant:
    for _ in range(2):
        taken = calls.take(new_token()).decision
        if isinstance(taken, Grant):
            return taken
        if isinstance(taken, Probe):
            calls.report_probe(taken.token, problem=None)
    raise Invalid(f"no grant for an event that is due, but {taken}")


def _chat(number: int) -> Chat:
    chat_id = events.chat_id(number)
    return Chat(
        chat_id,
        "6263",
        "initial",
        Session(f"1e3700000000{number:08x}", f"bot-61225-userChat-{chat_id}"),
        Session(f"fc9d00000000{number:08x}", f"user-6606508eaa71{number:08x}-userChat-{chat_id}"),
    )


def _event_store(client: Client) -> EventStore:
    return EventStore(client.relay, KEYS, record_ttl_seconds=TTL_SECONDS, max_backlog=10**7)


def _grant_store(client: Client) -> GrantStore:
    return GrantStore(
        client.relay,
        KEYS,
        way="way",
        limits=Limits(rate_per_second=10_000, burst=1_000_000, threshold=5, cooldown_ms=5000),
        call_deadline_ms=15_000,
        event_deadline_ms=86_400_000,
        on_unknown=OnUnknown.HOLD,
    )
