"""The container's health check: exits 0 while this container does its work, else 1.

One image has two commands, so it checks the one that runs here: web on ``PORT``; the worker on
``METRICS_PORT`` where that is set. A worker without it has no port to check: it is
healthy while it runs, and it ends by itself when it cannot work.
"""

import http.client
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from config.environment import read

TIMEOUT_SECONDS = 3
SETTINGS = ("PORT", "METRICS_PORT")
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - to ask, not to serve
WORKER = {b"app.worker", b"-mapp.worker"}


def running_commands() -> list[bytes]:
    """Return the command lines of this container: a script may have started ours."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            commands.append((process / "cmdline").read_bytes())
        except OSError:  # it has ended, or is another user's
            continue
    return commands


def addresses_to_ask(
    commands: Iterable[bytes], environ: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return host and port of each ``/livez`` that ``commands`` serve."""
    texts, _ = read([*SETTINGS, "BIND"], environ, SETTINGS)
    bind = texts.get("BIND", "::").strip("[]")
    host = LOOPBACK_OF.get(bind, bind)
    words = [set(command.split(b"\0")) for command in commands]
    has_worker = any(command & WORKER for command in words)
    ports = [texts["METRICS_PORT"]] if has_worker and "METRICS_PORT" in texts else []
    if not has_worker or any(b"app.wsgi:application" in command for command in words):
        ports.append(texts.get("PORT", "8000"))
    return [(host, port) for port in ports]


def is_live(host: str, port: str) -> bool:
    """Return whether ``/livez`` answers 200 there."""
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS)
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, OverflowError, ValueError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    asked = addresses_to_ask(running_commands(), os.environ)
    sys.exit(not all(is_live(host, port) for host, port in asked))
