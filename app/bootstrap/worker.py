"""The worker's process."""

from collections.abc import Callable
from threading import Event
from urllib.parse import urlsplit

import structlog

from app.bootstrap.redis import refuse_unsafe
from app.bootstrap.tracing import span_taker
from app.channel.client import ChannelClient
from app.chats.event import OnUnknown
from app.store.audit import Auditor
from app.store.calls import CallStore, Limits
from app.store.connect import connect, connect_blocking
from app.store.keys import Keys
from app.worker.journal import Journal
from app.worker.loop import WorkLoop
from app.worker.metrics import Metrics, listen
from app.worker.process import WorkerProcess
from app.worker.spool import Spool
from config.settings import WorkerSettings, effective

log = structlog.get_logger("relay")


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
    metrics = Metrics()
    journal = Journal(
        metrics,
        take_span=span_taker(settings.otel_exporter_otlp_endpoint, "worker"),
        server_address=urlsplit(settings.channel_api_url).hostname or "",
    )
    loop = WorkLoop(
        calls,
        channel,
        spool,
        journal,
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


def _calls(settings: WorkerSettings) -> CallStore:
    url, keys = settings.redis_url.get_secret_value(), Keys(settings.key_prefix)
    client = connect(url, slot_key=keys.tag)
    refuse_unsafe(Auditor(client), settings)
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


def _beside(metrics: Metrics, port: int | None) -> list[Callable[[], None]]:
    return [] if port is None else [listen(metrics, port)]
