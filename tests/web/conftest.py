"""Fixtures of web's tests: applications that log as the processes do."""

from collections.abc import Iterator

import pytest

from config.logging import configure
from tests.web.service import WebService, serve
from tools.stack.processes import free_port
from tools.stack.redis_client import connect_to
from tools.stack.valkey import Valkey


@pytest.fixture(scope="session")
def json_lines() -> None:
    """Logs as JSON, from now on: loggers keep what they were configured with at their first line,
    and after a second time ``capture_logs`` would not receive them.
    """
    configure("INFO")


@pytest.fixture(scope="package")
def running_service(valkey: Valkey, json_lines: None) -> Iterator[WebService]:
    """One application for all tests here."""
    with connect_to(valkey.url) as client:
        yield serve(client)


@pytest.fixture
def service(running_service: WebService, redis_url: str) -> WebService:
    """The relay, which holds nothing yet."""
    return running_service


@pytest.fixture(scope="package")
def cut_off(running_service: WebService) -> WebService:
    """The relay while nothing listens where its Redis should be."""
    return serve(connect_to(f"redis://127.0.0.1:{free_port()}/0"))
