"""Flask and Dramatiq."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tools.bench.peers.common import MAX_CONNECTIONS, REDIS_URL
from tools.bench.peers.flask_intake import create_app

_broker = RedisBroker(url=REDIS_URL, max_connections=MAX_CONNECTIONS)
dramatiq.set_broker(_broker)


@dramatiq.actor
def open_chat(event_id: str, user_id: str) -> None:
    """Do nothing: only the intake is measured."""


application = create_app(lambda event: open_chat.send(event.event_id, event.user_id))
