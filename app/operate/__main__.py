"""``python -m app.operate``: needs ``REDIS_URL`` and ``KEY_PREFIX`` only."""

from gevent import monkey

monkey.patch_all()  # unpatched, no deadline of a command would ever pass

import io  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from app.bootstrap.operate import build_cli_context  # noqa: E402
from app.operate.commands import cli  # noqa: E402

if __name__ == "__main__":
    if sys.stdin is None:  # closed, as by `<&-`
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115 - until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):  # metadata may hold what a locale cannot write
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="python -m app.operate", obj=build_cli_context(os.environ))
