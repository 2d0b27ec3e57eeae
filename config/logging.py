"""Logs: one JSON object a line on stdout, from our own loggers and from the libraries' alike."""

import json
import logging
import os
from typing import Any

import structlog
from pydantic_core import PydanticSerializationError, to_json

STDOUT = 1


def configure(level: str) -> None:
    """Make every log line of this process JSON on stdout, from ``level`` upwards.

    Loggers are ``structlog.get_logger(__name__)``; each keeps the level of its first line.
    """
    structlog.configure(
        processors=[*_stamps(), *_render()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_handler()]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


class WithoutRequests(logging.Filter):
    """Cuts what gunicorn quotes of a request that it cannot read: that may be a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the message up to the quotation."""
        if str(record.msg).startswith("Invalid request"):
            record.msg, record.args = record.getMessage().partition(":")[0], ()
        return True


class _Lines:
    """Where our own loggers end; ``name`` is the logger's."""

    def __init__(self, name: str = "app") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = critical = msg


class _Handler(logging.Handler):
    """Where the standard library's loggers end."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(self.format(record))
        except Exception:  # noqa: BLE001 - logging's own way: a bad record must not hurt its caller
            self.handleError(record)


def _write(line: str) -> None:
    # one write a line, so that lines of several processes do not mix; a log that cannot be written
    # (full disk, closed pipe) is dropped, since the request or answer it tells of matters more
    try:
        os.write(STDOUT, line.encode() + b"\n")
    except OSError:
        return


def _handler() -> logging.Handler:
    handler = _Handler()
    unmarked = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_stamps(), processors=[unmarked, *_render()]
        )
    )
    return handler


def _stamps() -> list[Any]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _render() -> list[Any]:
    # a traceback as text has no local variables in it, and so no secrets
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_as_json)]


def _as_json(line: dict[str, Any], **_: Any) -> str:
    try:
        return to_json(line, fallback=repr).decode()
    except PydanticSerializationError:  # a text that UTF-8 cannot say, such as a file's name
        return json.dumps(line, default=repr)
