"""Logs are one JSON object a line, whoever writes them."""

import json
import subprocess
from datetime import datetime, timedelta
from typing import Any

from tests.stack.relay import PYTHON

PROLOGUE = """
import logging, os, sys, warnings
import structlog
log, theirs = structlog.get_logger("relay.test"), logging.getLogger("urllib3")
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


def test_libraries_write_the_same_lines() -> None:
    """The standard library's loggers and warnings come out as ours do."""
    retry, old = lines_of("""
theirs.warning("retry %d", 3)
warnings.warn("old")
""")

    assert ("urllib3", "retry 3") == (retry["logger"], retry["event"])
    assert "py.warnings" == old["logger"]
    assert old["event"].startswith("<string>:9: UserWarning: old")
    for line in (retry, old):
        assert "warning" == line["level"]
        assert {"timestamp", "level", "logger", "event"} == line.keys()


def test_exception_stays_on_its_line() -> None:
    """A traceback is a field of the line, and shows no local variables."""
    lines = lines_of("""
for logger in (log, theirs):
    try:
        password = "sword" + "fish"
        1 / 0
    except ZeroDivisionError:
        logger.exception("broken")
""")

    assert ["relay.test", "urllib3"] == [line["logger"] for line in lines]
    for line in lines:
        assert ("error", "broken") == (line["level"], line["event"])
        assert line["exception"].startswith("Traceback (most recent call last):\n")
        assert line["exception"].endswith("ZeroDivisionError: division by zero")
        assert "swordfish" not in line["exception"]


def test_lines_below_the_level_are_dropped() -> None:
    """``LOG_LEVEL`` holds for our loggers and for the libraries'."""
    lines = lines_of("""
log.debug("ours")
log.info("ours")
theirs.debug("theirs")
theirs.info("theirs")
""")

    assert [("info", "ours"), ("info", "theirs")] == [
        (line["level"], line["event"]) for line in lines
    ]


def test_anything_can_be_logged() -> None:
    """Text that is no UTF-8 and objects that are no JSON do not break a line."""
    (line,) = lines_of(r'log.info("odd\n", path="\ud800é", seen={1}, thing=object, n=float("nan"))')

    assert ("odd\n", "\ud800é") == (line["event"], line["path"])
    assert "{1}" in line["seen"]


def test_a_log_that_cannot_be_written_hurts_nobody() -> None:
    """With the log's pipe gone the process goes on, and ends with its own exit code."""
    assert [] == lines_of("""
os.close(1)
log.error("lost")
theirs.error("lost")
os.open(os.devnull, os.O_WRONLY)
""")
