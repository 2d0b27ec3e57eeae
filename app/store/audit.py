"""Judgement of a Redis by its settings: would it lose what the relay keeps in it?"""

from dataclasses import dataclass

from redis.exceptions import RedisError

from app.chats.errors import StoreUnavailable
from app.store.client import COMMAND_SECONDS, RedisClient, deadline


@dataclass(frozen=True, slots=True)
class Audit:
    """Findings: ``faults`` are unsafe (the relay must not run on it), ``warnings`` are advice."""

    faults: tuple[str, ...]
    warnings: tuple[str, ...]


class Auditor:
    """Reads the settings of Redis and judges them."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def audit(self) -> Audit:
        """Judge the settings of Redis. Raises ``StoreUnavailable`` where it does not reply."""
        try:
            with deadline(COMMAND_SECONDS):
                texts = self._client.read(("INFO", "memory"), ("INFO", "persistence"))
                memory, persistence = map(_read_info, texts)
                has_persistence = persistence["aof_enabled"] != "0" or self._has_snapshots()
        except RedisError as error:
            raise StoreUnavailable(f"INFO: {error}") from error
        return Audit(_faults(memory["maxmemory_policy"]), _warnings(has_persistence))

    def _has_snapshots(self) -> bool:
        try:
            settings: dict[str, str] = self._client.execute("CONFIG", "GET", "save")
        except RedisError:
            # Managed services forbid CONFIG; their own pages say what they keep.
            return True
        return bool(settings.get("save"))


def _read_info(text: str) -> dict[str, str]:
    """Parse a reply to INFO, https://redis.io/docs/latest/commands/info/"""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def _faults(policy: str) -> tuple[str, ...]:
    if policy == "noeviction":
        return ()
    return (f"maxmemory-policy is {policy}: Redis may drop accepted events; set noeviction",)


def _warnings(has_persistence: bool) -> tuple[str, ...]:  # noqa: FBT001 - one argument, named
    if has_persistence:
        return ()
    return ("neither AOF nor RDB persistence is on: a restart loses accepted events",)
