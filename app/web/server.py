"""gunicorn's threads, given whole requests only: a client that stalls costs a socket, no thread.

The main loop lets clients in and ends connections; threads are told by the system itself which
client has sent something. Whoever is told reads it without waiting, and answers once the request is
whole, or can only be refused. So nothing that a client does holds a thread, except not taking an
answer that is larger than the system's buffers, for ``WRITE_SECONDS``.
For HTTP/1.1 behind a load balancer: TLS and HTTP/2 end there, and are not served here.
"""

import errno
import math
import resource
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

import structlog
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from app.web.incoming import Incoming, Stage
from app.web.outgoing import Outgoing

RECEIVE_BYTES = 64 * 1024
WRITE_SECONDS = 2.0
SWEEP_SECONDS = 0.5
OTHER_FILES = 64  # what a process has open besides its clients: listeners, pipes, logs

log = structlog.get_logger("relay.web")

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NOBODY_THERE = {errno.EAGAIN, errno.ECONNABORTED}
# Told once when it changes, to one thread: https://man7.org/linux/man-pages/man7/epoll.7.html
_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Connection(TConn):  # type: ignore[misc]
    """A client's connection, used by one thread at a time: see ``BufferingWorker``."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.descriptor = sock.fileno()
        self.sock = Outgoing(sock, WRITE_SECONDS)
        self.incoming = Incoming()
        self.parser = RequestParser(cfg, (), client)
        self.parser.unreader = self.incoming
        self.initialized = True
        self.is_over = False  # answered for the last time, or about to be
        # What is waited for, and until when; and when the worker stops.
        self.on_event: Callable[[Connection], None]
        self.until = 0.0
        self.until_stopping = 0.0
        # What the system told, and nobody has looked at yet. Other threads only ever set these.
        self.is_called = False
        self.is_writable = False
        self.has_ended = False  # the client, its side

    def receive(self) -> bytes | None:
        """Read what is there: nothing from a client that has ended, None if there is nothing."""
        try:
            piece: bytes = self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return piece

    def has_sent(self) -> bool:
        """Whether something is there that nobody has read yet."""
        try:
            return bool(self.sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except OSError:
            return False

    def allow_body(self) -> None:
        """Tell a client that waits for it to go on, https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1"""
        with suppress(OSError):  # one that is gone is found out when it is read
            self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n", socket.MSG_DONTWAIT)
        self.incoming.add()


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's ``gthread``, whose threads wait for clients to send, and not for one of them.

    A connection belongs to whoever takes it out of ``_waiting``, until it is put back or closed;
    that needs no lock. The system tells each change once: whoever is told of a connection that is
    not there leaves ``is_called`` behind, at which its owner looks after putting it back, and
    whoever may have left something unread has the system tell again.

    A request has ``request_seconds`` from when its first bytes are read; one whose head has come is
    then answered 408. What came in time while no thread was free to read it is answered. A
    connection without a request is kept as long as a kept-alive one, a new one too: load balancers
    open some ahead. Whose last sign is oldest goes when there is no room for a new client.
    An ended connection is read for ``linger_seconds`` more, so that a client that is still sending
    gets its answer, and no reset: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
    """

    request_seconds = 10.0
    linger_seconds = 5.0

    worker_connections: int
    nr_conns: int  # changed by the main loop only

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections: dict[int, Connection] = {}
        self._waiting: dict[Connection, None] = {}  # whose last sign is oldest comes first
        self._allowed = 0
        self._swept_at = 0.0
        self._stops_at = math.inf  # who waits then has waited long enough

    def init_process(self) -> None:
        """Start, with as many connections as the system leaves room for."""
        spare = OTHER_FILES + 2 * self.cfg.threads
        self._allowed = _allow_files(self.worker_connections + spare) - spare
        self.worker_connections = self._allowed
        # gunicorn looks each setting up anew, two dozen times a request; nothing changes them now.
        self.cfg.__dict__.update({name: it.get() for name, it in self.cfg.settings.items()})
        self._clients = select.epoll()
        super().init_process()

    def get_thread_pool(self) -> "Threads":
        """Build what answers requests."""
        return Threads(self.cfg.threads, self._serve)

    def accept(self, listener: socket.socket) -> None:
        """Let a client in, and wait for its request."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM:
                self.worker_connections = self.nr_conns  # until the next sweep
            elif error.errno not in _NOBODY_THERE:
                raise
        else:
            self.nr_conns += 1
            conn = Connection(self.cfg, sock, client, listener.getsockname())
            self._connections[conn.descriptor] = conn
            self._wait(conn, self.cfg.keepalive, self._receive)
            self._clients.register(conn.descriptor, _EVENTS)

    def _serve(self) -> None:
        """In a thread: see to the next client of whom the system tells."""
        for descriptor, flags in self._clients.poll(maxevents=1):
            if conn := self._connections.get(descriptor):
                conn.has_ended |= bool(flags & select.EPOLLRDHUP)
                conn.is_writable |= bool(flags & select.EPOLLOUT)
                conn.is_called = True
                while conn.is_called and self._take(conn):
                    conn.is_called = False
                    self._see_to(conn)

    def _see_to(self, conn: Connection) -> None:
        try:
            conn.on_event(conn)
        except BaseException:
            if conn not in self._waiting:  # else it would be kept for ever
                self._end(conn)
            raise

    def _take(self, conn: Connection) -> bool:
        """Make it one's own, if it is nobody's."""
        return self._waiting.pop(conn, conn) is None

    def _wait(
        self,
        conn: Connection,
        seconds: float,
        on_event: Callable[[Connection], None],
        if_stopping: float = STOP_KEEPALIVE_LINGER,
    ) -> None:
        """Put it back, to wait for so many ``seconds``, or fewer where the worker stops."""
        now = time.monotonic()
        conn.on_event = on_event
        conn.until = now + seconds
        conn.until_stopping = now + if_stopping
        self._waiting[conn] = None

    def _wait_on(self, conn: Connection) -> None:
        """Put it back, to wait for the rest of its time."""
        self._waiting[conn] = None

    def _call_again(self, conn: Connection) -> None:
        """Have the system tell of it once more, behind all others, if there is anything to tell."""
        with suppress(OSError):  # put back before, it may have been closed by now
            self._clients.modify(conn.descriptor, _EVENTS)

    def _receive(self, conn: Connection) -> None:
        piece = conn.receive()
        if piece is None:
            self._wait_on(conn)
            return
        if not piece:
            self._end(conn)
            return
        if len(piece) == RECEIVE_BYTES or conn.has_ended:
            self._call_again(conn)  # what is left has been told already
        is_first = not conn.incoming.received
        conn.incoming.add(piece)
        if conn.incoming.stage is Stage.CONTINUE:
            conn.allow_body()
        if conn.incoming.stage in {Stage.WHOLE, Stage.REFUSED}:
            self._answer(conn)
        elif is_first:
            self._wait(conn, self.request_seconds, self._receive)
        else:
            self._wait_on(conn)

    def _answer(self, conn: Connection) -> None:
        conn.incoming.release()
        is_kept = False
        try:
            is_kept = self.handle(conn)
        finally:
            if is_kept:
                self._go_on(conn)
            else:
                self._linger(conn)

    def handle(self, conn: Connection) -> bool:
        """Answer whatever gunicorn makes of the request; whether to keep ``conn``."""
        is_kept = super().handle(conn)
        try:
            conn.sock.flush()
        except TimeoutError:
            self.log.info("A client does not take its answer")
            return False
        except OSError:  # it is gone
            return False
        return bool(is_kept)

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer; a connection on which more of this request may come ends with it."""
        req._expected_100_continue = False  # noqa: SLF001 - told already, see `allow_body`
        if conn.incoming.stage is not Stage.WHOLE:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def _go_on(self, conn: Connection) -> None:
        """Wait for the next request, of which some may have come already."""
        conn.is_over = False
        conn.incoming.begin()
        if not conn.incoming.received:
            self._wait(conn, self.cfg.keepalive, self._receive)
            return
        if conn.incoming.stage is Stage.CONTINUE:
            conn.allow_body()
        if conn.incoming.stage in {Stage.WHOLE, Stage.REFUSED}:
            # Not at once: a client that sends on and on, and never reads, would hold a thread.
            conn.is_writable = False
            self._wait(conn, self.request_seconds, self._answer_if_taken)
            self._call_again(conn)
        else:
            self._wait(conn, self.request_seconds, self._receive)

    def _answer_if_taken(self, conn: Connection) -> None:
        if conn.is_writable:
            self._call_again(conn)  # that it has sent more may have been told with this
            self._answer(conn)
        else:
            self._wait_on(conn)

    def _linger(self, conn: Connection) -> None:
        conn.is_over = True
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(conn)
        else:
            self._wait(conn, self.linger_seconds, self._discard)

    def _discard(self, conn: Connection) -> None:
        piece = conn.receive()
        if piece == b"":
            self._end(conn)
            return
        if piece:
            self._call_again(conn)
        self._wait_on(conn)

    def _end(self, conn: Connection) -> None:
        """In a thread: have the main loop close it."""
        self.method_queue.defer(self._close, conn)

    def _close(self, conn: Connection) -> None:
        if self._connections.get(conn.descriptor) is conn:
            del self._connections[conn.descriptor]
            self.nr_conns -= 1
            conn.close()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Have a turn of the main loop at least as often as times are to be looked at."""
        super().wait_for_and_dispatch_events(min(timeout, SWEEP_SECONDS))

    def murder_pending(self) -> None:
        """After each turn of the main loop: make room, and end what has waited too long."""
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        now = time.monotonic()
        if now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            self.worker_connections = self._allowed
            for conn in list(self._waiting):
                if self._is_late(conn) and self._take(conn):
                    self._give_up(conn)

    def _make_room(self) -> None:
        for conn in list(self._waiting):
            if not conn.has_sent() and self._take(conn):
                self._close(conn)
                return

    def _is_late(self, conn: Connection) -> bool:
        until = min(conn.until, max(conn.until_stopping, self._stops_at))
        return until <= time.monotonic()

    def _give_up(self, conn: Connection) -> None:
        stage = conn.incoming.stage
        is_read = stage in {Stage.WHOLE, Stage.REFUSED}
        is_unanswered = conn.is_writable if is_read else conn.has_sent()
        if not self._is_late(conn):  # a thread was quicker
            self._wait_on(conn)
            self._call_again(conn)
        elif not conn.is_over and (is_unanswered or (stage is Stage.BODY and self.alive)):
            conn.is_over = True
            self._wait(conn, self.request_seconds, self._answer_late, self.request_seconds)
            self._call_again(conn)
        else:
            self._close(conn)

    def _answer_late(self, conn: Connection) -> None:
        """Answer what has come by now: all of it, where no thread was there to read it in time."""
        self._call_again(conn)  # more than this request may have come
        unfinished = {Stage.HEAD, Stage.CONTINUE, Stage.BODY}
        while conn.incoming.stage in unfinished and (piece := conn.receive()):
            conn.incoming.add(piece)
        if conn.incoming.stage is Stage.HEAD:
            self._end(conn)
        else:
            self._answer(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker stops: let in who has come before, as far as there is room, and nobody else.

        Nobody waits longer than till ``deadline``, or as long from then on. Once no process listens
        any more the system refuses: a client that it lets in, and we never do, would be reset in
        the end, with its request sent.
        """
        self._stops_at = deadline
        for listener in self.sockets:
            for _ in range(listener.get_backlog()):
                with suppress(OSError):  # one client's network is no reason to leave the others
                    if self.nr_conns < self.worker_connections:
                        self.accept(listener)
            listener.close()


class Threads:
    """A pool of threads, each of which does the same again and again."""

    def __init__(self, count: int, work: Callable[[], None]) -> None:
        self._work = work
        for number in range(count):
            Thread(target=self._run, name=f"request-{number}", daemon=True).start()

    def shutdown(self, *, wait: bool) -> None:
        """Let them end with the process: gunicorn has waited for requests by then."""

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except BaseException:  # a thread that ended would be missed by everyone
                log.exception("request_thread_failed")


def _allow_files(wanted: int) -> int:
    """Raise the limit of open files as far as needed and possible; how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if resource.RLIM_INFINITY != soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    return possible
