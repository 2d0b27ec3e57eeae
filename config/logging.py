"""Logs: one JSON object a line on stdout, from our own loggers and from the libraries' alike.

Lines never block gevent's loop: where stdout has no room, a greenlet waits at most for its
patience, and the line is dropped then, and counted.
"""

import json
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any

import gevent
import structlog
from gevent.lock import BoundedSemaphore
from gevent.monkey import get_original, is_module_patched
from gevent.socket import wait_write
from pydantic_core import PydanticSerializationError, to_json

STDOUT = 1
PATIENCE_SECONDS = 1.0

# The patched one yields even where it must not wait, and a Timeout that is due would fire inside a
# log line, which may come between an answer and its keeping.
_poll = get_original("select", "poll")


def configure(level: str) -> None:
    """Make every log line of this process JSON on stdout, from ``level`` upwards.

    Our loggers are ``structlog.get_logger("relay.…")``; each keeps the level of its first line.
    """
    structlog.configure(
        processors=[*_STAMPS, *_RENDERERS],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    handler = _LineHandler()
    unmarked = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_STAMPS, processors=[unmarked, *_RENDERERS]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


def write_event(logger_name: str, event: str, **fields: Any) -> bool:
    """Write a line of level ``info``; return whether the log has it, whole.

    Waits a second for room even after losses. A level above ``info`` drops the line: ``False``.
    """
    if not logging.getLogger().isEnabledFor(logging.INFO):
        return False
    return stdout_lines.write(_line(logger_name, "info", event, fields), PATIENCE_SECONDS)


def guard_hub_errors() -> None:
    """Log errors that end a greenlet or a callback as one line each, without waiting for room.

    gevent's own way is a blocking write to stderr. An ``exception_stream`` of ``None`` ends that,
    and ``handle_error`` may be replaced on the instance:
    https://www.gevent.org/api/gevent.hub.html#gevent.hub.Hub.handle_error
    """
    hub = gevent.get_hub()
    hub.exception_stream = None
    hub.handle_error = partial(_log_hub_error, hub)


class WithoutRequests(logging.Filter):
    """Filter that cuts the head that gunicorn quotes where it was cut off: it may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the message up to the quotation."""
        if str(record.msg).startswith("Ignored premature client disconnection"):
            record.msg, record.args = "Ignored premature client disconnection", ()
        return True


class LineWriter:
    """Writer of whole lines to a file descriptor that other processes write to as well.

    A pipe with room takes ``select.PIPE_BUF`` bytes (4096) without blocking and in one piece; a
    longer line goes out in parts of that size. Lines of other processes may come between these, and
    without room for the next part the line is cut; this process' next line then begins with a line
    break. ``O_NONBLOCK`` is never set: it would hold for the other processes too.

    ``lost`` counts lines that were not taken whole; ``on_lost`` is called for each. ``flows``: the
    last line was taken. ``describe_losses`` makes the line that reports lost ones once lines flow.
    """

    def __init__(self, fd: int, describe_losses: Callable[[int], bytes]) -> None:
        self.lost = 0
        self.flows = True
        self.on_lost: Callable[[], None] | None = None
        self._fd = fd
        self._describe_losses = describe_losses
        self._reported = 0
        self._is_cut = False
        # A patched lock yields where it is not free, even to a greenlet that does not wait for it.
        self._turn = BoundedSemaphore(1) if is_module_patched("threading") else Lock()
        self._poller = _poll()
        self._poller.register(fd, select.POLLOUT)

    def write(self, line: bytes, patience_seconds: float) -> bool:
        """Write ``line``, with its line break; return whether it was taken whole.

        Waits up to ``patience_seconds`` for room, never in the hub. A line that the descriptor
        refuses (its reader is gone, the disk is full) is lost at once.
        """
        is_taken, deadline = False, time.monotonic() + patience_seconds
        try:
            with suppress(OSError), self._taking_turns(deadline):
                self._put(line, deadline)
                is_taken = True
                self._report_losses()
        finally:  # a Timeout may end the wait
            self.flows = is_taken
            if not is_taken:
                self.lost += 1
                if self.on_lost:
                    self.on_lost()
        return is_taken

    @contextmanager
    def _taking_turns(self, deadline: float) -> Iterator[None]:
        """Keep other greenlets' lines out of this one. Raises OSError where its time is up."""
        if not self._turn.acquire(blocking=False) and not (
            (seconds := _seconds_to_wait(deadline)) and self._turn.acquire(timeout=seconds)
        ):
            raise TimeoutError
        try:
            yield
        finally:
            self._turn.release()

    def _put(self, line: bytes, deadline: float) -> None:
        rest = b"\n" + line if self._is_cut else line
        while rest:
            self._wait_for_room(deadline)
            size = os.write(self._fd, rest[: select.PIPE_BUF])
            self._is_cut = rest[size - 1 : size] != b"\n"
            rest = rest[size:]

    def _wait_for_room(self, deadline: float) -> None:
        """Wait until a write does not block. Raises OSError where the time is up."""
        # Room for one page wakes all waiters of all processes: one that did not poll again would
        # block. An error is an event as well, and the write raises it.
        while not self._poller.poll(0):
            seconds = _seconds_to_wait(deadline)
            if not seconds:
                raise TimeoutError
            wait_write(self._fd, timeout=seconds)

    def _report_losses(self) -> None:
        lost = self.lost
        if lost > self._reported:
            with suppress(OSError):
                self._put(self._describe_losses(lost - self._reported), deadline=0)
                self._reported = lost


def _seconds_to_wait(deadline: float) -> float:
    """Return the time that is left; none in the hub, which runs what would end the wait."""
    seconds = deadline - time.monotonic()
    return 0 if seconds <= 0 or gevent.getcurrent() is gevent.get_hub() else seconds


class _Lines:
    """Sink of our own loggers; ``name`` is the logger's."""

    def __init__(self, name: str = "app") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _write_ordinary(line)

    debug = info = warning = error = critical = msg


class _LineHandler(logging.Handler):
    """Sink of the standard library's loggers."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the lock of a handler, which the hub could not wait for.
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a broken record must not hurt its caller
            fields = {"source": f"{record.pathname}:{record.lineno}", "exc_info": error}
            line = _render(record.name, "error", "log_record_broken", fields)
        _write_ordinary(line)


def _write_ordinary(line: str) -> None:
    stdout_lines.write(_encode(line), PATIENCE_SECONDS if stdout_lines.flows else 0)


def _log_hub_error(hub: Any, context: Any, kind: Any, value: Any, trace: Any) -> None:
    if kind is None:  # gevent's word for the exception that is being handled
        kind, value, trace = sys.exc_info()
    if not issubclass(kind, hub.NOT_ERROR):
        # Not the greenlet's repr: that shows its arguments.
        fields = {"greenlet": getattr(context, "name", None), "exc_info": (kind, value, trace)}
        stdout_lines.write(_line("gevent", "error", "greenlet_failed", fields), 0)
    type(hub).handle_error(hub, context, kind, value, trace)


def _line(logger_name: str, level: str, event: str, fields: dict[str, Any]) -> bytes:
    return _encode(_render(logger_name, level, event, fields))


def _render(logger_name: str, level: str, event: str, fields: dict[str, Any]) -> str:
    logger, line = _Lines(logger_name), {"event": event, **fields}
    for processor in (*_STAMPS, *_RENDERERS):
        line = processor(logger, level, line)
    return str(line)


def _encode(line: str) -> bytes:
    return line.encode() + b"\n"


def _as_json(line: dict[str, Any], **_: Any) -> str:
    try:
        return to_json(line, fallback=repr).decode()
    except PydanticSerializationError:  # a text that UTF-8 cannot say, such as a file's name
        return json.dumps(line, default=repr)


_STAMPS: list[Any] = [
    structlog.stdlib.add_logger_name,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# a traceback as text has no local variables in it, and so no secrets
_RENDERERS: list[Any] = [
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(_as_json),
]

stdout_lines = LineWriter(
    STDOUT, lambda count: _line("relay.log", "warning", "log_lines_lost", {"count": count})
)
