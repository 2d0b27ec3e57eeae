"""Relays in one Redis, one for each state that a replay has reached."""

from itertools import count
from typing import Generic, TypeVar

from app.store.keys import Keys
from tools.model.store_driver import StoreDriver
from tools.stack.redis_client import Client

SeenT = TypeVar("SeenT")


class Relays(Generic[SeenT]):
    """Relays by the state that Redis holds; ``names`` are the keys of their event.

    All have the gate of the ``first``, which is at ``start``.
    """

    def __init__(self, client: Client, start: SeenT, names: tuple[str, ...]) -> None:
        self._client = client
        self._names = names
        self._prefixes = (f"relay-{number}" for number in count())
        self.first = StoreDriver(client, Keys(next(self._prefixes)))
        self._relays = {start: self.first}
        self._spares: dict[SeenT, StoreDriver] = {}

    @property
    def gate(self) -> str:
        """Return the key of the first relay's gate."""
        return self.first.key("gate")

    def at(self, seen: SeenT) -> StoreDriver:
        """Return a relay in this state that may be changed."""
        return self._spares.pop(seen, None) or self._copy(self._relays[seen])

    def keep(self, seen: SeenT, relay: StoreDriver) -> None:
        """Keep a relay that has come to this state."""
        if self._relays.setdefault(seen, relay) is not relay:
            self._spares.setdefault(seen, relay)

    def _copy(self, relay: StoreDriver) -> StoreDriver:
        copy = StoreDriver(self._client, Keys(next(self._prefixes)))
        with self._client.pipeline(transaction=False) as pipeline:
            for name in self._names:
                pipeline.copy(relay.key(name), copy.key(name))
            pipeline.copy(self.gate, copy.key("gate"))
            pipeline.execute()
        return copy
