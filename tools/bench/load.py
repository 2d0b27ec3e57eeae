"""Load by wrk, and its counts."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

CONNECTIONS = 16
# Short loads, repeated often, even out changes in the machine's speed, and loads in which one
# gunicorn process accepts most connections.
LOAD_SECONDS = 2
_SCRIPT = Path(__file__).with_name("load.lua")

_numbers = count()


class Invalid(Exception):
    """A measure without a valid result; the message has the reason."""


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """Result of a load without errors: its answers, seconds and 99 % latency."""

    answers: int
    seconds: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Return the answers a second."""
        return self.answers / self.seconds


def require_wrk() -> None:
    """Raise ``Invalid`` if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise Invalid("wrk makes the load, and is not installed: apt-get install wrk")


def load(
    port: int,
    *,
    what: Literal["post", "get"],
    prefix: str,
    token: str,
    ids: int = 0,
    connections: int = CONNECTIONS,
) -> LoadResult:
    """Send requests over kept-alive connections, each as soon as its last one was answered.

    ``ids`` is the number of ids, which are then used again; 0: each id is new. Raises ``Invalid``.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{LOAD_SECONDS}s", "--timeout", "10s"]
    command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}/", "--"]
    # An earlier load may still be under way, so its ids must not be used again.
    named = prefix if ids else f"{prefix}-{next(_numbers)}"
    ended = subprocess.run(
        [*command, what, named, token, str(ids)], capture_output=True, text=True, check=True
    )
    return read_load(ended.stdout)


def read_load(output: str) -> LoadResult:
    """Read the last line of wrk's output, which ``load.lua`` prints. Raises ``Invalid``."""
    counted = json.loads(output.strip().splitlines()[-1])
    refused, broken = counted.pop("refused"), counted.pop("broken")
    if refused or broken or not counted["answers"]:
        raise Invalid(
            f"{refused} answers were errors, {broken} requests had none, "
            f"of {counted['answers']}: this measure counts for nothing"
        )
    return LoadResult(**counted)


def measure_capacity(url: str, connections: int, seconds: int) -> float:
    """Return the answers a second of a server with one request per connection."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", "Connection: close", url]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"^Requests/sec: *([\d.]+)$", ended.stdout, re.MULTILINE)
    if found is None:
        raise Invalid(f"wrk printed no rate: {ended.stdout!r}")
    return float(found[1])
