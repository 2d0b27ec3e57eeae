"""gunicorn's threads, given whole requests only: a client that stalls costs a socket, no thread.

The main loop reads what clients send, and hands a connection to a thread once its request is whole,
or can only be refused. So nothing that a client does holds a thread, except not taking an answer
that is larger than the system's buffers, for ``WRITE_SECONDS``.
For HTTP/1.1 behind a load balancer: TLS and HTTP/2 end there, and are not served here.
"""

import errno
import resource
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import structlog
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from app.web.incoming import Incoming, Stage
from app.web.outgoing import Outgoing

RECEIVE_BYTES = 64 * 1024
WRITE_SECONDS = 2.0
SWEEP_SECONDS = 0.5
NOTIFY_SECONDS = 1.0
OTHER_FILES = 64  # what a process has open besides its clients: listeners, pipes, logs

log = structlog.get_logger("relay.web")

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NOBODY_THERE = {errno.EAGAIN, errno.ECONNABORTED}


class Connection(TConn):  # type: ignore[misc]
    """A client's connection: ``incoming`` is filled by the main loop, and used by threads."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.sock = Outgoing(sock, WRITE_SECONDS)
        self.incoming = Incoming()
        self.parser = RequestParser(cfg, (), client)
        self.parser.unreader = self.incoming
        self.initialized = True
        self.is_answered = False

    def receive(self) -> bytes | None:
        """Read what is there: nothing from a client that has ended, None if there is nothing."""
        try:
            piece: bytes = self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return piece

    def allow_body(self) -> None:
        """Tell a client that waits for it to go on, https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1"""
        with suppress(OSError):  # one that is gone is found out when it is read
            self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n", socket.MSG_DONTWAIT)
        self.incoming.add()


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's ``gthread``, whose main loop receives requests and ends connections by itself.

    A request has ``request_seconds`` from its first byte; one whose head has come is then answered
    408. A connection without a request is kept as long as a kept-alive one, a new one too: load
    balancers open some ahead. Whoever waited longest goes when there is no room for a new client.
    An ended connection is read for ``linger_seconds`` more, so that a client that is still sending
    gets its answer, and no reset: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
    """

    request_seconds = 10.0
    linger_seconds = 5.0

    worker_connections: int
    nr_conns: int

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lock = Lock()  # of who waits, and what the poller watches
        self._waiting: dict[Connection, float] = {}  # until when; who waits longest comes first
        self._notified_at = 0.0
        self._allowed = 0
        self._swept_at = 0.0

    def init_process(self) -> None:
        """Start, with as many connections as the system leaves room for."""
        spare = OTHER_FILES + 2 * self.cfg.threads
        self._allowed = _allow_files(self.worker_connections + spare) - spare
        # gunicorn looks each setting up anew, two dozen times a request; nothing changes them now.
        self.cfg.__dict__.update({name: it.get() for name, it in self.cfg.settings.items()})
        super().init_process()

    def get_thread_pool(self) -> "Threads":
        """Build what answers requests."""
        return Threads(self.cfg.threads)

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
            self._wait(conn, self.cfg.keepalive, self._receive)

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer; a connection on which more of this request may come ends with it."""
        req._expected_100_continue = False  # noqa: SLF001 - the main loop has seen to it
        if conn.incoming.stage is not Stage.WHOLE:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def handle(self, conn: Connection) -> bool:
        """Answer, in a thread, whatever gunicorn makes of the request; whether to keep ``conn``."""
        is_kept = super().handle(conn)
        try:
            conn.sock.flush()
        except TimeoutError:
            self.log.info("A client does not take its answer")
            return False
        except OSError:  # it is gone
            return False
        return bool(is_kept)

    def enqueue_req(self, conn: Connection) -> None:
        """Have a thread answer."""
        self.tpool.submit(partial(self._answer, conn))

    def _answer(self, conn: Connection) -> None:
        """In a thread; the main loop is woken only where there is more to do than to wait."""
        is_kept = False
        try:
            is_kept = self.handle(conn)
        finally:
            if is_kept:
                conn.incoming.begin()
            if is_kept and not conn.incoming.received:
                self._wait(conn, self.cfg.keepalive, self._receive)
            else:
                self.method_queue.defer(self._go_on, conn, is_kept)

    def _go_on(self, conn: Connection, is_kept: bool) -> None:  # noqa: FBT001 - deferred
        """End the connection, or go on with a request of which some has come already."""
        if not is_kept:
            self._linger(conn)
            return
        if conn.incoming.stage is Stage.CONTINUE:
            conn.allow_body()
        if conn.incoming.stage in {Stage.WHOLE, Stage.REFUSED}:
            # Not at once: a client that sends on and on, and never reads, would hold a thread.
            self._wait(conn, WRITE_SECONDS, self._hand_over, selectors.EVENT_WRITE)
        else:
            self._wait(conn, self.request_seconds, self._receive)

    def notify(self) -> None:
        """Tell the master now and then, not at each turn of the loop, that this process lives."""
        now = time.monotonic()
        if now - self._notified_at >= NOTIFY_SECONDS:
            self._notified_at = now
            super().notify()

    def murder_pending(self) -> None:
        """After each turn of the loop: make room, and end what has waited too long."""
        if self._waiting and self.nr_conns >= self.worker_connections:
            self._drop(self._in_order()[0][0])
        now = time.monotonic()
        if now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            self.worker_connections = self._allowed
            for conn, until in self._in_order():
                if until <= now:
                    self._give_up(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker stops: nobody waits longer than till then."""
        with self._lock:
            self._waiting = {conn: min(until, deadline) for conn, until in self._waiting.items()}

    def _wait(
        self,
        conn: Connection,
        seconds: float,
        on_event: Callable[[Connection], None],
        event: int = selectors.EVENT_READ,
    ) -> None:
        with self._lock:
            self._set_deadline(conn, seconds)
            self.poller.register(conn.sock, event, lambda _sock: on_event(conn))

    def _set_deadline(self, conn: Connection, seconds: float) -> None:
        longest = seconds if self.alive else min(seconds, STOP_KEEPALIVE_LINGER)
        self._waiting.pop(conn, None)
        self._waiting[conn] = time.monotonic() + longest

    def _in_order(self) -> list[tuple[Connection, float]]:
        """Who waits, and until when; who has waited longest comes first."""
        with self._lock:
            return list(self._waiting.items())

    def _receive(self, conn: Connection) -> None:
        piece = conn.receive()
        if piece is None:
            return
        if not piece:
            self._drop(conn)
            return
        is_first = not conn.incoming.received
        conn.incoming.add(piece)
        if conn.incoming.stage is Stage.CONTINUE:
            conn.allow_body()
        if conn.incoming.stage in {Stage.WHOLE, Stage.REFUSED}:
            self._hand_over(conn)
        elif is_first:
            with self._lock:
                self._set_deadline(conn, self.request_seconds)

    def _hand_over(self, conn: Connection) -> None:
        self._leave(conn)
        conn.incoming.release()
        self.enqueue_req(conn)

    def _give_up(self, conn: Connection) -> None:
        if conn.incoming.stage is Stage.BODY and not conn.is_answered and self.alive:
            self._hand_over(conn)
        else:
            self._drop(conn)

    def _linger(self, conn: Connection) -> None:
        conn.is_answered = True
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, self.linger_seconds, self._discard)

    def _discard(self, conn: Connection) -> None:
        if conn.receive() == b"":
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self._leave(conn)
        self._close(conn)

    def _leave(self, conn: Connection) -> None:
        with self._lock:
            del self._waiting[conn]
            self.poller.unregister(conn.sock)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()


class Threads:
    """A pool of threads, without the future for each piece of work that nobody asks for."""

    def __init__(self, count: int) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [Thread(target=self._run, name=f"request-{n}") for n in range(count)]
        for thread in self._threads:
            thread.daemon = True  # gunicorn has waited for requests by the time it ends
            thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Have one of the threads do it."""
        self._work.put(work)

    def shutdown(self, *, wait: bool) -> None:  # noqa: ARG002 - gunicorn's
        """Let each thread end when it has nothing more to do."""
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except BaseException:  # it would be missed by everyone
                log.exception("request_thread_failed")


def _allow_files(wanted: int) -> int:
    """Raise the limit of open files as far as needed and possible; how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if resource.RLIM_INFINITY != soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    return possible
