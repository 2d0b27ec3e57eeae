"""Web's metrics, added up over all of its processes, and what Redis says of the relay.

https://prometheus.github.io/client_python/multiprocess/
"""

import os
from collections.abc import Iterable, Iterator

from flask import Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.chats.errors import StoreUnavailable
from app.store.overview import Overviews

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RESULTS = ("accepted", "duplicate", "reused", "invalid", "unauthorized", "full", "unavailable")
# By the problem that was answered; every other one says that the event or its form is not valid.
RESULT_OF = {
    "event-id-reused": "reused",
    "unauthorized": "unauthorized",
    "forbidden": "unauthorized",
    "backlog-full": "full",
    "unavailable": "unavailable",
    "internal-error": "unavailable",
}
NO_ROUTE = "none"


class Metrics:
    """Counts of requests, and the view ``/metrics``.

    No id is ever a label. Every label is there from the start, so that a first failure is a step.
    """

    def __init__(self, overviews: Overviews) -> None:
        self._own = CollectorRegistry()
        self._events = Counter(
            "relay_events", "Posted events, by what became of them.", ["result"], registry=self._own
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
        for result in RESULTS:
            self._events.labels(result)
        self._scraped = CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(self._scraped)  # type: ignore[no-untyped-call]
        else:
            self._scraped.register(_Of(self._own))
        self._scraped.register(_Standing(overviews))

    def expect(self, routes: Iterable[str]) -> None:
        """Show each of ``routes``, and what has none, before the first request comes."""
        for route in (*routes, NO_ROUTE):
            self._seconds.labels(route)

    def count_request(self, route: str | None, seconds: float) -> None:
        """Count one request, of whatever kind."""
        self._seconds.labels(route or NO_ROUTE).observe(seconds)

    def count_event(self, result: str | None, problem: str | None) -> None:
        """Count one posted event by its result, or by the problem that it was answered with."""
        self._events.labels(result or RESULT_OF.get(problem or "", "invalid")).inc()

    def count_lost_line(self) -> None:
        """Count a log line that was dropped."""
        self._lost_lines.inc()

    def metrics(self) -> Response:
        """Answer with everything, as Prometheus reads it."""
        return Response(generate_latest(self._scraped), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Of(Collector):
    """Another registry's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()


class _Standing(Collector):
    """Counts that are read from Redis at each scrape; nothing while Redis is away."""

    def __init__(self, overviews: Overviews) -> None:
        self._overviews = overviews

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        try:
            now = self._overviews.overview()
        except StoreUnavailable:
            return
        yield _gauge("backlog_events", "Accepted events that wait or are called.", now.backlog)
        yield _gauge(
            "oldest_waiting_seconds",
            "For how long the first in line has waited.",
            now.oldest_waiting_seconds,
        )
        yield _gauge("held_events", "Events about which nobody knows.", now.held)
        yield _gauge("failed_events", "Failed events that are still kept.", now.failed)
        yield _gauge("breaker_open", "1 unless the breaker is closed.", now.breaker != "closed")


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"relay_{name}", meaning, value=value)
