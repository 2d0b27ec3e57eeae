"""A fault of ours costs no answer: what counts, logs or hooks in may fail, the caller is served."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests

from app.telemetry.trace_context import Span
from tests.scraped import labels
from tests.web.raw import SERVED_SECONDS, TOKEN, Web
from tests.web.raw import serve as run
from tests.web.service import serve
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client
from tools.stack.relay import ROOT
from tools.stack.valkey import Valkey

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Errors = Callable[[], list[dict[str, Any]]]

NUMBERS = count()
GARBAGE = {
    "empty.db": b"",
    "counter_text.db": b"not a file of counts\n",
    "counter_zeros.db": bytes(4096),
    "histogram_long.db": b"\xff\xff\xff\x7f" * 99,
    "gauge_all.db": b"\x10\x00\x00\x00" * 9,
    "unknown_1.db": b"\x30\x00\x00\x00" + b"\x04" * 99,
    "counter_key.db": b"\x30\0\0\0\0\0\0\0\x0c\0\0\0[1, 2, 3, 4]" + bytes(24),
}


@pytest.fixture(scope="module")
def running(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process with an extension that has faults."""
    place = tmp_path_factory.mktemp("faults")
    with run("tests.web.extended:application", valkey.url, place, complains=True) as web:
        yield web


@pytest.fixture
def web(running: Web, redis_url: str) -> Web:
    """The same with a worker that has counted nothing yet."""
    _ = redis_url
    replace_worker(running)
    return running


@pytest.fixture
def errors(web: Web) -> Errors:
    """Read the lines since the test began that report an error of the relay's own."""
    written = web.log.stat().st_size

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in web.log.read_text()[written:].splitlines()]
        return [line for line in lines if (line["level"], line["logger"]) == ("error", "relay.web")]

    return read


def directory(web: Web) -> Path:
    """Return where the processes of ``web`` count."""
    post(web)  # each process has its files from its first count on
    pid = web.worker()
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    # As the process has it: a killed one of the same id may have left another.
    (path,) = {line.split()[-1] for line in maps if line.endswith(f"/counter_{pid}.db")}
    return Path(path).parent


def post(web: Web) -> requests.Response:
    """Post an event of its own."""
    return requests.post(
        f"{web.url}/v1/events",
        json={"event_id": f"fault-{next(NUMBERS)}", "user_id": "u1"},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=SERVED_SECONDS,
    )


def scrape(web: Web) -> str:
    """Return the metrics."""
    response = requests.get(f"{web.url}/metrics", timeout=SERVED_SECONDS)
    assert 200 == response.status_code
    assert "relay_build_info" in response.text
    assert "relay_backlog_events" in response.text
    return response.text


def assert_served(web: Web) -> None:
    """Check that answers are what they always are."""
    assert [202] * 3 == [post(web).status_code for _ in range(3)]
    look_up = requests.get(f"{web.url}/v1/events/none", timeout=SERVED_SECONDS)
    assert (401, "/problems/unauthorized") == (look_up.status_code, look_up.json()["type"])


def replace_worker(web: Web) -> None:
    """Kill the worker, and return once another one serves."""
    before = web.worker()
    os.kill(before, signal.SIGKILL)

    def is_replaced() -> bool:
        with suppress(ValueError, OSError):
            return web.worker() != before and requests.get(f"{web.url}/livez", timeout=1).ok
        return False

    wait_until(is_replaced, SERVED_SECONDS, "another worker")


def start_elsewhere() -> None:
    """Let another web start on this host: it removes what killed ones left."""
    code = "from config.runtime_dirs import runtime_dir; runtime_dir()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_worker_counts_where_its_directory_is_gone(web: Web, errors: Errors) -> None:
    """A cleaner removed it; the next process makes it anew, and its counts are scraped."""
    shutil.rmtree(directory(web))

    assert_served(web)
    assert ["counting_failed"] == [line["event"] for line in errors()]
    assert "relay_events_total" not in scrape(web)

    replace_worker(web)

    assert_served(web)
    start_elsewhere()
    assert 3 == labels(scrape(web), "relay_events_total")["accepted"]
    assert 1 == len(errors())


def test_a_worker_serves_where_there_can_be_no_directory(web: Web, errors: Errors) -> None:
    """A file stands in its place: nothing is counted, which is logged once."""
    place = directory(web)
    shutil.rmtree(place)
    place.write_text("")
    try:
        replace_worker(web)

        assert_served(web)
        assert "relay_events_total" not in scrape(web)
        assert ["counting_failed"] == [line["event"] for line in errors()]
    finally:
        place.unlink()


@pytest.mark.parametrize("size_bytes", [0, 100, 5000])
def test_a_worker_serves_where_its_files_are_cut_off(
    web: Web, errors: Errors, size_bytes: int
) -> None:
    """A count behind the end of a mapped file would end the process by SIGBUS."""
    place, worker = directory(web), web.worker()
    for path in place.glob("*.db"):
        os.truncate(path, size_bytes)

    assert_served(web)
    scrape(web)
    assert worker == web.worker()
    assert "counting_failed" in [line["event"] for line in errors()]


def test_other_files_among_counts_are_skipped(web: Web, errors: Errors) -> None:
    """Whatever lies in the directory, the counts of all processes are there."""
    place = directory(web)
    before = labels(scrape(web), "relay_events_total")
    for name, content in GARBAGE.items():
        (place / name).write_bytes(content)
    (place / "directory.db").mkdir()
    (place / "gone.db").symlink_to(place / "nowhere")
    os.mkfifo(place / "counter_pipe.db")
    (counts,) = place.glob(f"counter_{web.worker()}.db")
    (place / "counter_half.db").write_bytes(counts.read_bytes()[:300])

    texts = [scrape(web), scrape(web)]

    assert [before, before] == [labels(text, "relay_events_total") for text in texts]
    assert_served(web)
    reported = [line["file"] for line in errors()]
    assert len(reported) == len({*reported})
    assert {"empty.db", "counter_text.db", "counter_half.db"} <= {*reported}


def test_a_full_disk_leaves_no_hole_to_count_in(tmp_path: Path) -> None:
    """A count there would end the process by SIGBUS, and not by an error."""
    script = tmp_path / "full.py"
    script.write_text(FULL)
    settings = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, script], env={**os.environ, **settings}, timeout=30, check=False
    )

    assert 0 == done.returncode


FULL = """
import os
from pathlib import Path
from typing import Any, cast

from app.web.metrics import WebMetrics

metrics = WebMetrics(cast("Any", None), "1")
if (child := os.fork()) == 0:
    path = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"], f"histogram_{os.getpid()}.db")
    path.symlink_to("/dev/full")
    metrics.count_request("/livez", 1)
    metrics.count_event("accepted", None)  # the file is a file by now
    os._exit(0 if path.stat().st_size else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize("where", ["view", "hook", "end"])
def test_a_fault_is_a_problem_and_one_line(web: Web, errors: Errors, where: str) -> None:
    """Be it an error that looks like one of the connection's: 500, and neither 400 nor silence."""
    response = requests.get(f"{web.url}/fault/{where}", timeout=SERVED_SECONDS)

    assert (500, "/problems/internal-error") == (response.status_code, response.json()["type"])
    assert "no-store" == response.headers["Cache-Control"]
    assert response.json()["request_id"] == response.headers["Request-Id"]
    (line,) = errors()
    assert ("request_failed", response.headers["Request-Id"]) == (line["event"], line["trace_id"])
    assert_served(web)


def test_a_span_that_cannot_be_kept_costs_no_answer(
    json_lines: None, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    """The request's line is there all the same, and one for the fault."""

    def export_span(span: Span) -> NoReturn:
        raise RuntimeError(span.name)

    response = serve(client, export_span=export_span).post()

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert 202 == response.status_code
    assert ["request", "report_failed"] == [line["event"] for line in lines]
    assert {response.headers["Request-Id"]} == {line["trace_id"] for line in lines}
