"""Runs an entry point as ``python -m`` does, and reports on its processes as they end.

``python -m tests.system.patched REPORTS MODULE ARGUMENTS...`` writes one line of JSON for each
process, forked ones included, into the file ``REPORTS``. It imports nothing that a patch that comes
later would miss.
"""

import atexit
import gc
import json
import os
import runpy
import sys


def _report(path: str) -> None:
    """Write whether sockets are gevent's, and which greenlets have not ended."""
    monkey = sys.modules.get("gevent.monkey")
    gevent = sys.modules.get("gevent")
    line = {
        "pid": os.getpid(),
        "is_patched": bool(monkey and monkey.is_module_patched("socket")),
        "greenlets": [
            repr(found)
            for found in gc.get_objects()
            if gevent and isinstance(found, gevent.Greenlet) and not found.dead
        ],
    }
    reports = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(reports, json.dumps(line).encode() + b"\n")
    os.close(reports)


if __name__ == "__main__":
    atexit.register(_report, sys.argv[1])
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
