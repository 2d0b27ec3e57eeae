"""What the tests of the worker share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.worker.spool import Spool

OpenSpool = Callable[[Path], Spool]


@pytest.fixture
def open_spool() -> Iterator[OpenSpool]:
    """Opens the spool that a process would have on a directory, and closes it in the end."""
    spools: list[Spool] = []

    def open_spool(directory: Path) -> Spool:
        spools.append(Spool(directory))
        return spools[-1]

    yield open_spool
    for spool in spools:
        close(spool)


def close(spool: Spool) -> None:
    """Close its files, as the end of its process does."""
    for file in {spool._own, *spool._staying, *(kept.file for kept in spool._kept)}:
        if file is not None:
            file._handle.close()
