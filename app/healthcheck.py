"""The container's health check: exits 0 while this container does its work, else 1.

One image has two commands, so it asks the one that runs here: web on ``PORT``; the worker on
``METRICS_PORT`` where that is set. A worker without it serves nothing that could be asked: it is
healthy while it runs, and it ends by itself when it cannot work.
"""

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path

TIMEOUT_SECONDS = 3


def port_to_ask(command: bytes, environ: Mapping[str, str]) -> str | None:
    """Return where the container's first process, run by ``command``, serves ``/livez``."""
    if b"app.worker" in command:
        return environ.get("METRICS_PORT") or None
    return environ.get("PORT") or "8000"


def is_live(port: str) -> bool:
    """Ask ``/livez`` on this host; anything but a 200 is no."""
    connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    asked = port_to_ask(Path("/proc/1/cmdline").read_bytes(), os.environ)
    sys.exit(0 if asked is None or is_live(asked) else 1)
