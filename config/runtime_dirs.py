"""Directories for files that are needed only while a process runs."""

import fcntl
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

# Memory, where the system has it: a slow disk would block each write, and a container may have
# no other place that can be written.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - each file or directory there has a name of its own
# A mapped file that grows on a full file system ends its process by SIGBUS.
NEEDED_BYTES = 4_194_304
EXIT_NO_RUNTIME_DIR = 2
_PREFIX = "chat-relay-metrics-"


@cache
def runtime_dir(memory: Path = SHARED_MEMORY) -> str:
    """Return a directory for such files: ``memory``, or the system's choice if that has no room.

    Removes what killed processes left there. Ends the process where there is no such directory.
    """
    _remove_leftovers(memory)
    with suppress(OSError):
        found = os.statvfs(memory)
        if os.access(memory, os.W_OK) and found.f_bavail * found.f_frsize >= NEEDED_BYTES:
            return str(memory)
    try:
        place = tempfile.gettempdir()
    except OSError as error:
        print(f"{error.strerror}; mount a tmpfs at /dev/shm or /tmp", file=sys.stderr)  # noqa: T201 - no log yet
        sys.exit(EXIT_NO_RUNTIME_DIR)
    _remove_leftovers(Path(place))
    return place


@cache
def metrics_directory(memory: Path = SHARED_MEMORY) -> str:
    """Return the directory in which web's processes add up their metrics.

    Made once, however often the settings are read: a reload (SIGHUP) sets no counter back.
    """
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=runtime_dir(memory)))
        # One that starts at the same moment may have removed it before it was locked.
        if _lock(directory) is not None and directory.is_dir():
            return str(directory)


def _remove_leftovers(place: Path) -> None:
    for leftover in place.glob(f"{_PREFIX}*"):
        if (descriptor := _lock(leftover)) is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(descriptor)


def _lock(directory: Path) -> int | None:
    """Lock a directory until the descriptor is closed here and in every process forked since.

    Returns ``None`` for one that is locked, is another user's, or is no directory but a link.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress(OSError):
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    os.close(descriptor)
    return None
