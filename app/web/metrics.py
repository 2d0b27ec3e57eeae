"""Web's metrics, added up over its processes, and the relay's stats from Redis.

https://prometheus.github.io/client_python/multiprocess/
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from flask import Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.chats.errors import StoreUnavailable
from app.store.relay_stats import BreakerState, RelayStatsReader
from app.web.request_context import PostResult

log = structlog.get_logger("relay.web")

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# By the problem of the answer; every other one is an invalid event.
RESULT_OF = {
    "event-id-reused": PostResult.REUSED,
    "unauthorized": PostResult.UNAUTHORIZED,
    "forbidden": PostResult.UNAUTHORIZED,
    "backlog-full": PostResult.FULL,
    "unavailable": PostResult.UNAVAILABLE,
    "internal-error": PostResult.UNAVAILABLE,
}
NO_ROUTE = "none"
# The types of metric that are counted here: prometheus-client has a file for each.
FILE_KINDS = ("counter", "histogram")
# As much of a file as prometheus-client maps into memory.
FILE_BYTES = 64 * 1024


class WebMetrics:
    """Counts of requests, and the view ``/metrics``.

    No fault of counting reaches a caller. No id is ever a label. Every label is there from the
    start, so that a first failure is a step.
    """

    def __init__(self, stats_reader: RelayStatsReader, version: str) -> None:
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._files = _CountFiles(Path(directory)) if directory else None
        self._has_failed = False
        self._check_files()  # before there is a metric, which maps them
        self._own = CollectorRegistry()
        self._events = Counter(
            "relay_events", "Posted events, by result.", ["result"], registry=self._own
        )
        self._seconds = Histogram(
            "relay_request_seconds",
            "How long requests took.",
            ["route"],
            buckets=SECONDS,
            registry=self._own,
        )
        self._lost_lines = Counter(
            "relay_log_lines_lost", "Log lines that stdout did not take.", registry=self._own
        )
        for result in PostResult:
            self._events.labels(result)
        counts = _RegistryCollector(Path(directory)) if directory else self._own
        self._collectors: list[Collector] = [
            counts,
            _RedisStatsCollector(stats_reader),
            _BuildInfoCollector(version),
        ]

    def expect(self, routes: Iterable[str]) -> None:
        """Show each of ``routes``, and what has none, before the first request comes."""
        for route in (*routes, NO_ROUTE):
            self._seconds.labels(route)

    def count_request(self, route: str | None, seconds: float) -> None:
        """Count one request, of whatever kind."""
        with self._tolerate_faults():
            self._check_files()
            self._seconds.labels(route or NO_ROUTE).observe(seconds)

    def count_event(self, result: str | None, problem: str | None) -> None:
        """Count one posted event by its result, or by the problem that it was answered with."""
        with self._tolerate_faults():
            self._check_files()
            self._events.labels(result or RESULT_OF.get(problem or "", PostResult.INVALID)).inc()

    def count_lost_line(self) -> None:
        """Count a log line that was dropped."""
        with self._tolerate_faults():
            self._check_files()
            self._lost_lines.inc()

    def metrics(self) -> Response:
        """Answer with all that can be read, as Prometheus reads it."""
        text = b"".join(_scrape(collector) for collector in self._collectors)
        return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _check_files(self) -> None:
        if self._files is not None:
            self._files.check()

    @contextmanager
    def _tolerate_faults(self) -> Iterator[None]:
        """Log the first of a row of faults, and raise none."""
        try:
            yield
        except Exception:
            is_first, self._has_failed = not self._has_failed, True
            if is_first:
                log.exception("counting_failed")
        else:
            self._has_failed = False


class _CountFiles:
    """The files that this process counts in, whole before they are mapped.

    Where the disk is full, a count in a hole of a mapped file would end the process by SIGBUS; so
    would one behind the end of a file that was cut off.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paths: list[Path] = []
        self._pid = 0

    def check(self) -> None:
        """Make the files if this process has none yet.

        Raises ``OSError`` where a count in them would be lost, or end the process.
        """
        pid = os.getpid()
        if self._pid != pid:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_directory()
            paths = [self._directory / f"{kind}_{pid}.db" for kind in FILE_KINDS]
            for path in paths:
                _fill(path)
            self._paths, self._pid = paths, pid
        for path in self._paths:
            if path.stat().st_size < FILE_BYTES:
                raise OSError(errno.EIO, "cut off", str(path))

    def _lock_directory(self) -> None:
        # Where it was made anew: a web that starts removes the directories that no process locks.
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(BlockingIOError):  # the master's own lock
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _fill(path: Path) -> None:
    try:
        with path.open("ab") as file:
            file.write(bytes(max(FILE_BYTES - file.tell(), 0)))
    except OSError:
        path.unlink(missing_ok=True)
        raise


class _RegistryCollector(Collector):
    """The counts of all processes, live or ended, that can be read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reported: set[Path] = set()

    def collect(self) -> Iterator[Metric]:
        paths = sorted(self._directory.glob("*.db"))
        try:
            # Regular files only: to open a pipe would block the process.
            yield from _merge([path for path in paths if path.is_file()])
        except Exception:  # noqa: BLE001 - the library raises what it stumbles on
            yield from _merge([path for path in paths if self._is_readable(path)])

    def _is_readable(self, path: Path) -> bool:
        try:
            if not path.is_file():
                return False
            _merge([path])
        except Exception:
            if path not in self._reported:
                self._reported.add(path)
                log.exception("counts_unreadable", file=path.name)
            return False
        return True


def _merge(paths: list[Path]) -> list[Metric]:
    names = [str(path) for path in paths]
    return list(MultiProcessCollector.merge(names))  # type: ignore[no-untyped-call]


def _scrape(collector: Collector) -> bytes:
    try:
        return generate_latest(collector)
    except Exception:
        log.exception("scrape_failed", metrics=type(collector).__name__)
        return b""


class _RedisStatsCollector(Collector):
    """Counts that are read from Redis at each scrape; nothing while Redis is away."""

    def __init__(self, stats_reader: RelayStatsReader) -> None:
        self._stats_reader = stats_reader

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        try:
            now = self._stats_reader.relay_stats()
        except StoreUnavailable:
            return
        yield _gauge("backlog_events", "Accepted events that wait or are called.", now.backlog)
        yield _gauge(
            "oldest_waiting_seconds",
            "For how long the first in line has waited.",
            now.oldest_waiting_seconds,
        )
        yield _gauge("held_events", "Events that may have a chat or not.", now.held)
        yield _gauge("failed_events", "Failed events that are still kept.", now.failed)
        yield _gauge(
            "breaker_open",
            "1 unless the breaker is closed.",
            now.breaker is not BreakerState.CLOSED,
        )
        yield _gauge("workers", "Worker processes that took within 15 s.", now.workers)
        yield _gauge(
            "probe_failing", "1 while a probe of Channel.io fails.", now.failing_probes != ()
        )
        yield _gauge("paused", "1 while an operator pauses all calls.", now.pause is not None)


class _BuildInfoCollector(Collector):
    """The release that runs."""

    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("relay_build_info", "1, by the release.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"relay_{name}", meaning, value=value)
