"""Logs are one JSON object a line, whoever writes them."""

import json
import subprocess
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.stack.relay import PYTHON

PROLOGUE = """
import logging, os, sys, warnings
import structlog
log = structlog.get_logger("relay.test")
from config.logging import configure
configure("INFO")
"""


def lines_of(program: str) -> list[dict[str, Any]]:
    """Run ``program`` in a process of its own; return the JSON objects that it printed."""
    ran = subprocess.run(
        [PYTHON, "-c", PROLOGUE + program], capture_output=True, check=True, text=True
    )
    assert ran.stderr == ""
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_our_line_is_one_json_object() -> None:
    """A line has its time in UTC, its level, its logger, what happened and what it is about."""
    (line,) = lines_of('log.info("call", event_id="refund-7731", duration_ms=1.5)')

    stamp = datetime.fromisoformat(line.pop("timestamp"))
    assert stamp.utcoffset() == timedelta(0)
    assert {
        "level": "info",
        "logger": "relay.test",
        "event": "call",
        "event_id": "refund-7731",
        "duration_ms": 1.5,
    } == line


@pytest.mark.parametrize(
    ("program", "logger", "event"),
    [
        ('logging.getLogger("urllib3").warning("retry %d", 3)', "urllib3", "retry 3"),
        ('warnings.warn("old")', "py.warnings", "<string>:7: UserWarning: old"),
    ],
)
def test_libraries_write_the_same_lines(program: str, logger: str, event: str) -> None:
    """The standard library's loggers and warnings come out as ours do."""
    (line,) = lines_of(program)

    assert line["event"].startswith(event)
    assert ("warning", logger) == (line["level"], line["logger"])
    assert {"timestamp", "level", "logger", "event"} == line.keys()


@pytest.mark.parametrize("logger", ["log", 'logging.getLogger("urllib3")'])
def test_exception_stays_on_its_line(logger: str) -> None:
    """A traceback is a field of the line, and shows no local variables."""
    program = f"""
try:
    password = "sword" + "fish"
    1 / 0
except ZeroDivisionError:
    {logger}.exception("broken")
"""
    (line,) = lines_of(program)

    assert ("error", "broken") == (line["level"], line["event"])
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")
    assert "swordfish" not in line["exception"]


def test_lines_below_the_level_are_dropped() -> None:
    """``LOG_LEVEL`` holds for our loggers and for the libraries'."""
    lines = lines_of("""
log.debug("ours")
log.info("ours")
logging.getLogger("redis").debug("theirs")
logging.getLogger("redis").info("theirs")
""")

    assert [("info", "ours"), ("info", "theirs")] == [
        (line["level"], line["event"]) for line in lines
    ]


def test_anything_can_be_logged() -> None:
    """Text that is no UTF-8 and objects that are no JSON do not break a line."""
    (line,) = lines_of(r'log.info("odd\n", path="\ud800é", seen={1}, thing=object, n=float("nan"))')

    assert ("odd\n", "\ud800é") == (line["event"], line["path"])
    assert "{1}" in line["seen"]


@pytest.mark.parametrize("logger", ["log", 'logging.getLogger("urllib3")'])
def test_a_log_that_cannot_be_written_hurts_nobody(logger: str) -> None:
    """With the log's pipe gone the process goes on, and ends with its own exit code."""
    program = f'os.close(1); {logger}.error("lost"); os.open(os.devnull, os.O_WRONLY)'

    assert [] == lines_of(program)
