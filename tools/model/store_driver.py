"""Driver of a relay's store on a real Redis: its parts, common steps, stored values."""

import json
from dataclasses import dataclass
from typing import Any, cast

from app.chats.event import OnUnknown, OpenChatEvent
from app.chats.grant import Decision, Grant, TakeResult, new_token
from app.chats.record import Record
from app.store.events import EventStore
from app.store.grants import LEASE_MARGIN_MS, GrantStore, Limits
from app.store.keys import Keys
from app.store.operations import Operations
from app.store.records import parse_fields
from app.store.scripts import Scripts
from tools.stack.redis_client import Client

WAY = "way-1"
TTL_SECONDS = 3600
CALL_DEADLINE_MS = 15_000
LEASE_MS = CALL_DEADLINE_MS + LEASE_MARGIN_MS
EVENT_DEADLINE_MS = 600_000
THRESHOLD = 3
COOLDOWN_MS = 5_000
HOUR_MS = 3_600_000

Stored = str | int | float

# Records that another release may have written: changed fields, or a whole text.
UNREADABLE: dict[str, dict[str, Any] | str] = {
    "newer-version": {"v": 4},
    "newer-status": {"status": "merging"},
    "no-version": {"v": None},
    "lines-of-version-1": "1\naccepted\nu1\n1:fingerprint\n1764500000000\n3600000\n0\n0",
    "half-an-object": '{"v": 2, "status": "accepted"',
    "an-array": '[{"v": 2, "status": "accepted"}]',
    "null": "null",
    "a-number": "1764500000000",
    "nothing": "",
}

# Wide open: only the tests of the gate narrow them.
LIMITS = Limits(rate_per_second=10_000, burst=10_000, threshold=THRESHOLD, cooldown_ms=COOLDOWN_MS)


def event_of(event_id: str = "e1", **fields: Any) -> OpenChatEvent:
    """An event of one user by default."""
    user = {} if "member_id" in fields else {"user_id": "u1"}
    return OpenChatEvent.model_validate({"event_id": event_id} | user | fields)


@dataclass(frozen=True)
class StoreDriver:
    """The store's parts over one client, and direct access to its keys."""

    client: Client
    keys: Keys

    def intake(
        self,
        *,
        record_ttl_seconds: int = TTL_SECONDS,
        max_backlog: int = 1000,
        min_replicas_acked: int = 0,
    ) -> EventStore:
        """Store as a web process uses it."""
        return EventStore(
            self.client.relay,
            self.keys,
            record_ttl_seconds=record_ttl_seconds,
            max_backlog=max_backlog,
            min_replicas_acked=min_replicas_acked,
        )

    def worker(
        self,
        *,
        way: str = WAY,
        limits: Limits = LIMITS,
        on_unknown: OnUnknown = OnUnknown.HOLD,
        event_deadline_ms: int = EVENT_DEADLINE_MS,
        min_replicas_acked: int = 0,
    ) -> GrantStore:
        """Store as a worker process uses it."""
        return GrantStore(
            self.client.relay,
            self.keys,
            way=way,
            limits=limits,
            call_deadline_ms=CALL_DEADLINE_MS,
            event_deadline_ms=event_deadline_ms,
            on_unknown=on_unknown,
            min_replicas_acked=min_replicas_acked,
        )

    def operations(self) -> Operations:
        """Store as the command line uses it."""
        return Operations(Scripts(self.client.relay, self.keys), record_ttl_seconds=TTL_SECONDS)

    def accept(self, event_id: str = "e1", **fields: Any) -> None:
        """Accept an event with ample room."""
        self.intake().accept(event_of(event_id, **fields))

    def open_gate(self) -> None:
        """Let a first worker find the base URL good, and an idle one empty the bell."""
        token = new_token()
        self.worker().take(token)
        assert self.worker().report_probe(token, problem=None) == "seen"
        self.take()

    def take(self, worker: GrantStore | None = None) -> Decision:
        """Take the next call under a new token."""
        return self.reply(worker).decision

    def reply(self, worker: GrantStore | None = None) -> TakeResult:
        """Take the next call, and return the lost and expired events too."""
        return (worker or self.worker()).take(new_token())

    def grant(self, worker: GrantStore | None = None) -> Grant:
        """Take the next call, which must be granted."""
        taken = self.take(worker)
        assert isinstance(taken, Grant), taken
        return taken

    def granted(self, event_id: str = "e1", **fields: Any) -> Grant:
        """Accept an event and take it."""
        self.accept(event_id, **fields)
        return self.grant()

    def record(self, event_id: str = "e1") -> Record:
        """Look up an event that must exist."""
        record = self.intake().find(event_id)
        assert record is not None
        return record

    def fields(self, event_id: str = "e1") -> dict[str, Any]:
        """Return the record's stored fields."""
        return parse_fields(self.text(event_id) or "")

    def text(self, event_id: str = "e1") -> str | None:
        """Return the record's text, if there is one."""
        return cast("str | None", self.client.get(self.keys.event(event_id)))

    def history(self, event_id: str = "e1") -> list[str]:
        """Return the event's history, oldest entry first."""
        return [entry["what"] for entry in self.fields(event_id).get("history", [])]

    def set_fields(self, event_id: str = "e1", **fields: Any) -> None:
        """Write into the record without a script; ``None`` removes a field."""
        changed = self.fields(event_id) | fields
        kept = {name: value for name, value in changed.items() if value is not None}
        self.set_text(json.dumps(kept), event_id)

    def set_text(self, text: str, event_id: str = "e1") -> None:
        """Replace the record's text without a script."""
        self.client.set(self.keys.event(event_id), text, keepttl=True)

    def make_unreadable(self, content: dict[str, Any] | str, event_id: str = "e1") -> str:
        """Replace the record by one of another release, and return its text."""
        if isinstance(content, str):
            self.set_text(content, event_id)
        else:
            self.set_fields(event_id, **content)
        text = self.text(event_id)
        assert text is not None
        return text

    def key(self, name: str) -> str:
        """Return a key of the relay by its short name."""
        return f"{self.keys.tag}:{name}"

    def queue(self, name: str) -> dict[str, float]:
        """Return the members of a sorted set with their scores, lowest first."""
        return dict(
            cast(
                "list[tuple[str, float]]",
                self.client.zrange(self.key(name), 0, -1, withscores=True),
            )
        )

    def move(self, queue: str, event_id: str, instant_ms: float) -> None:
        """Give a member of ``due`` or ``calling`` another instant."""
        self.client.zadd(self.key(queue), {event_id: instant_ms}, xx=True)

    def make_due(self, event_id: str = "e1") -> None:
        """End the event's backoff."""
        self.move("due", event_id, self.now_ms())

    def lose_worker(self, event_id: str = "e1") -> None:
        """Expire the lease of the event's call."""
        self.move("calling", event_id, 1)

    def gate(self) -> dict[str, str]:
        """Return the gate's fields."""
        return cast("dict[str, str]", self.client.hgetall(self.key("gate")))

    def set_gate(self, **fields: Stored) -> None:
        """Write into the gate without a script."""
        self.client.hset(self.key("gate"), items=_flat(fields))

    def now_ms(self) -> int:
        """Return the time of the server's clock."""
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000

    def ttl_ms(self, name: str) -> int:
        """Return the key's time to live; -1 without one, -2 without the key."""
        return self.client.pttl(self.key(name))


def _flat(fields: dict[str, Stored]) -> list[Stored]:
    return [part for pair in fields.items() for part in pair]
