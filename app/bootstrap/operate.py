"""The operator's command line."""

from collections.abc import Mapping

from app.operate.desk import Desk, ProcessSettings
from app.store.connect import connect
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


def desk(environ: Mapping[str, str]) -> Desk:
    """Build what the operator's command line works with. Ends the process where it cannot."""
    return Desk(
        connect=lambda: _operations(load_or_exit(OperatorSettings, environ)),
        settings=lambda: [
            ProcessSettings("web", *preview(WebSettings, environ)),
            ProcessSettings("worker", *preview(WorkerSettings, environ)),
        ],
    )


def _operations(settings: OperatorSettings) -> Operations:
    keys = Keys(settings.key_prefix)
    client = connect(settings.redis_url.get_secret_value(), slot_key=keys.tag)
    scripts = Scripts(client, keys, min_replicas_acked=settings.min_replicas_acked)
    return Operations(scripts, record_ttl_seconds=settings.record_ttl_seconds)
