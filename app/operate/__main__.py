"""``python -m app.operate``: needs ``REDIS_URL`` and ``KEY_PREFIX`` only."""

from app import bootstrap
from app.operate.commands import cli
from config.settings import OperatorSettings, load_or_exit

if __name__ == "__main__":
    cli(prog_name="app.operate", obj=lambda: bootstrap.operations(load_or_exit(OperatorSettings)))
