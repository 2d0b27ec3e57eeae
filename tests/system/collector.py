"""An OpenTelemetry collector on loopback that keeps what it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tools.stack.processes import wait_until

PATH = "/v1/traces"
TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Arrived:
    """A span as it was sent, and what its resource says of the process."""

    sent: trace_pb2.Span
    resource: dict[str, Any]

    @property
    def ids(self) -> tuple[str, str, str]:
        """Of its trace, its parent, and its own."""
        span = self.sent
        return span.trace_id.hex(), span.parent_span_id.hex(), span.span_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        """By their names."""
        return _values(self.sent.attributes)


class Collector:
    """Takes OTLP over HTTP, in protobuf; while it is ``silent`` it reads, and does not answer."""

    def __init__(self, *, is_silent: bool = False) -> None:
        """Listen, but serve no request yet."""
        self.spans: list[Arrived] = []
        self.bodies: list[bytes] = []
        self._may_answer = Event()
        if not is_silent:
            self._may_answer.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve."""
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self._may_answer.set()
        self._server.shutdown()
        self._server.server_close()

    def of_event(self, event_id: str) -> list[Arrived]:
        """Return the spans of one event: its posts, then its calls."""
        of_event = {"relay.event_id": event_id, "http.request.method": "POST"}
        spans = [s for s in self.spans if s.attributes.items() >= of_event.items()]
        return sorted(spans, key=lambda span: span.sent.kind)

    def wait_for(self, event_id: str, number: int) -> list[Arrived]:
        """So many spans of one event. Raises TimeoutError."""

        def arrived() -> list[Arrived]:
            spans = self.of_event(event_id)
            return spans if len(spans) >= number else []

        return wait_until(arrived, TIMEOUT_SECONDS, f"{number} spans of {event_id}")

    def _take(self, body: bytes) -> None:
        self.bodies.append(body)
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(sent.resource.attributes)
            for scope in sent.scope_spans:
                self.spans += [Arrived(span, resource) for span in scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                is_good = (PATH, "application/x-protobuf") == (
                    self.path,
                    self.headers["Content-Type"],
                )
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if is_good:
                    collector._take(body)
                collector._may_answer.wait(60)
                self.send_response(200 if is_good else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Send nothing."""

        return Handler


def _values(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in attributes
    }
