"""The worker's metrics, and the small server that shows them: ``METRICS_PORT``."""

import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.chats.grant import Grant, Settled
from app.chats.outcome import Created, Outcome, Unknown

log = structlog.get_logger("relay.metrics")

EXIT_PORT_UNUSABLE = 2
CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
SETTLE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400)
OUTCOMES = ("created", "refused", "throttled", "not_sent", "unknown")
# In the contract's closed list a denied call is one that was refused.
OUTCOME_OF = {"denied": "refused"}


class Metrics:
    """Counts of calls.

    No id is ever a label. Every label is there from the start, so that a first failure is a step.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "relay_calls",
            "Calls to Channel.io, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._call_seconds = Histogram(
            "relay_call_seconds",
            "How long calls took.",
            buckets=CALL_SECONDS,
            registry=self.registry,
        )
        self._settle_seconds = Histogram(
            "relay_time_to_settle_seconds",
            "From accepting an event to settling it.",
            buckets=SETTLE_SECONDS,
            registry=self.registry,
        )
        for outcome in OUTCOMES:
            self._calls.labels(outcome)
        self._orphans = self._counter("possible_orphans", "Calls that may have made a second chat.")
        self._duplicates = self._counter("duplicate_chats", "Chats beside the published one.")
        self._lost = self._counter("workers_lost", "Calls whose worker was lost.")
        self._lost_lines = self._counter("log_lines_lost", "Log lines that stdout did not take.")

    def count_lost_workers(self, count: int) -> None:
        """Count calls whose worker was lost."""
        self._lost.inc(count)

    def count_lost_line(self) -> None:
        """Count a log line that was dropped."""
        self._lost_lines.inc()

    def count_call(self, grant: Grant, outcome: Outcome, seconds: float) -> None:
        """Count one call."""
        self._calls.labels(OUTCOME_OF.get(outcome.kind, outcome.kind)).inc()
        self._call_seconds.observe(seconds)
        if grant.is_possible_orphan and isinstance(outcome, Created | Unknown):
            self._orphans.inc()

    def count_settled(self, settled: Settled) -> None:
        """Count what a call's outcome changed."""
        if settled.result in {"opened", "failed"}:
            self._settle_seconds.observe(settled.age_seconds)
        elif settled.result == "duplicate":
            self._duplicates.inc()

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"relay_{name}", meaning, registry=self.registry)


def listen(metrics: Metrics, port: int) -> Callable[[], None]:
    """Listen on ``port``; return what answers there, in a thread that the caller starts.

    Ends the process where the port cannot be had.
    """
    try:
        server = _Server(("0.0.0.0", port), partial(_Handler, metrics.registry))  # noqa: S104 - scraped from elsewhere
    except OSError as error:
        log.error("metrics_port_unusable", port=port, reason=error.strerror)  # noqa: TRY400 - no news
        sys.exit(EXIT_PORT_UNUSABLE)
    return server.serve_forever


class _Server(ThreadingTCPServer):
    """Not the library's own, which looks up the host's name and takes every path for metrics."""

    allow_reuse_address = True
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    """One client; ``timeout`` is for the next thing that it sends, in seconds."""

    timeout = 2

    def __init__(self, registry: CollectorRegistry, *args: Any) -> None:
        self._registry = registry
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answer ``/metrics`` and ``/livez``."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry))
        elif path == "/livez":
            self._answer(HTTPStatus.OK, "application/json", b'{"status": "ok"}')
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There are /metrics and /livez.\n")

    def log_message(self, *_: object) -> None:
        """Say nothing: it is asked every few seconds."""

    def _answer(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
