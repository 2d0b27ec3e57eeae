"""``python -m app.operate``: needs ``REDIS_URL`` and ``KEY_PREFIX`` only."""

import os

from app.bootstrap.operate import desk
from app.operate.commands import cli

if __name__ == "__main__":
    cli(prog_name="python -m app.operate", obj=desk(os.environ))
