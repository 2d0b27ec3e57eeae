"""What gunicorn serves where a test would wait too long, or needs answers of any size."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from app.web.server import BufferingWorker


class HastyWorker(BufferingWorker):
    """Gives everybody a second, where the relay gives several."""

    request_seconds = 1.0
    linger_seconds = 1.0


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with as many bytes as the path says."""
    size_bytes = int(environ["PATH_INFO"].strip("/") or 0)
    start_response("200 OK", [("Content-Length", str(size_bytes))])
    return [b"x" * size_bytes]
