"""Files of the spool: bare file operations, which run in native threads (no locks, no logging)."""

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class SpoolFile:
    """One file of JSON lines, locked by this process for as long as it is open."""

    def __init__(self, path: Path, handle: IO[bytes]) -> None:
        self.path = path
        self.unsettled = 0
        self.has_unreadable_lines = False
        self._handle = handle

    @classmethod
    def create(cls, directory: Path) -> "SpoolFile":
        """Create a file of this process. Raises ``OSError``."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{os.getpid()}-{secrets.token_hex(8)}.jsonl"
        unlocked = path.with_suffix(".new")
        handle = unlocked.open("xb", buffering=0)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Others see it from here on; unlocked, it would be adopted as a dead process's.
            unlocked.rename(path)
            _sync_directory(directory)
        except OSError:
            handle.close()
            for name in (unlocked, path):
                name.unlink(missing_ok=True)
            raise
        return cls(path, handle)

    @classmethod
    def adopt(cls, path: Path) -> "tuple[SpoolFile, list[bytes]] | None":
        """Lock and read the file of a dead process, or return ``None``. Raises ``OSError``."""
        try:
            handle = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lines = handle.read().split(b"\n")
        except BlockingIOError:
            handle.close()
            return None
        except OSError:
            handle.close()
            raise
        if not path.exists():
            # The process that had it locked until now has settled and removed it.
            handle.close()
            return None
        return cls(path, handle), lines

    def append(self, lines: bytes) -> None:
        """Write ``lines`` through to the disk. Raises ``OSError``."""
        rest = lines
        while rest:
            # A disk that gets full takes a part without an error, and refuses the next one.
            rest = rest[os.write(self._handle.fileno(), rest) :]
        os.fsync(self._handle.fileno())

    def discard(self) -> None:
        """Remove the file, or set it aside where lines of it cannot be read. Raises ``OSError``."""
        if self.has_unreadable_lines:
            self.path.replace(self.path.with_suffix(".unreadable"))
        else:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up the lock."""
        self._handle.close()


@dataclass(slots=True)
class PendingWrite:
    """Lines on their way into ``file``, or into a new one.

    ``is_given_up``: the process waits no more, so nothing that is not begun yet may begin.
    Each line has a line break in front too: it ends a part of a line that a full disk has left.
    """

    directory: Path
    file: SpoolFile | None
    lines: bytes
    is_given_up: bool = False
    has_ended: bool = False

    def run(self) -> SpoolFile:
        """Write the lines; return their file. Raises ``OSError``."""
        try:
            if self.file is None:
                self.file = SpoolFile.create(self.directory)
            if not self.is_given_up:
                self.file.append(self.lines)
        finally:
            self.has_ended = True
        return self.file


def check_room(directory: Path, size_bytes: int) -> None:
    """Write a file of that size and remove it. Raises ``OSError``."""
    directory.mkdir(parents=True, exist_ok=True)
    probe = directory / f"{os.getpid()}-{secrets.token_hex(8)}.check"
    try:
        with probe.open("xb", buffering=0) as handle:
            rest = bytes(size_bytes)
            while rest:
                rest = rest[os.write(handle.fileno(), rest) :]
            os.fsync(handle.fileno())
    finally:
        probe.unlink(missing_ok=True)


def list_files(directory: Path) -> list[Path]:
    """Return the files of results, of whatever process."""
    return sorted(directory.glob("*.jsonl"))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
