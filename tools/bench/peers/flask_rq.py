"""Flask and RQ."""

from redis import Redis
from rq import Queue

from tools.bench.peers.common import MAX_CONNECTIONS, REDIS_URL
from tools.bench.peers.flask_intake import create_app

_queue = Queue(connection=Redis.from_url(REDIS_URL, max_connections=MAX_CONNECTIONS))

application = create_app(
    lambda event: _queue.enqueue("worker.open_chat", event.event_id, event.user_id)
)
