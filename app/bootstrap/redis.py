"""The check of Redis that every kind of process begins with."""

import sys

import structlog

from app.chats.errors import StoreUnavailable
from app.store.audit import Auditor
from config.settings import Settings

log = structlog.get_logger("relay")

# Of web and worker alike: gunicorn's own code for what cannot boot.
EXIT_UNSAFE_REDIS = 3


def refuse_unsafe(auditor: Auditor, settings: Settings) -> None:
    """End the process where Redis is reachable and would lose what we keep in it."""
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
