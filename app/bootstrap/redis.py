"""Check of Redis at the start of each process."""

import sys

import structlog

from app.chats.errors import StoreUnavailable
from app.store.audit import NO_PERSISTENCE, Auditor, MisnamedDatabase
from config.settings import Settings

log = structlog.get_logger("relay")

# Of web and worker alike: gunicorn's own code for what cannot boot.
EXIT_UNSAFE_REDIS = 3


def exit_if_unsafe(auditor: Auditor, settings: Settings) -> None:
    """End the process where Redis is reachable and would lose stored events.

    A forbidden or refused command is only logged: web reports it at ``/readyz``, the worker
    waits, and both work once it is mended.
    """
    try:
        audit = auditor.audit()
    except MisnamedDatabase as error:
        log.error("redis_unsafe", fault=str(error), allowed=False)  # noqa: TRY400 - no news
        sys.exit(EXIT_UNSAFE_REDIS)
    except StoreUnavailable as error:
        log.warning("redis_unavailable", reason=str(error))
        return
    for refusal in audit.refusals:
        log.error("redis_refuses", refusal=refusal)
    for warning in audit.warnings:
        write = log.error if warning == NO_PERSISTENCE else log.warning
        write("redis_warning", warning=warning)
    for fault in audit.faults:
        log.error("redis_unsafe", fault=fault, allowed=settings.redis_allow_unsafe)
    if audit.faults and not settings.redis_allow_unsafe:
        sys.exit(EXIT_UNSAFE_REDIS)
