"""The operator's command line."""

from collections.abc import Mapping

from app.operate.context import CliContext, SettingsPreview
from app.store.client import RedisClient
from app.store.connector import Connector
from app.store.keys import Keys
from app.store.operations import Operations
from app.store.scripts import Scripts
from config.settings import (
    OperatorSettings,
    WebSettings,
    WorkerSettings,
    load_or_exit,
    preview,
)


def desk(environ: Mapping[str, str]) -> CliContext:
    """Build the context of the command line, which ends the process for wrong settings."""
    return CliContext(
        connect=lambda: _operations(load_or_exit(OperatorSettings, environ)),
        settings=lambda: [
            SettingsPreview("web", *preview(WebSettings, environ)),
            SettingsPreview("worker", *preview(WorkerSettings, environ)),
        ],
    )


def _operations(settings: OperatorSettings) -> Operations:
    keys = Keys(settings.key_prefix)
    client = RedisClient(Connector(settings.redis_url, slot_key=keys.tag))
    scripts = Scripts(client, keys, min_replicas_acked=settings.min_replicas_acked)
    return Operations(scripts, record_ttl_seconds=settings.record_ttl_seconds)
