"""Composition of the worker's process."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import gevent
import structlog
from gevent.event import Event
from gevent.pool import Pool

from app.bootstrap.redis import refuse_unsafe
from app.bootstrap.tracing import span_taker
from app.channel.client import ChannelClient
from app.chats.event import OnUnknown
from app.store.audit import Auditor
from app.store.client import RedisClient
from app.store.connector import Connector
from app.store.grants import GrantStore, Limits
from app.store.keys import Keys
from app.worker.call import CallRunner
from app.worker.metrics import Metrics, listen
from app.worker.process import WorkerProcess
from app.worker.reporter import CallReporter
from app.worker.spool import Spool
from app.worker.taker import Taker
from config.logging import guard_hub_errors, stdout_lines, write_event
from config.settings import WorkerSettings, effective

log = structlog.get_logger("relay")

# A look-up of a name that hangs outlives its call; these are for Redis.
SPARE_THREADS = 20


def worker(settings: WorkerSettings) -> WorkerProcess:
    """Build a worker process. Ends the process where Redis is reachable and unsafe."""
    log.info("settings", **effective(settings))
    prepare_process(settings)
    metrics = Metrics()
    stdout_lines.on_lost = metrics.count_lost_line
    reporter = CallReporter(
        metrics,
        partial(write_event, "relay.worker"),
        take_span=span_taker(settings.otel_exporter_otlp_endpoint, "worker"),
        server_address=urlsplit(settings.channel_api_url).hostname or "",
    )
    return compose(
        settings,
        grant_store(settings),
        channel_client(settings),
        Spool(settings.spool_dir),
        reporter,
        background=_background(metrics, settings.metrics_port),
    )


def prepare_process(settings: WorkerSettings) -> None:
    """Set up gevent's hub, which the whole process shares."""
    guard_hub_errors()
    gevent.get_hub().threadpool.maxsize = settings.worker_concurrency + SPARE_THREADS


def compose(
    settings: WorkerSettings,
    grants: GrantStore,
    channel: ChannelClient,
    spool: Spool,
    reporter: CallReporter,
    *,
    background: list[Callable[[], None]],
) -> WorkerProcess:
    """Put a worker process together from the parts that touch something outside of it."""
    stopping = Event()
    slots = Pool(settings.worker_concurrency)
    deadline_seconds = settings.call_deadline_seconds
    calls = CallRunner(grants, channel, spool, reporter, deadline_seconds=deadline_seconds)
    taker = Taker(
        grants, calls, spool, reporter, slots, deadline_seconds=deadline_seconds, stopping=stopping
    )
    return WorkerProcess(
        taker,
        calls,
        spool,
        slots,
        deadline_seconds=deadline_seconds,
        stopping=stopping,
        background=background,
    )


def channel_client(settings: WorkerSettings) -> ChannelClient:
    """Build the client of Channel.io."""
    return ChannelClient(
        base_url=settings.channel_api_url,
        access_key=settings.channel_access_key.get_secret_value(),
        access_secret=settings.channel_access_secret.get_secret_value(),
        api_version=settings.channel_api_version,
        connect_timeout_seconds=settings.call_connect_timeout_seconds,
    )


def grant_store(settings: WorkerSettings) -> GrantStore:
    """Build the schedule of calls. Ends the process where Redis is reachable and unsafe."""
    keys = Keys(settings.key_prefix)
    client = RedisClient(Connector(settings.redis_url, slot_key=keys.tag))
    refuse_unsafe(Auditor(client), settings)
    return GrantStore(
        client,
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


def _background(metrics: Metrics, port: int | None) -> list[Callable[[], None]]:
    return [] if port is None else [listen(metrics, port)]
