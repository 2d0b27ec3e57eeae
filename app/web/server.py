"""gunicorn's gevent worker, with deadlines for clients and problems for its own refusals.

For HTTP/1.1 behind a load balancer: TLS and HTTP/2 end there, and are not served here.
"""

import errno
import ipaddress
import re
import resource
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import gevent
import structlog
from gevent import socket
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker

from app.telemetry.trace_context import Trace
from app.web.problems import PROBLEMS, ProblemError, problem_body

STOPPING_LINGER_SECONDS = 0.5
# From a stop signal on, clients are still accepted for so long; the system resets those left.
ACCEPT_SECONDS = 0.1
MAX_HEAD_BYTES = 32 * 1024
# gunicorn keeps the last piece of a body beside the whole while it waits for the next one.
PIECE_BYTES = 8 * 1024
# For gevent.sleep: one turn of the loop. sleep(0) comes back up to 50 times before the loop looks
# at its sockets, and then one client that floods has all of them.
ONE_TURN = 1e-9
LINGER_BYTES = 64 * 1024
# Files that a process has open besides its clients: listeners, Redis, logs, metrics.
OTHER_FILES = 160

PROBLEM_OF_ERROR: dict[type[Exception], str] = {
    errors.LimitRequestLine: "uri-too-long",
    errors.LimitRequestHeaders: "headers-too-large",
    errors.ExpectationFailed: "expectation-failed",
    errors.UnsupportedTransferCoding: "not-implemented",
    errors.ParseException: "bad-request",
    # What the application answered is no fault of the client's.
    errors.InvalidResponseHeader: "internal-error",
    errors.InvalidResponseHeaderName: "internal-error",
    errors.ConfigurationProblem: "internal-error",
}

# A name, an IPv4 address, or nothing: reg-name of RFC 3986, section 3.2.2; then a port.
_NAME = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*(?::[0-9]*)?")
# With a zone, as RFC 6874 has it.
_IP_LITERAL = re.compile(r"\[([0-9A-Fa-f:.]+)(?:%25[A-Za-z0-9._~-]+)?\](?::[0-9]*)?")

log = structlog.get_logger("relay.web")


class RelayWorker(GeventWorker):  # type: ignore[misc]
    """The gevent worker; a greenlet for each connection, and a ``ClientSocket`` for its client.

    ``idle`` holds the connections that wait for a request, the longest first. They end when the
    worker stops, and the first of them when there is no room for a new client.
    """

    # For the whole of one head, one body, one answer.
    head_seconds = 10.0
    body_seconds = 10.0
    answer_seconds = 2.0
    # After the last answer: a client that is still sending receives it, and no reset.
    # https://www.rfc-editor.org/rfc/rfc9112#section-9.6
    linger_seconds = 5.0

    worker_connections: int

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.idle: dict[ClientSocket, None] = {}
        self.connections = 0

    def init_process(self) -> None:
        """Start, with as many connections as the system leaves files for."""
        files = _allow_files(self.worker_connections + OTHER_FILES)
        self.worker_connections = max(files - OTHER_FILES, 1)
        super().init_process()

    def timeout_ctx(self) -> AbstractContextManager[None]:
        """Set no limit on a head here: ``ClientSocket`` has one for idling, and one for a head."""
        return nullcontext()

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 - gunicorn's
        """Stop, once the loop has had turns to accept the clients that came before the signal."""
        gevent.spawn(self._stop_soon)

    def notify(self) -> None:
        """Once a second: show the arbiter that the loop turns, and end idle clients at a stop."""
        super().notify()
        if not self.alive:
            for client in list(self.idle):
                client.end_waiting()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection until it ends."""
        self.connections += 1
        try:
            super().handle(listener, ClientSocket(client, self), addr)
        finally:
            self.connections -= 1

    def make_room(self) -> None:
        """End the connection that has been idle longest, where no further one would be accepted.

        One that has not been served yet may be about to send its request, and stays if it is alone.
        """
        longest = next(iter(self.idle))
        if self.connections >= self.worker_connections and (
            longest.has_been_served or len(self.idle) > 1
        ):
            longest.end_waiting()

    def _stop_soon(self) -> None:
        # Not by spawn_later: its time counts from the loop's clock, which may be long past here.
        gevent.sleep(ACCEPT_SECONDS)
        self.alive = False

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request; a connection on which more of it may come ends with it."""
        # A client whose next request is always there would be served again and again, alone.
        gevent.sleep(ONE_TURN)
        _check_host(req)
        if _has_other_coding(req):
            raise errors.UnsupportedTransferCoding("only chunked is undone")
        sock.expect_body()
        req.body = RequestBody(req)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except OSError as error:
            if sock.is_lost:
                raise
            # gunicorn would take it for the client's, and close the connection without an answer.
            sock.drop_answer()
            raise RuntimeError("the application let a system's error out") from error
        finally:
            sock.flush()
            # Of a body that was not read nothing is kept while the connection ends.
            follows = req.unreader.take_buffered()
        req.unreader.unread(follows)
        sock.expect_head(follows)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn's
        """Answer a request that gunicorn refuses, or that broke, with a problem."""
        refused = req or getattr(exc, "req", None)  # where its head could be read
        headers = dict(getattr(refused, "headers", ()))
        trace_id = Trace.from_traceparent(headers.get("TRACEPARENT")).trace_id
        slug = _slug_of(exc)
        if slug == "internal-error":
            log.error("request_failed", trace_id=trace_id, exc_info=exc)
        else:
            # Without the text: it quotes the request, which may hold a token.
            reason = type(exc).__name__
            log.info("request_refused", problem=slug, reason=reason, trace_id=trace_id)
        client.send_problem(slug, trace_id, without_body=getattr(refused, "method", None) == "HEAD")


def _check_host(req: Any) -> None:
    """Raise ``InvalidHeader`` where section 3.2 of RFC 9112 asks for a 400.

    gunicorn itself refuses a second ``Host``.
    """
    hosts = [value for name, value in req.headers if name == "HOST"]
    if not hosts and req.version < (1, 1):
        return
    if not hosts or not _is_host(hosts[0]):
        raise errors.InvalidHeader("HOST", req=req)


def _is_host(value: str) -> bool:
    if not (literal := _IP_LITERAL.fullmatch(value)):
        return bool(_NAME.fullmatch(value))
    try:
        ipaddress.IPv6Address(literal[1])
    except ValueError:
        return False
    return True


def _has_other_coding(req: Any) -> bool:
    """Return whether a transfer coding other than ``chunked`` is named."""
    values = [value for name, value in req.headers if name == "TRANSFER-ENCODING"]
    codings = [coding.strip(" \t").lower() for coding in ",".join(values).split(",")]
    return bool(values) and any(coding != "chunked" for coding in codings)


def _slug_of(error: BaseException) -> str:
    # gunicorn refuses some orders of codings as an invalid header.
    if (
        isinstance(error, errors.InvalidHeader)
        and error.hdr == "TRANSFER-ENCODING"
        and error.req is not None
        and _has_other_coding(error.req)
    ):
        return "not-implemented"
    kinds = (PROBLEM_OF_ERROR[kind] for kind in type(error).__mro__ if kind in PROBLEM_OF_ERROR)
    return next(kinds, "internal-error")


class RequestBody:
    """A request's body; the connection is kept only where ``read`` has come to its end."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._body = request.body
        self._must_close = request.must_close
        headers = dict(request.headers)
        if "TRANSFER-ENCODING" in headers or int(headers.get("CONTENT-LENGTH", 0)) > 0:
            request.force_close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes, or fewer at the body's end; all of it where ``size`` is negative.

        Raises ``TimeoutError``, ``OSError``, or gunicorn's ``ParseException``.
        """
        piece: bytes = self._body.read(size)
        if not 0 <= size <= len(piece):
            self._request.must_close = self._must_close
        return piece


class Stage(Enum):
    """The part of a request that is expected next; ``IDLE``: its first byte."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


class ClientSocket:
    """A client's socket with a total time for each head, each body, and each answer.

    gunicorn reads and writes through it. A connection that is idle for ``keepalive`` seconds, or
    whose head does not come in time, looks to it like one that the client has ended.
    """

    def __init__(self, sock: socket.socket, worker: RelayWorker) -> None:
        self.has_been_served = False
        self._sock = sock
        self._worker = worker
        self._stage = Stage.IDLE
        self._until = 0.0
        self._head_bytes = 0
        self._answer: list[bytes] = []
        self._continue = b""
        self._has_ended = False
        self._has_failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    @property
    def is_lost(self) -> bool:
        """True once the client has ended, or reading from it has failed."""
        return self._has_ended or self._has_failed

    def expect_head(self, begun: bytes) -> None:
        """Expect the next request, of which ``begun`` has come already."""
        self.has_been_served = True
        self._continue = b""
        self._begin_head(begun)
        if not begun.strip():  # an empty line behind a request is no beginning of the next one
            self._stage = Stage.IDLE

    def expect_body(self) -> None:
        """Expect the rest of a request whose head has come."""
        self._stage = Stage.BODY
        self._until = time.monotonic() + self._worker.body_seconds

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes; none where the client has ended or is given up.

        Raises ``TimeoutError`` where a body does not come in time.
        """
        if self._stage is Stage.IDLE:
            piece = self._wait_for_request(size)
            self._begin_head(piece)
        else:
            self._has_failed = True
            piece = self._receive_in_time(size)
            self._has_failed = False
            self._head_bytes += len(piece)
        self._has_ended = not piece
        if self._stage is Stage.HEAD and self._head_bytes > MAX_HEAD_BYTES:
            raise errors.LimitRequestHeaders("the head is too large")
        return piece

    def send(self, data: bytes) -> int:
        """Keep ``data``, which is gunicorn's ``100 Continue``, until the body is read.

        A request that is refused by its head does not get one, nor one whose body is there.
        """
        self._continue = data
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Keep a part of an answer until ``flush``: its head and its body are one packet then."""
        self._answer.append(data)

    def drop_answer(self) -> None:
        """Forget what was begun of an answer."""
        self._answer.clear()

    def flush(self) -> None:
        """Send the answer. Raises ``OSError``; EPIPE where the client does not take it in time."""
        answer = b"".join(self._answer)
        self._answer.clear()
        if not answer:
            return
        self._sock.settimeout(self._worker.answer_seconds)
        try:
            self._sock.sendall(answer)
        except TimeoutError as error:
            self._has_ended = True
            raise BrokenPipeError(errno.EPIPE, "the client does not take its answer") from error

    def end_waiting(self) -> None:
        """Let the greenlet that waits for a request see the end of the connection."""
        self._worker.idle.pop(self, None)
        # A duplicate: the socket itself cannot be shut down for reading while it is read.
        with suppress(OSError), self._sock.dup() as twin:
            twin.shutdown(socket.SHUT_RD)

    def send_problem(self, slug: str, request_id: str, *, without_body: bool) -> None:
        """Send a problem as the connection's last answer."""
        body = problem_body(ProblemError(slug), request_id)
        status = HTTPStatus(PROBLEMS[slug].status)
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\n"
            "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n"
            f"Request-Id: {request_id}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.sendall(head.encode() + (b"" if without_body else body))
        with suppress(OSError):
            self.flush()

    def close(self) -> None:
        """Close the connection, after what the client is still sending."""
        try:
            if not self._has_ended:
                self._linger()
        except OSError:
            pass
        finally:
            self._sock.close()

    def _begin_head(self, begun: bytes) -> None:
        self._stage = Stage.HEAD
        self._until = time.monotonic() + self._worker.head_seconds
        self._head_bytes = len(begun)

    def _wait_for_request(self, size: int) -> bytes:
        self._worker.idle[self] = None
        try:
            self._worker.make_room()
            self._sock.settimeout(self._worker.cfg.keepalive)
            piece: bytes = self._sock.recv(size)
        except TimeoutError:
            piece = b""
        finally:
            self._worker.idle.pop(self, None)
        return piece

    def _receive_in_time(self, size: int) -> bytes:
        """Receive what comes; give a head up silently, and a body by ``TimeoutError``."""
        if self._continue:
            self.sendall(self._continue)
            self.flush()
            self._continue = b""
        gevent.sleep(ONE_TURN)  # a flood is always there, and would leave no turn to others
        seconds = self._until - time.monotonic()
        if seconds > 0:
            self._sock.settimeout(seconds)
            with suppress(TimeoutError):
                piece: bytes = self._sock.recv(min(size, PIECE_BYTES))
                return piece
        if self._stage is Stage.BODY:
            raise TimeoutError("the body did not come in time")
        return b""

    def _linger(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)
        seconds = self._worker.linger_seconds if self._worker.alive else STOPPING_LINGER_SECONDS
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._sock.settimeout(left)
            if not self._sock.recv(LINGER_BYTES):
                return
            gevent.sleep(ONE_TURN)  # what a client sends on and on is always there


def _allow_files(wanted: int) -> int:
    """Raise the limit of open files as far as needed and possible; return how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if resource.RLIM_INFINITY != soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    return possible
