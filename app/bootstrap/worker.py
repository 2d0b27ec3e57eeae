"""Composition of the worker's process."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import gevent
import structlog
from gevent.event import Event
from gevent.pool import Pool

from app.bootstrap.redis import exit_if_unsafe
from app.bootstrap.start import log_settings
from app.bootstrap.tracing import build_span_exporter
from app.channel.client import ChannelClient, compute_way
from app.channel.tasks import ChannelTasks
from app.channel.transport import is_without_proxy, trusted_authorities
from app.chats.event import OnUnknown
from app.store.audit import Auditor, Readiness
from app.store.client import RedisClient
from app.store.connector import Connector
from app.store.grants import GrantStore, Limits
from app.store.keys import Keys
from app.worker.call import CallRunner
from app.worker.http_port import start_http_port
from app.worker.metrics import WorkerMetrics
from app.worker.process import WorkerProcess
from app.worker.reporter import CallReporter
from app.worker.spool import Spool
from app.worker.taker import Taker
from config.authorities import certificate_files
from config.logging import guard_hub_errors, stdout_lines, write_event
from config.settings import WorkerSettings
from config.version import VERSION

log = structlog.get_logger("relay")

# A look-up of a name that hangs outlives its call; these are for Redis.
SPARE_THREADS = 20


def build_worker(settings: WorkerSettings) -> WorkerProcess:
    """Build a worker process. Ends the process where Redis is reachable and unsafe."""
    log_settings(settings)
    prepare_process(settings)
    metrics = WorkerMetrics()
    stdout_lines.on_lost = metrics.count_lost_line
    reporter = CallReporter(
        metrics,
        partial(write_event, "relay.worker"),
        export_span=build_span_exporter(settings.traces_url, "worker"),
        server_address=urlsplit(settings.channel_api_url).hostname or "",
    )
    return compose_worker(
        settings,
        build_grant_store(settings),
        build_channel_client(settings),
        Spool(settings.spool_dir),
        reporter,
        background=_build_background(settings, metrics),
    )


def prepare_process(settings: WorkerSettings) -> None:
    """Set up gevent's hub, which the whole process shares."""
    guard_hub_errors()
    gevent.get_hub().threadpool.maxsize = settings.worker_concurrency + SPARE_THREADS


def compose_worker(
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
    tasks = ChannelTasks(channel, key_prefix=settings.key_prefix, bot_name=settings.bot_name)
    calls = CallRunner(grants, channel, tasks, spool, reporter, deadline_seconds=deadline_seconds)
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


def build_channel_client(settings: WorkerSettings) -> ChannelClient:
    """Build the client of Channel.io, and log its way there."""
    proxy = settings.proxy
    if proxy and is_without_proxy(settings.channel_api_url, settings.no_proxy):
        proxy = None
    log.info(
        "channel_route",
        proxy=proxy and str(proxy),
        authorities=[str(path) for path in settings.authorities] or "public",
    )
    files = [file for path in settings.authorities for file in certificate_files(path)]
    return ChannelClient(
        base_url=settings.channel_api_url,
        access_key=settings.channel_access_key.get_secret_value(),
        access_secret=settings.channel_access_secret.get_secret_value(),
        api_version=settings.channel_api_version,
        connect_timeout_seconds=settings.call_connect_timeout_seconds,
        proxy=proxy,
        tls=trusted_authorities(files),
    )


def build_grant_store(settings: WorkerSettings) -> GrantStore:
    """Build the schedule of calls. Ends the process where Redis is reachable and unsafe."""
    keys = Keys(settings.key_prefix)
    client = RedisClient(Connector(settings.redis_url, slot_key=keys.tag))
    auditor = Auditor(client, keys, min_replicas_acked=settings.min_replicas_acked)
    exit_if_unsafe(auditor, settings)
    return GrantStore(
        client,
        keys,
        way=compute_way(
            settings.channel_api_url,
            settings.channel_api_version,
            settings.channel_access_key.get_secret_value(),
            settings.channel_access_secret.get_secret_value(),
        ),
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


def _build_background(settings: WorkerSettings, metrics: WorkerMetrics) -> list[Callable[[], None]]:
    """Build what runs beside the worker, on its own connection to Redis."""
    if settings.metrics_port is None:
        return []
    keys = Keys(settings.key_prefix)
    client = RedisClient(Connector(settings.redis_url, slot_key=keys.tag))
    auditor = Auditor(client, keys, min_replicas_acked=settings.min_replicas_acked)
    readiness = Readiness(auditor, allow_unsafe=settings.redis_allow_unsafe)
    metrics.show_release(VERSION)
    return [
        start_http_port(metrics.registry, readiness, settings.bind, settings.metrics_port, VERSION)
    ]
