"""The worker's metrics, and the small server that shows them: ``METRICS_PORT``."""

import sys
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import make_server

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer, _SilentHandler

from app.chats.grant import Grant, Reply, Settled
from app.chats.outcome import Outcome

log = structlog.get_logger("relay.metrics")

EXIT_PORT_IN_USE = 2
CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
SETTLE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400)
# In the contract's closed list a denied call is one that was refused.
LABELS = {"denied": "refused"}


class Metrics:
    """What is counted of calls. No id is ever a label."""

    def __init__(self) -> None:
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
        self._orphans = self._counter("possible_orphans", "Calls that may have made a second chat.")
        self._duplicates = self._counter("duplicate_chats", "Chats beside the published one.")
        self._lost = self._counter("workers_lost", "Calls whose worker was lost.")

    def count_taken(self, reply: Reply) -> None:
        """Count what a ``take`` cleaned up."""
        self._lost.inc(len(reply.lost))

    def count_call(self, grant: Grant, outcome: Outcome, seconds: float) -> None:
        """Count one call."""
        self._calls.labels(LABELS.get(outcome.kind, outcome.kind)).inc()
        self._call_seconds.observe(seconds)
        if grant.is_possible_orphan:
            self._orphans.inc()

    def count_settled(self, settled: Settled) -> None:
        """Count what a call's outcome changed."""
        if settled.result in {"opened", "failed"}:
            self._settle_seconds.observe(settled.age_seconds)
        elif settled.result == "duplicate":
            self._duplicates.inc()

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"relay_{name}", meaning, registry=self.registry)


def serve(metrics: Metrics, port: int) -> None:
    """Answer ``/metrics`` and ``/livez`` on ``port``, beside the work; end where it is in use."""
    shown: Callable[..., Iterable[bytes]] = make_wsgi_app(metrics.registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/livez":
            start("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
            return [b'{"status": "ok"}']
        return shown(environ, start)

    try:
        server = make_server("0.0.0.0", port, answer, ThreadingWSGIServer, _SilentHandler)  # noqa: S104 - scraped from elsewhere
    except OSError as error:
        log.error("metrics_port_unusable", port=port, reason=error.strerror)  # noqa: TRY400 - no news
        sys.exit(EXIT_PORT_IN_USE)
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
