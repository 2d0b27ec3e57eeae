"""Files of the spool: bare file operations, which run in native threads (no locks, no logging)."""

import fcntl
import os
import secrets
import stat
import sys
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

# A result with an answer of the largest size, every byte of it escaped. A longer line is cut.
MAX_LINE_BYTES = 8 << 20
# Of one file's lines, in memory: some 50,000 results.
MAX_LINES_BYTES = 64 << 20
# Of one file, with what is cut: more is not read in time.
MAX_FILE_BYTES = 8 << 30
MAX_READ_SECONDS = 8.0
BUFFER_BYTES = 128 << 10
MAX_LISTED = 10_000

TOO_LARGE = "it is too large to be read"

_open_private = partial(os.open, mode=0o600)


class Unfit(OSError):
    """Error of a file that is unfit until it changes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in the directory; a changed file is another entry."""

    path: Path
    inode: int
    changed_ns: int


class SpoolFile:
    """One regular file of JSON lines, locked by this process for as long as it is open."""

    def __init__(self, path: Path, handle: IO[bytes]) -> None:
        self.path = path
        self.unsettled = 0
        self.unreadable_lines = 0
        self._handle = handle

    @classmethod
    def create(cls, directory: Path) -> "SpoolFile":
        """Create a file of this process. Raises ``OSError``."""
        create_directory(directory)
        path = directory / f"{os.getpid()}-{secrets.token_hex(8)}.jsonl"
        unlocked = path.with_suffix(".new")
        handle = open(unlocked, "xb", buffering=0, opener=_open_private)  # noqa: SIM115
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
        """Lock and read the file of a dead process, or return ``None``.

        Raises ``OSError``, for anything but a regular file as well. Nothing else is opened: that
        alone may block, and a link leads out of the directory.
        """
        try:
            _check_fit(path.lstat())
            handle = open(path, "rb", BUFFER_BYTES, opener=_open_unfollowed)  # noqa: SIM115
        except FileNotFoundError:
            return None
        file = cls(path, handle)
        try:
            _check_fit(os.fstat(handle.fileno()))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lines = _read_lines(handle)
        except BlockingIOError:
            file.close()
            return None
        except OSError:
            file.close()
            raise
        if not file.is_as_read():
            # The process that had it locked until now has settled and removed it.
            file.close()
            return None
        return file, lines

    def append(self, lines: bytes) -> None:
        """Write ``lines`` through to the disk. Raises ``OSError``."""
        rest = lines
        while rest:
            # A disk that gets full takes a part without an error, and refuses the next one.
            rest = rest[os.write(self._handle.fileno(), rest) :]
        os.fsync(self._handle.fileno())

    def discard(self) -> None:
        """Remove the file, or set it aside for its unreadable lines. Raises ``OSError``.

        It stays where it was changed or replaced meanwhile: that was not read, and will be.
        """
        if self.is_as_read():
            if self.unreadable_lines:
                self.path.replace(_name_aside(self.path))
            else:
                self.path.unlink(missing_ok=True)
        self.close()

    def is_as_read(self) -> bool:
        """Return whether the name still leads to this file, read to its end."""
        opened = os.fstat(self._handle.fileno())
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(opened, named) and opened.st_size == self._handle.tell()

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


def check_room(directory: Path, size_bytes: int) -> int:
    """Write a nameless file of that size; return the directory's mode. Raises ``OSError``."""
    create_directory(directory)
    with TemporaryFile(dir=directory) as file:
        file.write(bytes(size_bytes))
        file.flush()
        os.fsync(file.fileno())
    return stat.S_IMODE(directory.stat().st_mode)


def create_directory(directory: Path) -> None:
    """Make the directory for this user alone; one that is there stays as it is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def list_files(directory: Path) -> list[Entry]:
    """Return files of results, of whatever process, ``MAX_LISTED`` at most."""
    with os.scandir(directory) as names:
        found = islice((name for name in names if name.name.endswith(".jsonl")), MAX_LISTED)
        return [_entry(name) for name in found]


def _entry(name: "os.DirEntry[str]") -> Entry:
    try:
        status = name.stat(follow_symlinks=False)
    except FileNotFoundError:  # another process has settled it
        return Entry(Path(name.path), 0, 0)
    return Entry(Path(name.path), status.st_ino, status.st_ctime_ns)


def _open_unfollowed(path: str, flags: int) -> int:
    # A name may lead elsewhere since it was looked at.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _check_fit(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Unfit("it is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise Unfit(TOO_LARGE)


def _read_lines(handle: IO[bytes]) -> list[bytes]:
    """Return all lines, too long ones cut. Raises ``Unfit`` for too many."""
    lines, size, deadline = [], 0, time.monotonic() + MAX_READ_SECONDS
    while line := handle.readline(MAX_LINE_BYTES):
        lines.append(line)
        size += sys.getsizeof(line)  # many short lines take more than their length
        while line and not line.endswith(b"\n"):  # of a cut line, the rest
            line = handle.readline(BUFFER_BYTES)
            if time.monotonic() > deadline:
                raise Unfit(TOO_LARGE)
        if size > MAX_LINES_BYTES:
            raise Unfit(TOO_LARGE)
    return lines


def _name_aside(path: Path) -> Path:
    """Return a free name for a file with unreadable lines."""
    aside = path.with_suffix(".unreadable")
    return path.with_suffix(f".{secrets.token_hex(4)}{aside.suffix}") if aside.exists() else aside


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
