"""Relay processes, started by the commands of the Procfile, and a client of their API."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import requests

from tools.stack.processes import Child, kill_child, start_child, wait_until

ROOT = Path(__file__).parents[2]
# Commands of this environment, and of the one that `make` installs with the image's packages only.
OWN = Path(sys.prefix) / "bin"
RUN_TIME = runtime if (runtime := Path(f"{sys.prefix}-runtime") / "bin").is_dir() else OWN
PYTHON = str(RUN_TIME / "python")
READY_TIMEOUT_SECONDS = 30
ANSWER_TIMEOUT_SECONDS = 40  # longer than any `Prefer: wait`

Json = dict[str, Any]


@dataclass(frozen=True)
class Process:
    """A ``web`` or ``worker`` that was started, and its log.

    ``log_start`` is the length of the log, in bytes, before the process.
    """

    child: Child
    log: Path
    log_start: int = 0

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.child.pid

    def lines(self, event: str, **fields: Any) -> list[Json]:
        """Return the log lines with this ``event`` and these ``fields``, oldest first."""
        whole = self.log.read_text(errors="replace").rpartition("\n")[0].splitlines()
        parsed = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in parsed if line.items() >= {"event": event, **fields}.items()]

    def last_lines(self, number: int) -> list[str]:
        """Return the last lines that this process printed, ``number`` at most."""
        printed = self.log.read_bytes()[self.log_start :]
        return printed.decode(errors="replace").splitlines()[-number:]

    def wait_for_line(self, event: str, **fields: Any) -> Json:
        """Return the first such line, once it is there. Raises TimeoutError."""
        return wait_until(lambda: self.lines(event, **fields), READY_TIMEOUT_SECONDS, event)[0]

    def kill(self) -> None:
        """End the process by SIGKILL."""
        kill_child(self.child)


def start_process(
    name: str,
    environ: Mapping[str, str],
    log: Path,
    *options: str,
    programs: Path = OWN,
) -> Process:
    """Start the ``web`` or ``worker`` of the Procfile; append its output to ``log``.

    ``programs`` is the directory of the environment's commands.
    """
    with log.open("ab") as output:
        log_start = output.tell()
        child = start_program(name, environ, output, *options, programs=programs)
        return Process(child, log, log_start)


def start_program(
    name: str,
    environ: Mapping[str, str],
    output: IO[bytes] | int,
    *options: str,
    programs: Path = OWN,
) -> Child:
    """Start the ``web`` or ``worker`` of the Procfile, with ``output`` as its output."""
    commands = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    here = {"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}
    return start_child(
        [*shlex.split(commands[name]), *options],
        env={**environ, **here},
        cwd=ROOT,
        output=output,
    )


def operate(
    environ: Mapping[str, str], *arguments: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m app.operate`` with these ``arguments``; ``text`` is its input."""
    return subprocess.run(
        [PYTHON, "-m", "app.operate", *arguments],
        env=environ,
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass(frozen=True)
class RelayClient:
    """Client of the relay at ``url``; ``seen`` has every record that it received."""

    url: str
    submit_token: str
    read_token: str
    seen: list[Json] = field(default_factory=list)

    def post(self, event: Mapping[str, Any], **headers: str) -> requests.Response:
        """Post an event."""
        response = self._send("POST", "/v1/events", self.submit_token, json=event, headers=headers)
        if response.ok:
            self.seen.append(response.json())
        return response

    def get(self, path: str) -> requests.Response:
        """Send a GET request with the read token."""
        return self._send("GET", path, self.read_token)

    def find(self, event_id: str) -> Json | None:
        """Return the current record of an event, or None."""
        response = self.get(f"/v1/events/{event_id}")
        if response.status_code == requests.codes.not_found:
            return None
        response.raise_for_status()
        self.seen.append(response.json())
        return self.seen[-1]

    def record(self, event_id: str) -> Json:
        """Return the record of an event, which must exist."""
        record = self.find(event_id)
        assert record is not None, event_id
        return record

    def wait_for(self, event_id: str, *statuses: str, timeout_seconds: float = 20) -> Json:
        """Return the record of an event once it has one of ``statuses``. Raises TimeoutError."""

        def record_there() -> Json | None:
            record = self.record(event_id)
            return record if record["status"] in statuses else None

        return wait_until(record_there, timeout_seconds, f"{event_id} to be {statuses}") or {}

    def wait_until_ready(self) -> None:
        """Return once ``/readyz`` answers 200. Raises TimeoutError."""
        wait_until(self.is_ready, READY_TIMEOUT_SECONDS, f"{self.url}/readyz")

    def is_ready(self) -> bool:
        """Return whether ``/readyz`` answers 200 now."""
        return self.answers("/readyz")

    def answers(self, path: str) -> bool:
        """Return whether a GET of ``path`` is answered with 200 now."""
        try:
            return self.get(path).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def _send(
        self,
        method: str,
        path: str,
        token: str,
        *,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        all_headers = {"Authorization": f"Bearer {token}", **(headers or {})}
        with requests.Session() as session:
            session.trust_env = False  # a proxy of this machine would not reach loopback
            address = self.url + path
            return session.request(
                method, address, json=json, headers=all_headers, timeout=ANSWER_TIMEOUT_SECONDS
            )
