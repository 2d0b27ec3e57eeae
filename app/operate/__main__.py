"""``python -m app.operate``: needs ``REDIS_URL`` and ``KEY_PREFIX`` only."""

import gc
import os

gc.disable()  # hardly anything of a start is garbage: docs/decisions/0013-what-made-it-fast.md

from app.bootstrap.operate import desk  # noqa: E402
from app.operate.commands import cli  # noqa: E402

if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    cli(prog_name="python -m app.operate", obj=desk(os.environ))
