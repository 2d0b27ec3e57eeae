"""Composition of the web application."""

from flask import Flask

from app.bootstrap.redis import exit_if_unsafe
from app.bootstrap.start import log_settings
from app.bootstrap.tracing import build_span_exporter
from app.chats.event import OnUnknown
from app.operate.pages.blueprint import register_pages
from app.operate.pages.session import Operators
from app.store.audit import Auditor, Readiness
from app.store.client import RedisClient
from app.store.connector import Connector
from app.store.events import EventStore
from app.store.keys import Keys
from app.store.notices import Notices
from app.store.operations import Operations
from app.store.relay_stats import RelayStatsReader
from app.store.scripts import Scripts
from app.web.application import create_app
from app.web.authentication import Authenticator, Scope
from app.web.metrics import WebMetrics
from config.logging import stdout_lines
from config.settings import WebSettings
from config.version import VERSION


def build_web(settings: WebSettings, *, store: type[EventStore] = EventStore) -> Flask:
    """Build the web application, with its events in a ``store``.

    Ends the process where Redis is reachable and unsafe.
    """
    log_settings(settings)
    keys = Keys(settings.key_prefix)
    client = RedisClient(Connector(settings.redis_url, slot_key=keys.tag))
    auditor = Auditor(client, keys, min_replicas_acked=settings.min_replicas_acked)
    exit_if_unsafe(auditor, settings)
    client.drop_connections()  # nothing open is shared with the processes that are forked later
    events = store(
        client,
        keys,
        record_ttl_seconds=settings.record_ttl_seconds,
        max_backlog=settings.max_backlog,
        min_replicas_acked=settings.min_replicas_acked,
        on_unknown=OnUnknown(settings.on_unknown),
    )
    metrics = WebMetrics(RelayStatsReader(Scripts(client, keys)), VERSION)
    stdout_lines.on_lost = metrics.count_lost_line
    app = create_app(
        events,
        _build_authenticator(settings),
        Readiness(auditor, allow_unsafe=settings.redis_allow_unsafe),
        Notices(client, keys),
        metrics,
        version=VERSION,
        bot_name=settings.bot_name,
        export_span=build_span_exporter(settings.traces_url, "web"),
    )
    if settings.operate_tokens:
        register_pages(app, _build_operations(settings, client, keys), _build_operators(settings))
        metrics.expect(rule.rule for rule in app.url_map.iter_rules())
    return app


def _build_operations(settings: WebSettings, client: RedisClient, keys: Keys) -> Operations:
    return Operations(
        Scripts(client, keys, min_replicas_acked=settings.min_replicas_acked),
        record_ttl_seconds=settings.record_ttl_seconds,
        on_unknown=OnUnknown(settings.on_unknown),
    )


def _build_operators(settings: WebSettings) -> Operators:
    return Operators(
        (token.name, token.token.get_secret_value()) for token in settings.operate_tokens
    )


def _build_authenticator(settings: WebSettings) -> Authenticator:
    tokens = (
        (scope, token.name, token.token.get_secret_value())
        for scope, known in (
            (Scope.SUBMIT, settings.submit_tokens),
            (Scope.READ, settings.read_tokens),
        )
        for token in known
    )
    return Authenticator(tokens, (secret.get_secret_value() for secret in settings.webhook_secrets))
