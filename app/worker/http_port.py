"""The HTTP server of a worker on ``METRICS_PORT``: ``/metrics``, ``/livez`` and ``/readyz``."""

import json
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from gevent.pywsgi import WSGIHandler, WSGIServer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.store.audit import Readiness

log = structlog.get_logger("relay.metrics")

EXIT_PORT_UNUSABLE = 2
# A request is one packet, and its answer is there in milliseconds.
MAX_CONNECTIONS = 64
SILENCE_SECONDS = 5
ADVICE = "give each worker of this host a METRICS_PORT of its own, or a BIND that the host has"

Answer = tuple[HTTPStatus, str, bytes]


def start_http_port(
    registry: CollectorRegistry, readiness: Readiness, bind: str, port: int, version: str
) -> Callable[[], None]:
    """Listen on ``bind``; return the function that serves, for a greenlet.

    On ``[::]`` IPv4 is served as well. Ends the process where the port cannot be had.
    """
    host = bind.strip("[]")
    is_ipv6 = ":" in host
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, dualstack_ipv6=is_ipv6)
    except OSError as error:
        log.error(  # noqa: TRY400 - the reason is all that matters
            "metrics_port_unusable", bind=bind, port=port, reason=error.strerror, advice=ADVICE
        )
        sys.exit(EXIT_PORT_UNUSABLE)
    server: WSGIServer = _Server(listener, _Views(registry, readiness, version))
    return partial(server.serve_forever)


class _Views:
    """The WSGI application."""

    def __init__(self, registry: CollectorRegistry, readiness: Readiness, version: str) -> None:
        self._registry = registry
        self._readiness = readiness
        self._version = version
        self._views = {"/metrics": self._metrics, "/livez": self._livez, "/readyz": self._readyz}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer GET, and HEAD without the body."""
        view = self._views.get(environ["PATH_INFO"])
        method = environ["REQUEST_METHOD"]
        headers = [("Cache-Control", "no-store"), ("Connection", "close")]
        if view is None:
            status, media_type, body = _problem(
                HTTPStatus.NOT_FOUND, "not-found", "There are /metrics, /livez and /readyz."
            )
        elif method not in {"GET", "HEAD"}:
            headers.append(("Allow", "GET, HEAD"))
            status, media_type, body = _problem(
                HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", "GET and HEAD are."
            )
        else:
            status, media_type, body = view()
        headers += [("Content-Type", media_type), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if method == "HEAD" else [body]

    def _metrics(self) -> Answer:
        return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry)

    def _livez(self) -> Answer:
        return _json(HTTPStatus.OK, {"status": "ok", "version": self._version})

    def _readyz(self) -> Answer:
        ready = self._readiness.check()
        if not ready.failing:
            return _json(HTTPStatus.OK, {"status": "ok", "warnings": ready.warnings})
        errors = [{"check": check} for check in ready.failing]
        detail = "; ".join(ready.failing)
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", detail, errors=errors)


class _MetricsHandler(WSGIHandler):  # type: ignore[misc]
    """Handler of one connection, which closes after its answer."""

    def read_request(self, raw_requestline: str) -> bool:
        """Read the head, and no body.

        Raises ``ValueError`` where it is none: other errors the library prints, which may block.
        """
        try:
            super().read_request(raw_requestline)
        except Exception as error:
            raise ValueError(str(error)) from error
        # Else the library would read a body of any length, without a pause.
        self.content_length = None
        for name in ("Content-Length", "Transfer-Encoding", "Expect"):
            del self.headers[name]
        return True


class _Server(WSGIServer):  # type: ignore[misc]
    """Server of so many connections; for one more, it ends the oldest."""

    def __init__(self, listener: socket.socket, application: _Views) -> None:
        # With its name given, the host is not looked up.
        environ = {"SERVER_NAME": "worker"}
        super().__init__(
            listener,
            application,
            log=None,
            error_log=None,
            handler_class=_MetricsHandler,
            environ=environ,
        )
        self._open: dict[Any, None] = {}

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a connection, whose client may be slow, silent, or gone."""
        if len(self._open) >= MAX_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        self._open[sock] = None
        sock.settimeout(SILENCE_SECONDS)
        try:
            with suppress(OSError):
                super().handle(sock, address)
        finally:
            self._open.pop(sock, None)


def _problem(status: HTTPStatus, slug: str, detail: str, **members: Any) -> Answer:
    """A problem, https://www.rfc-editor.org/rfc/rfc9457; web serves the page of its type."""
    problem = {
        "type": f"/problems/{slug}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **members,
    }
    return _json(status, problem, "application/problem+json")


def _json(status: HTTPStatus, content: Any, media_type: str = "application/json") -> Answer:
    return status, media_type, json.dumps(content).encode() + b"\n"
