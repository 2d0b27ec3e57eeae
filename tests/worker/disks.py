"""Disks that are full, slow, or hang, for spools in this process."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

PATIENCE_SECONDS = 30


@contextmanager
def full_after(size_bytes: int) -> Iterator[None]:
    """No file of this process gets longer than that, as on a disk that is full then."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


class HangingDisk:
    """Every sync hangs until ``go_on``. It counts those that have begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self._may_end = Event()
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self._hang)

    def go_on(self) -> None:
        """Let all of them end, and hang no more."""
        self._may_end.set()

    def _hang(self, descriptor: int) -> None:
        self.syncs += 1
        self._may_end.wait(PATIENCE_SECONDS)
        self._sync(descriptor)
