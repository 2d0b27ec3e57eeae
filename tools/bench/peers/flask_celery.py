"""Flask and Celery."""

from celery import Celery

from tools.bench.peers.common import MAX_CONNECTIONS, REDIS_URL
from tools.bench.peers.flask_intake import create_app

_celery = Celery("peer", broker=REDIS_URL)
_celery.conf.update(task_ignore_result=True, broker_pool_limit=MAX_CONNECTIONS)


@_celery.task
def open_chat(event_id: str, user_id: str) -> None:
    """Do nothing: only the intake is measured."""


application = create_app(lambda event: open_chat.delay(event.event_id, event.user_id))
