"""The number of cores that this process may use: a container's share, not the host's."""

import math
import os
import sys
from pathlib import Path

MOST_WEB_PROCESSES = 4

CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Return the cores of affinity and the container's quota, at least 1, at most 4."""
    return max(1, min(_scheduled_cores(), _quota_cores(CGROUP_CPU_MAX), MOST_WEB_PROCESSES))


def _scheduled_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    else:  # noqa: RET505 - mypy calls it unreachable otherwise
        return os.cpu_count() or 1


def _quota_cores(cpu_max: Path) -> int:
    """https://docs.kernel.org/admin-guide/cgroup-v2.html, ``cpu.max``: quota and period in µs."""
    try:
        quota, period = cpu_max.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup v2, or "max": no quota
        return MOST_WEB_PROCESSES
