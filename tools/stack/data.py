"""Data directory of a local stack."""

import shutil
from pathlib import Path

from tools.stack.relay import ROOT
from tools.stack.valkey import LOCK, lock_directory

DATA = ROOT / ".data"
# Files of a stack, besides its lock; `--fresh` removes these and no others.
OWN = ("appendonlydir", "dump.rdb", "spool", "valkey.log", "web.log", "worker.log")


class DataError(RuntimeError):
    """Unusable data directory; the message has the reason and the remedy."""


def make_directory(data: Path) -> None:
    """Create the directory. Raises DataError if it cannot be used."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        [*data.iterdir()]
    except OSError as error:
        message = f'{data} cannot be used ({error.strerror}); name another: ARGS="--data .data-2"'
        raise DataError(message) from error


def remove_data(data: Path) -> None:
    """Remove the files of stacks from ``data``, and no others.

    Raises DataError if no stack has written there, ValkeyError if a stack uses it now.
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
