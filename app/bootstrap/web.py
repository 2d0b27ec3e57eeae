"""What gunicorn serves."""

import structlog
from flask import Flask

from app.bootstrap.redis import refuse_unsafe
from app.bootstrap.tracing import span_taker
from app.store.audit import Auditor
from app.store.connect import connect, connect_blocking
from app.store.events import EventStore
from app.store.keys import Keys
from app.store.notices import Notices
from app.store.overview import Overviews
from app.store.scripts import Scripts
from app.store.silence import Silence
from app.web.application import create_app
from app.web.callers import Callers, Right
from app.web.metrics import Metrics
from app.web.waiting import WaitingRoom
from config.settings import WebSettings, effective

log = structlog.get_logger("relay")


def web(settings: WebSettings) -> Flask:
    """Build the web application. Ends the process where Redis is reachable and unsafe."""
    log.info("settings", **effective(settings))
    url, keys = settings.redis_url.get_secret_value(), Keys(settings.key_prefix)
    client = connect(url, slot_key=keys.tag)
    silence = Silence()
    auditor = Auditor(client, silence)
    refuse_unsafe(auditor, settings)
    client.close()  # nothing that is open is shared with the processes that are forked later
    events = EventStore(
        client,
        keys,
        record_ttl_seconds=settings.record_ttl_seconds,
        max_backlog=settings.max_backlog,
        min_replicas_acked=settings.min_replicas_acked,
        silence=silence,
    )
    notices = Notices(connect_blocking(url, slot_key=keys.tag), keys)
    # At most half of the threads wait, so that the others are there for whoever posts.
    waiting_room = WaitingRoom(notices, events.find, seats=settings.web_threads // 2)
    return create_app(
        events,
        _callers(settings),
        auditor,
        waiting_room,
        Metrics(Overviews(Scripts(client, keys, silence=silence))),
        allow_unsafe=settings.redis_allow_unsafe,
        take_span=span_taker(settings.otel_exporter_otlp_endpoint, "web"),
    )


def _callers(settings: WebSettings) -> Callers:
    tokens = (
        (right, token.name, token.token.get_secret_value())
        for right, known in (
            (Right.SUBMIT, settings.submit_tokens),
            (Right.READ, settings.read_tokens),
        )
        for token in known
    )
    return Callers(tokens, (secret.get_secret_value() for secret in settings.webhook_secrets))
