"""A WSGI application for gunicorn to serve, so that its own settings can be tested."""

import gc
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer ``ok`` if the start is left alone and the rest collected; fail on ``/broken``."""
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("broken view")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok" if gc.isenabled() and gc.get_freeze_count() else b"no"]
