"""gunicorn starts from our settings, or says what is wrong with them; as real processes."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from threading import Timer

import pytest

from tests.config.environments import SECRET, WEB
from tests.stack.relay import PYTHON, ROOT

COMMAND = [
    *(PYTHON, "-m", "gunicorn", "--config", "config/gunicorn.py"),
    "tests.config.small:application",
]


def environ(**settings: str) -> dict[str, str]:
    """Return an environment with the web process's settings and no others of the machine."""
    return {"PATH": os.environ["PATH"], **WEB, "WEB_CONCURRENCY": "1", **settings}


@pytest.fixture
def served() -> Iterator[subprocess.Popen[str]]:
    """Run gunicorn on a port that the kernel chooses; its log is on stdout."""
    command = [*COMMAND, "--bind", "127.0.0.1:0"]  # PORT must not be 0; an option has the last word
    with subprocess.Popen(
        command, env=environ(), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        too_late = Timer(30, process.kill)  # ends the log, and with it every wait for a line
        too_late.start()
        yield process
        too_late.cancel()
        process.kill()


def test_bad_settings_end_the_start() -> None:
    """Exit code 2, all problems on a line each, no traceback, no secret, nothing on stdout."""
    wrong = environ(READ_TOKENS=SECRET, PORT="0", LOG_LEVEL="loud")

    ran = subprocess.run(COMMAND, env=wrong, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (2, "") == (ran.returncode, ran.stdout)
    assert [
        "LOG_LEVEL: must be DEBUG, INFO, WARNING, ERROR or CRITICAL",
        "PORT: must be a whole number from 1 to 65535",
        "READ_TOKENS: entry 1 must be name:token",
    ] == ran.stderr.splitlines()


def test_settings_become_gunicorns() -> None:
    """What gunicorn will use is what was set, and what the relay needs of it."""
    mine = environ(PORT="8123", WEB_CONCURRENCY="3", WEB_THREADS="many")

    shown = subprocess.check_output([*COMMAND, "--print-config"], env=mine, cwd=ROOT, text=True)

    used = dict(re.findall(r"^(\w+) += (.*)$", shown, re.MULTILINE))
    assert ("['0.0.0.0:8123']", "3", "4096") == (
        used["bind"],
        used["workers"],
        used["worker_connections"],
    )
    assert ("app.web.server.RelayWorker", "75", "True") == (
        used["worker_class"],
        used["keepalive"],
        used["control_socket_disable"],
    )
    assert int(used["graceful_timeout"]) > 30  # the longest Prefer: wait
    assert ("None", "None") == (used["accesslog"], used["errorlog"])


def read_until(process: subprocess.Popen[str], event: str) -> list[str]:
    """The lines of its log up to the one that tells of ``event``."""
    assert process.stdout is not None
    lines = [""]
    while event not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], f"it ended without {event!r}: {lines}"
    return lines[1:]


def fetch(address: str) -> bytes:
    """What is answered there."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return bytes(answer.read())


def test_stop_signals_are_heeded_after_a_reload(served: subprocess.Popen[str]) -> None:
    """A reload runs our settings again, which block these signals for a start."""
    lines = read_until(served, "Booting worker")
    (address,) = re.findall(r"Listening at: (http://[\d.:]+)", "".join(lines))

    served.send_signal(signal.SIGHUP)
    read_until(served, "Worker exiting")
    assert b"ok" == fetch(address)
    served.send_signal(signal.SIGTERM)

    assert 0 == served.wait(10)


def test_gunicorns_messages_are_json_lines(served: subprocess.Popen[str]) -> None:
    """And so are the worker's own: each once, tracebacks in it, and nothing of requests."""
    lines = read_until(served, "Booting worker")
    assert len(lines) == 4
    (address,) = re.findall(r"Listening at: (http://[\d.:]+)", "".join(lines))
    assert fetch(address) == b"ok"
    with pytest.raises(urllib.error.HTTPError, match="500"):
        urllib.request.urlopen(f"{address}/broken", timeout=10)

    served.send_signal(signal.SIGTERM)
    assert served.stdout is not None
    lines += served.stdout.readlines()

    entries = [json.loads(line) for line in lines]
    assert {"gunicorn.error", "relay.web"} == {entry["logger"] for entry in entries}
    (error,) = [entry for entry in entries if entry["logger"] == "relay.web"]
    assert ("request_failed", "error") == (error["event"], error["level"])
    assert "RuntimeError: broken view" in error["exception"]
    assert len(lines) == len({(entry["event"], entry["timestamp"]) for entry in entries})
    assert served.wait(10) == 0
