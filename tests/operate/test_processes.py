"""``python -m app.operate`` as it is run: its environment, its exit codes, what it prints."""

import json
import os
import subprocess

import pytest

from app.chats.errors import StoreUnavailable
from tests.operate.operator import Operator
from tests.operate.test_log_lines import CALL
from tests.operate.test_settings import ALL
from tools.stack.processes import free_port
from tools.stack.relay import PYTHON, ROOT, operate


@pytest.fixture
def environ(redis_url: str, operator: Operator) -> dict[str, str]:
    """All that it needs."""
    return {"REDIS_URL": redis_url, "LOGNAME": "ops"}


def test_redis_url_is_all_that_it_needs(environ: dict[str, str], operator: Operator) -> None:
    """An event is held, and resolved; who did it is the login name."""
    operator.hold("e1")

    resolved = operate(environ, "resolve", "e1", "--chat-id", "found", "--yes", "--json")

    assert (0, "") == (resolved.returncode, resolved.stderr)
    assert operator.document() == json.loads(resolved.stdout)
    assert "ops" == operator.history()[-1]["by"]


def test_it_keeps_to_its_prefix(environ: dict[str, str], operator: Operator) -> None:
    """Another relay's events are not there."""
    operator.hold("e1")

    done = operate({**environ, "KEY_PREFIX": "another"}, "explain", "e1")

    assert (1, "", "Nothing was done: no event e1 is kept.\n") == (
        done.returncode,
        done.stdout,
        done.stderr,
    )


def test_it_waits_for_as_many_replicas_as_workers_do(
    environ: dict[str, str], operator: Operator
) -> None:
    """They keep the number in Redis: an operator's shell need not have the setting."""
    operator.hold("e1")
    with pytest.raises(StoreUnavailable):
        operator.bench.take(operator.bench.worker(min_replicas_acked=1))

    done = operate(environ, "resolve", "e1", "--give-up")

    assert (3, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("Redis did not confirm: 0 of 1 replicas confirmed.")
    assert "It may have been done or not" in done.stderr


def test_without_redis_it_ends_with_3_and_one_line() -> None:
    """No traceback."""
    done = operate({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}, "status")

    assert (3, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))


def test_without_an_address_it_ends_with_2() -> None:
    """As the other processes do."""
    done = operate({}, "status")

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("REDIS_URL: is not set")


def test_a_log_comes_through_a_pipe(environ: dict[str, str], operator: Operator) -> None:
    """As from ``docker logs``."""
    grant = operator.hold("e1")
    about = {"chat_id": "logged", "life": grant.life_ms, "token": grant.token}
    line = json.dumps(CALL | about)

    done = operate(environ, "recover", "--from-log", "-", text=f"worker-1 | {line}\n")

    assert (0, "") == (done.returncode, done.stderr)
    assert "logged" == operator.document()["chat"]["id"]


def test_a_closed_standard_input_is_an_empty_one(environ: dict[str, str]) -> None:
    """As where a scheduler has closed it: no traceback."""
    command = f"exec {PYTHON} -m app.operate recover --from-log - <&-"

    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines()))


def test_settings_shows_what_both_processes_would_run_with() -> None:
    """As used, not as set; secrets masked; and it does not ask Redis."""
    done = operate(ALL, "settings", "--json")

    shown = json.loads(done.stdout)
    web, worker = shown["web"], shown["worker"]
    assert (0, [], []) == (done.returncode, web["problems"], worker["problems"])
    assert (600, 2.5) == (
        web["settings"]["EVENT_DEADLINE_SECONDS"],
        worker["settings"]["RATE_LIMIT_PER_SECOND"],
    )
    assert ("orders:**********", "**********") == (
        web["settings"]["SUBMIT_TOKENS"],
        worker["settings"]["CHANNEL_ACCESS_KEY"],
    )
    assert 8000 == web["settings"]["PORT"]


@pytest.fixture
def nameless() -> list[str]:
    """Return the prefix that runs a command as a user id without a name."""
    command = ["unshare", "--user", "--map-user=54321"]
    try:
        subprocess.run([*command, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system allows no user namespaces")
    return command


def test_a_nameless_user_may_decide(
    environ: dict[str, str], operator: Operator, nameless: list[str]
) -> None:
    """As in a container that runs as uid 10001; the id is what is kept."""
    operator.hold("e1")
    command = [*nameless, PYTHON, "-m", "app.operate", "resolve", "e1", "--give-up"]

    done = subprocess.run(
        command,
        env={"REDIS_URL": environ["REDIS_URL"], "PATH": os.defpath},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "uid 54321" == operator.history()[-1]["by"]
