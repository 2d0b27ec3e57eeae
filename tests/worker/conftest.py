"""Fixtures of the worker's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.worker.spool import Spool
from tests.worker.workbench import Workbench
from tools.stack.channel_io import ChannelIo
from tools.stack.redis_client import Client

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
    """Close its files and end its threads, as the end of its process does."""
    spool._disk.kill()
    late = [write.file for write in spool._late_writes]
    for file in {spool._own, *late, *spool._staying, *(kept.file for kept in spool._kept)}:
        if file is not None:
            file.close()


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[ChannelIo]:
    """One stand-in for all tests of a file."""
    with ChannelIo() as stand_in:
        yield stand_in


@pytest.fixture
def bench(
    client: Client, redis_url: str, running_stand_in: ChannelIo, tmp_path: Path
) -> Iterator[Workbench]:
    """A relay without events, and no worker yet."""
    bench = Workbench(client, redis_url, running_stand_in, tmp_path)
    yield bench
    bench.kill()
    running_stand_in.release()
    running_stand_in.behave_well()
