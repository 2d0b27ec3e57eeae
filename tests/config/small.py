"""A WSGI application for gunicorn to serve, so that its own settings can be tested."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer ``ok``; fail on ``/broken``."""
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("broken view")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
