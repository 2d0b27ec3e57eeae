"""Workers and applications for gunicorn where a test would wait long, or needs large answers."""

import signal
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from app.web.server import RelayWorker


class HastyWorker(RelayWorker):
    """Worker that gives each client a second, where the relay gives several."""

    head_seconds = 1.0
    body_seconds = 1.0
    answer_seconds = 1.0
    linger_seconds = 1.0


class PatientWorker(RelayWorker):
    """Worker that waits for a body for longer than a test takes."""

    body_seconds = 60.0


class LateWorker(RelayWorker):
    """Worker that starts once it has received a stop signal."""

    def init_process(self) -> None:
        """Receive the signal as it is received before anything is set up."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.log.info("Starting late")
        signal.sigwait({signal.SIGTERM})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.raise_signal(signal.SIGTERM)
        super().init_process()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with as many bytes as the path names."""
    size_bytes = int(environ["PATH_INFO"].strip("/") or 0)
    start_response("200 OK", [("Content-Length", str(size_bytes))])
    return [b"x" * size_bytes]
