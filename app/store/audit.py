"""Whether this Redis keeps what it is given."""

from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from app.chats.errors import StoreUnavailable
from app.store.connections import answering_within
from app.store.scripts import ANSWER_SECONDS
from app.store.silence import Silence


@dataclass(frozen=True, slots=True)
class Audit:
    """What is unsafe (the relay must not run on it) and what the operator should know."""

    faults: tuple[str, ...]
    warnings: tuple[str, ...]


class Auditor:
    """Asks Redis for its settings."""

    def __init__(self, client: Redis, silence: Silence | None = None) -> None:
        self._client = client
        self._silence = silence

    def audit(self) -> Audit:
        """Judge the settings of Redis. Raises ``StoreUnavailable`` where it does not answer."""
        try:
            with answering_within(ANSWER_SECONDS):
                return self._silence.ask(self._audit) if self._silence else self._audit()
        except RedisError as error:
            raise StoreUnavailable(f"INFO: {error}") from error

    def _audit(self) -> Audit:
        memory = self._client.info("memory")
        persistence = self._client.info("persistence")
        return Audit(
            _faults(memory["maxmemory_policy"]), self._warnings(persistence["aof_enabled"])
        )

    def _warnings(self, aof_enabled: int) -> tuple[str, ...]:
        if aof_enabled or self._has_snapshots():
            return ()
        return ("neither AOF nor RDB persistence is on: a restart loses accepted events",)

    def _has_snapshots(self) -> bool:
        try:
            return bool(self._client.config_get("save").get("save"))
        except RedisError:
            # Managed services forbid CONFIG; they say by other means what they keep.
            return True


def _faults(policy: str) -> tuple[str, ...]:
    if policy == "noeviction":
        return ()
    return (f"maxmemory-policy is {policy}: Redis may drop accepted events; set noeviction",)
