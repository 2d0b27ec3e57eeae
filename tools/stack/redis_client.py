"""Redis clients for tests, made from a URL."""

from typing import Any

from redis import Redis

from app.store.client import RedisClient
from app.store.connector import Connector
from config.redis_url import parse_redis_url


class Client(Redis):
    """redis-py's client; ``relay`` is the relay's client of the server at ``url``."""

    def __init__(self, url: str, **options: Any) -> None:
        """Connect at the first command."""
        self.url = url
        parsed = parse_redis_url(url)
        host, port = parsed.hosts[0] if parsed.hosts else ("", 0)
        where = {"unix_socket_path": parsed.path} if parsed.path else {"host": host, "port": port}
        super().__init__(db=parsed.db, decode_responses=True, **where, **parsed.login, **options)
        self.relay = RedisClient(Connector(parsed, slot_key="{relay}"))

    def close(self) -> None:
        """Close all connections."""
        self.relay.drop_connections()
        super().close()


def connect_to(url: str) -> Client:
    """Return a client of the server at ``url``."""
    return Client(url)
