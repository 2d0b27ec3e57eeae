"""The worker: ``python -m app.worker``."""

import os

from app.bootstrap.worker import worker
from config.logging import configure
from config.settings import WorkerSettings, load_or_exit

if __name__ == "__main__":
    settings = load_or_exit(WorkerSettings, os.environ)
    configure(settings.log_level)
    worker(settings).run()
