"""The operator's command line."""

from collections.abc import Mapping

from app.chats.event import OnUnknown
from app.operate.context import CliContext, SettingsPreview
from app.store.client import RedisClient
from app.store.connector import Connector
from app.store.keys import Keys
from app.store.operations import Operations
from app.store.relay_stats import RelayStatsReader
from app.store.scripts import Scripts
from config.settings import (
    OperatorSettings,
    WebSettings,
    WorkerSettings,
    ignored_variables,
    load_or_exit,
    preview,
)


def build_cli_context(environ: Mapping[str, str]) -> CliContext:
    """Build the context of the command line, which ends the process for wrong settings."""
    return CliContext(
        connect=lambda: _operations(load_or_exit(OperatorSettings, environ)),
        settings=lambda: [
            SettingsPreview(name, *preview(model, environ), ignored_variables(model, environ))
            for name, model in (("web", WebSettings), ("worker", WorkerSettings))
        ],
    )


def _operations(settings: OperatorSettings) -> Operations:
    keys = Keys(settings.key_prefix)
    client = RedisClient(Connector(settings.redis_url, slot_key=keys.tag))
    # Workers keep theirs in the gate: an operator's shell need not have it.
    acknowledged = RelayStatsReader(Scripts(client, keys)).min_replicas_acked()
    replicas = max(settings.min_replicas_acked, acknowledged)
    return Operations(
        Scripts(client, keys, min_replicas_acked=replicas),
        record_ttl_seconds=settings.record_ttl_seconds,
        on_unknown=OnUnknown(settings.on_unknown),
    )
