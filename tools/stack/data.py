"""The data directory of a local stack: its files, and how it begins empty."""

import shutil
from pathlib import Path

from tools.stack.relay import ROOT
from tools.stack.valkey import LOCK, lock_directory

DATA = ROOT / ".data"
# What a stack writes there beside its lock; nothing else is ever removed.
OWN = ("appendonlydir", "dump.rdb", "spool", "valkey.log", "web.log", "worker.log")


class DataError(RuntimeError):
    """The directory cannot be used; the message has the reason and the remedy."""


def make_directory(data: Path) -> None:
    """Make the directory. Raises DataError where there can be none."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        [*data.iterdir()]
    except OSError as error:
        message = f'{data} cannot be used ({error.strerror}); name another: ARGS="--data .data-2"'
        raise DataError(message) from error


def remove_data(data: Path) -> None:
    """Remove what stacks wrote to ``data``, and nothing else that is there.

    Raises DataError where no stack wrote there, ValkeyError where one uses it now.
    """
    if not any(data.iterdir()):
        return
    if not (data / LOCK).exists():
        raise DataError(f"nothing was removed: {data} has no {LOCK}, so it is not a stack's data")
    with lock_directory(data):
        for path in (data / name for name in OWN):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
