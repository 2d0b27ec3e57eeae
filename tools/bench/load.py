"""Load by wrk, and what it counted."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

CONNECTIONS = 16
# Short, and often: a machine's speed changes from one minute to the next, and gunicorn leaves
# connections with the process that accepts them, where one may get nearly all that come together.
LOAD_SECONDS = 2
_SCRIPT = Path(__file__).with_name("load.lua")

_numbers = count()


class Invalid(Exception):
    """A measure that counts for nothing; the message says why."""


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """Result of a load without errors: whole answers, and the latency that 99 % stay below."""

    answers: int
    seconds: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def require_wrk() -> None:
    """Raise ``Invalid`` where there is no wrk."""
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

    ``ids`` is how many there are, after which they begin anew; 0: each is new. Raises ``Invalid``.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{LOAD_SECONDS}s", "--timeout", "10s"]
    command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}/", "--"]
    # Also new to what is still under way of an earlier load.
    named = prefix if ids else f"{prefix}-{next(_numbers)}"
    ended = subprocess.run(
        [*command, what, named, token, str(ids)], capture_output=True, text=True, check=True
    )
    return read_load(ended.stdout)


def read_load(output: str) -> LoadResult:
    """Read what wrk printed, of which the last line is ``load.lua``'s. Raises ``Invalid``."""
    counted = json.loads(output.strip().splitlines()[-1])
    refused, broken = counted.pop("refused"), counted.pop("broken")
    if refused or broken or not counted["answers"]:
        raise Invalid(
            f"{refused} answers were errors, {broken} requests had none, "
            f"of {counted['answers']}: this measure counts for nothing"
        )
    return LoadResult(**counted)


def measure_capacity(url: str, connections: int, seconds: int) -> float:
    """Answers a second of a server whose every connection carries one request."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", "Connection: close", url]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"^Requests/sec: *([\d.]+)$", ended.stdout, re.MULTILINE)
    if found is None:
        raise Invalid(f"wrk said nothing of its rate: {ended.stdout!r}")
    return float(found[1])
