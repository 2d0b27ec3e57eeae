"""``python -m app.operate``: needs ``REDIS_URL`` and ``KEY_PREFIX`` only."""

from gevent import monkey

monkey.patch_all()  # unpatched, no deadline of a command would ever pass

import os  # noqa: E402

from app.bootstrap.operate import desk  # noqa: E402
from app.operate.commands import cli  # noqa: E402

if __name__ == "__main__":
    cli(prog_name="python -m app.operate", obj=desk(os.environ))
