"""Places for files that are of no use after their process."""

import os
import tempfile
from functools import cache
from pathlib import Path

# Memory, where the system has it: a slow disk would block whoever writes, and a container may have
# no other place that can be written.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - each file or directory there has a name of its own


def scratch() -> str | None:
    """Return a directory for such files; ``None``: the system's own choice."""
    return str(SHARED_MEMORY) if os.access(SHARED_MEMORY, os.W_OK) else None


@cache
def metrics_directory() -> str:
    """Return the directory in which web's processes add up their metrics.

    Made once, however often the settings are read: a reload (SIGHUP) sets no counter back.
    """
    return tempfile.mkdtemp(prefix="relay-metrics-", dir=scratch())
