"""What gunicorn serves where a test would wait too long, or needs what is rare or large."""

import signal
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from app.web.server import BufferingWorker


class HastyWorker(BufferingWorker):
    """Gives everybody a second, where the relay gives several."""

    request_seconds = 1.0
    linger_seconds = 1.0


class LateWorker(BufferingWorker):
    """Starts once it has been told to stop."""

    def init_process(self) -> None:
        """Hear of the stop, the way it is heard before anything is set up."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.log.info("Starting late")
        signal.sigwait({signal.SIGTERM})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.raise_signal(signal.SIGTERM)
        super().init_process()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with as many bytes as the path says."""
    size_bytes = int(environ["PATH_INFO"].strip("/") or 0)
    start_response("200 OK", [("Content-Length", str(size_bytes))])
    return [b"x" * size_bytes]
