"""The composition root: from settings to clients to collaborators. Nobody else sees everyone."""

import sys
from collections.abc import Callable, Mapping
from threading import Event

import structlog
from flask import Flask

from app.channel.client import ChannelClient
from app.chats.errors import StoreUnavailable
from app.chats.event import OnUnknown
from app.operate.desk import Desk, ProcessSettings
from app.store.audit import Auditor
from app.store.calls import CallStore, Limits
from app.store.connect import connect, connect_blocking
from app.store.events import EventStore
from app.store.keys import Keys
from app.store.notices import Notices
from app.store.operations import Operations
from app.store.scripts import Scripts
from app.web.application import create_app
from app.web.callers import Callers, Right
from app.web.metrics import Metrics
from app.web.waiting import WaitingRoom
from app.worker import metrics as worker_metrics
from app.worker.journal import Journal
from app.worker.loop import WorkLoop
from app.worker.process import WorkerProcess
from app.worker.spool import Spool
from config.settings import (
    OperatorSettings,
    Settings,
    WebSettings,
    WorkerSettings,
    effective,
    load_or_exit,
    preview,
)

log = structlog.get_logger("relay")

# gunicorn's own code for what cannot boot: it ends then, and tries again after any other.
EXIT_UNSAFE_REDIS = 3


def web(settings: WebSettings) -> Flask:
    """Build the web application. Ends the process where Redis is reachable and unsafe."""
    log.info("settings", **effective(settings))
    url, keys = settings.redis_url.get_secret_value(), Keys(settings.key_prefix)
    client = connect(url, slot_key=keys.tag)
    auditor = Auditor(client)
    _refuse_unsafe(auditor, settings)
    events = EventStore(
        client,
        keys,
        record_ttl_seconds=settings.record_ttl_seconds,
        max_backlog=settings.max_backlog,
        min_replicas_acked=settings.min_replicas_acked,
    )
    notices = Notices(connect_blocking(url, slot_key=keys.tag), keys)
    # At most half of the threads wait, so that the others are there for whoever posts.
    waiting_room = WaitingRoom(notices, events.find, seats=settings.web_threads // 2)
    return create_app(
        events,
        _callers(settings),
        auditor,
        waiting_room,
        Metrics(_operations(Scripts(client, keys), settings)),
        allow_unsafe=settings.redis_allow_unsafe,
    )


def worker(settings: WorkerSettings) -> WorkerProcess:
    """Build a worker process. Ends the process where Redis is reachable and unsafe."""
    log.info("settings", **effective(settings))
    calls = _calls(settings)
    stopping = Event()
    spool = Spool(settings.spool_dir)
    channel = ChannelClient(
        base_url=settings.channel_api_url,
        access_key=settings.channel_access_key.get_secret_value(),
        access_secret=settings.channel_access_secret.get_secret_value(),
        api_version=settings.channel_api_version,
        connect_timeout_seconds=settings.call_connect_timeout_seconds,
    )
    metrics = worker_metrics.Metrics()
    loop = WorkLoop(
        calls,
        channel,
        spool,
        Journal(metrics),
        deadline_seconds=settings.call_deadline_seconds,
        stopping=stopping,
    )
    return WorkerProcess(
        loop,
        spool,
        concurrency=settings.worker_concurrency,
        deadline_seconds=settings.call_deadline_seconds,
        stopping=stopping,
        beside=_beside(metrics, settings.metrics_port),
    )


def desk(environ: Mapping[str, str]) -> Desk:
    """Build what the operator's command line works with. Ends the process where it cannot."""
    return Desk(
        connect=lambda: operations(load_or_exit(OperatorSettings, environ)),
        settings=lambda: [
            ProcessSettings("web", *preview(WebSettings, environ)),
            ProcessSettings("worker", *preview(WorkerSettings, environ)),
        ],
    )


def operations(settings: OperatorSettings) -> Operations:
    """Build the operator's view."""
    keys = Keys(settings.key_prefix)
    client = connect(settings.redis_url.get_secret_value(), slot_key=keys.tag)
    scripts = Scripts(client, keys, min_replicas_acked=settings.min_replicas_acked)
    return _operations(scripts, settings)


def _beside(metrics: worker_metrics.Metrics, port: int | None) -> list[Callable[[], None]]:
    return [] if port is None else [worker_metrics.listen(metrics, port)]


def _operations(scripts: Scripts, settings: Settings) -> Operations:
    return Operations(scripts, record_ttl_seconds=settings.record_ttl_seconds)


def _calls(settings: WorkerSettings) -> CallStore:
    url, keys = settings.redis_url.get_secret_value(), Keys(settings.key_prefix)
    client = connect(url, slot_key=keys.tag)
    _refuse_unsafe(Auditor(client), settings)
    return CallStore(
        client,
        connect_blocking(url, slot_key=keys.tag),
        keys,
        base_url=settings.channel_api_url,
        limits=Limits(
            rate_per_second=settings.rate_limit_per_second,
            burst=settings.rate_limit_burst,
            threshold=settings.breaker_threshold,
            cooldown_ms=round(settings.breaker_cooldown_seconds * 1000),
        ),
        call_deadline_ms=round(settings.call_deadline_seconds * 1000),
        event_deadline_ms=settings.event_deadline_seconds * 1000,
        on_unknown=OnUnknown(settings.on_unknown),
        min_replicas_acked=settings.min_replicas_acked,
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


def _refuse_unsafe(auditor: Auditor, settings: Settings) -> None:
    try:
        audit = auditor.audit()
    except StoreUnavailable as error:
        # Not a reason to stay down: web says so at /readyz, and the worker waits for it.
        log.warning("redis_unavailable", reason=str(error))
        return
    for warning in audit.warnings:
        log.warning("redis_warning", warning=warning)
    for fault in audit.faults:
        log.error("redis_unsafe", fault=fault, allowed=settings.redis_allow_unsafe)
    if audit.faults and not settings.redis_allow_unsafe:
        sys.exit(EXIT_UNSAFE_REDIS)
