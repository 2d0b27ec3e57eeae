"""The first log lines of web and worker."""

import os
from collections.abc import Mapping

import structlog

from config.settings import Settings, effective, ignored_variables
from config.version import VERSION

log = structlog.get_logger("relay")


def log_settings(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Log release and settings, and a warning for each variable that has no effect."""
    log.info("settings", version=VERSION, **effective(settings))
    for name, reason in ignored_variables(type(settings), environ).items():
        log.warning("setting_ignored", name=name, reason=reason)
