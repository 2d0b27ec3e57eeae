"""Tests of gunicorn's settings, with real processes."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import pytest

from tests.config.environments import SECRET, WEB
from tools.stack.processes import free_port
from tools.stack.relay import PYTHON, ROOT

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
        "LOG_LEVEL: is 'loud', and must be DEBUG, INFO, WARNING, ERROR or CRITICAL",
        "PORT: is '0', and must be a whole number from 1 to 65535",
        "READ_TOKENS: entry 1 must be name:token",
    ] == ran.stderr.splitlines()


def test_settings_become_gunicorns() -> None:
    """gunicorn uses the settings, and the options that the relay needs."""
    mine = environ(PORT="8123", WEB_CONCURRENCY="3", WEB_THREADS="many", BIND="127.0.0.2")

    shown = subprocess.check_output([*COMMAND, "--print-config"], env=mine, cwd=ROOT, text=True)

    used = dict(re.findall(r"^(\w+) += (.*)$", shown, re.MULTILINE))
    assert ("['127.0.0.2:8123']", "3", "4096") == (
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


LISTENS = r"Listening at: (http://\S+?:\d+)"


@contextmanager
def serving(*before: str, **settings: str) -> Iterator[list[str]]:
    """Serve at the addresses of these settings; yield the log up to the first process."""
    command = [*before, *COMMAND]
    with subprocess.Popen(
        command, env=environ(**settings), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        too_late = Timer(30, process.kill)
        too_late.start()
        try:
            yield read_until(process, "Booting worker")
        finally:
            too_late.cancel()
            process.terminate()


def test_every_address_is_served_by_default() -> None:
    """One socket takes IPv6 and IPv4, where the host has both."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this system has no IPv6")
    port = free_port()

    with serving(PORT=str(port)) as lines:
        assert [f"http://[::]:{port}"] == re.findall(LISTENS, "".join(lines))
        for host in ("127.0.0.1", "[::1]"):
            assert b"ok" == fetch(f"http://{host}:{port}")


def test_bind_is_the_address_that_is_served() -> None:
    """That one and no other."""
    port = free_port()

    with serving(PORT=str(port), BIND="::1"):
        assert b"ok" == fetch(f"http://[::1]:{port}")
        with pytest.raises(urllib.error.URLError, match="refused"):
            fetch(f"http://127.0.0.1:{port}")


ALONE = "sysctl -qw net.ipv6.bindv6only=1 && ip link set lo up && exec "
FETCH = """
import sys, urllib.request
for host in ("127.0.0.1", "[::1]"):
    print(urllib.request.urlopen(f"http://{host}:8123", timeout=10).read().decode())
"""


def test_ipv4_is_served_where_ipv6_sockets_do_not_take_it() -> None:
    """``net.ipv6.bindv6only=1``: a socket for each."""
    apart = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*apart, ALONE + "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system makes no namespaces")
    gunicorn = shlex.join(COMMAND)
    script = f"{ALONE} sh -c '{gunicorn} & read line; {PYTHON} -c \"$FETCH\"; kill $!; wait $!'"

    with subprocess.Popen(
        [*apart, script], env=environ(PORT="8123", FETCH=FETCH), cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        too_late = Timer(30, process.kill)
        too_late.start()
        lines = read_until(process, "Booting worker")
        printed, _ = process.communicate("\n")
        too_late.cancel()

    assert "http://[::]:8123,http://0.0.0.0:8123" in "".join(lines)
    assert ["ok", "ok"] == [line for line in printed.splitlines() if not line.startswith("{")]


def read_until(process: subprocess.Popen[str], event: str) -> list[str]:
    """Return the lines of its log up to the one of ``event``."""
    assert process.stdout is not None
    lines = [""]
    while event not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], f"it ended without {event!r}: {lines}"
    return lines[1:]


def fetch(address: str) -> bytes:
    """Return the response's body."""
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
